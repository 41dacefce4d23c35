//! The allowance of eGain calls is shared: no caller, and neither uploads nor downloads, can have
//! it all.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use asset_gateway::sandbox::limits::{Plan, PlanRate};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::gateway::{TestGateway, eventually, noise};
use crate::support::raw_client::{Wire, by_hand};
use crate::support::refusal::Refusal;
use crate::support::secret_canary::{entry, key};

/// Three callers.
fn keys() -> String {
    ["one", "other", "third"].map(|id| entry(id, "")).concat()
}

async fn gateway(settings: &[(&str, &str)]) -> TestGateway {
    let all: Vec<_> = [("auth.mode", "keys"), ("egain.burst", "1")]
        .iter()
        .chain(settings)
        .copied()
        .collect();
    TestGateway::builder()
        .file(&keys())
        .settings(&all)
        .start()
        .await
}

fn send(gateway: &TestGateway, id: &str) -> JoinHandle<Response> {
    let request = gateway
        .post("/v1/assets?channel=sms&name=a.txt")
        .by(id)
        .body("hello")
        .send();
    tokio::spawn(async { request.await.unwrap() })
}

/// So many uploads of one caller, of which one was made and all others wait.
async fn crowd(gateway: &TestGateway, uploads: usize) -> Vec<JoinHandle<Response>> {
    let crowd = (0..uploads).map(|_| send(gateway, "one")).collect();
    eventually(|| gateway.sandbox.stats().calls(SandboxOperation::CreateAsset) > 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    crowd
}

#[tokio::test]
async fn one_callers_burst_doesnt_hold_up_another_callers_upload() {
    let gateway = gateway(&[("egain.rate", "1"), ("egain.budget_wait", "60s")]).await;
    let _crowd = crowd(&gateway, 30).await;
    let began = Instant::now();
    assert_eq!(
        send(&gateway, "other").await.unwrap().status(),
        StatusCode::CREATED
    );
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "two calls a second apart: {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn waiting_uploads_dont_hold_up_a_download() {
    let gateway = gateway(&[("egain.rate", "1"), ("egain.budget_wait", "60s")]).await;
    let mut crowd = crowd(&gateway, 30).await;
    let stored: Value = crowd.remove(0).await.unwrap().json().await.unwrap();
    let (id, began) = (stored["id"].as_str().unwrap(), Instant::now());
    let answer = gateway
        .get(&format!("/v1/assets/{id}/content"))
        .by("one")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "two calls a second apart: {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_full_queue_of_one_caller_stops_no_other() {
    let gateway = gateway(&[("egain.rate", "0.34"), ("egain.budget_wait", "7s")]).await;
    let _crowd = crowd(&gateway, 3).await;
    let refusal = Refusal::of(send(&gateway, "one").await.unwrap()).await;
    assert_eq!(
        refusal.told(),
        (503, "upstream-budget", "gateway", "budget")
    );
    assert!(
        refusal
            .retry_after
            .is_some_and(|wait| (7..=9).contains(&wait)),
        "behind its own two: {refusal:?}"
    );
    assert_eq!(
        send(&gateway, "other").await.unwrap().status(),
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn sharers_of_a_refused_call_get_their_own_turn() {
    let gateway = gateway(&[("egain.rate", "1"), ("egain.budget_wait", "3s")]).await;
    let look_up = |asset: &str, id: &str| {
        let request = gateway.get(&format!("/v1/assets/{asset}")).by(id).send();
        tokio::spawn(async { request.await.unwrap().status() })
    };
    let in_order = || tokio::time::sleep(Duration::from_millis(100));
    assert_eq!(look_up("none", "one").await.unwrap(), StatusCode::NOT_FOUND);
    let _before = look_up("before", "one");
    in_order().await;
    let shared = look_up("shared", "one");
    in_order().await;
    let sharing = look_up("shared", "other");
    let _in_between = (look_up("between", "third"), send(&gateway, "third"));
    assert_eq!(
        shared.await.unwrap(),
        StatusCode::SERVICE_UNAVAILABLE,
        "others made it wait too long"
    );
    assert_eq!(
        sharing.await.unwrap(),
        StatusCode::NOT_FOUND,
        "it was served in its own turn"
    );
}

/// An eGain that allows five calls a second and not one more, whatever held the first one up on its
/// way.
#[tokio::test]
async fn at_exactly_egains_rate_it_sends_no_429() {
    let five = PlanRate {
        per_second: 5.0,
        burst: 1,
    };
    let strict = SandboxConfig {
        plan: Some(Plan {
            assets: five,
            other: five,
            monthly: 1000,
        }),
        ..SandboxConfig::default()
    };
    let gateway = TestGateway::builder()
        .sandbox(strict)
        .settings(&[
            ("egain.rate", "5"),
            ("egain.burst", "1"),
            ("egain.budget_wait", "60s"),
        ])
        .start()
        .await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Token)
            .delay(Duration::from_millis(300))
            .once(),
    );
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::CreateAsset)
            .delay(Duration::from_millis(150))
            .once(),
    );
    let uploads = (0..10)
        .map(|_| send(&gateway, "anyone"))
        .collect::<Vec<_>>();
    for upload in uploads {
        assert_eq!(upload.await.unwrap().status(), StatusCode::CREATED);
    }
    assert_eq!(
        gateway
            .sandbox
            .stats()
            .answers(SandboxOperation::CreateAsset, StatusCode::TOO_MANY_REQUESTS),
        0
    );
}

/// So many seats in each direction.
const SEATS: [(&str, &str); 2] = [("server.max_uploads", "8"), ("server.max_downloads", "8")];

#[tokio::test]
async fn a_greedy_caller_leaves_upload_permits_to_others() {
    let gateway = gateway(&SEATS).await;
    let mut hog = Vec::new();
    for _ in 0..7 {
        let (mut body_writer, answer) = by_hand(
            gateway
                .post("/v1/assets?channel=sms&name=a.bin&size=300000")
                .by("one"),
        );
        body_writer.write(noise(10, 1)).await;
        hog.push((body_writer, answer));
    }
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"upload\"}", 7.0)
            .await
    );
    let refusal = Refusal::of(send(&gateway, "one").await.unwrap()).await;
    assert_eq!(
        (refusal.told(), refusal.retry_after),
        ((503, "overloaded", "gateway", "admit"), Some(1))
    );
    assert!(
        refusal.detail.contains("its share of uploads"),
        "{refusal:?}"
    );
    for _ in 0..3 {
        assert_eq!(
            send(&gateway, "other").await.unwrap().status(),
            StatusCode::CREATED
        );
    }
    assert_eq!(
        send(&gateway, "third").await.unwrap().status(),
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_greedy_caller_leaves_download_permits_to_others() {
    let gateway = gateway(&SEATS).await;
    // More than the buffers of the sockets on the way: who doesn't read keeps its seat.
    let large = gateway
        .post("/v1/assets?channel=sms&name=a.bin")
        .by("other")
        .body(noise(10_000_000, 1))
        .send()
        .await
        .unwrap();
    let stored: Value = large.json().await.unwrap();
    let content = format!("/v1/assets/{}/content", stored["id"].as_str().unwrap());
    let ask = async || {
        let mut reader = Wire::to(gateway.addr).await;
        reader
            .send(format!(
                "GET {content} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\r\n",
                key("one")
            ))
            .await;
        let head = reader.head().await;
        (reader, head)
    };
    let mut hog = Vec::new();
    for _ in 0..7 {
        let (reader, head) = ask().await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        hog.push(reader);
    }
    assert!(ask().await.1.starts_with("http/1.1 503"));
    let other = gateway.get(&content).by("other").send().await.unwrap();
    assert_eq!(
        (other.status(), other.bytes().await.unwrap().len()),
        (StatusCode::OK, 10_000_000)
    );
}
