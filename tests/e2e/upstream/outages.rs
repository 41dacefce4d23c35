//! eGain that fails: what it may have done isn't asked for again, and an outage costs a call now
//! and then.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use futures_util::future::join_all;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use reqwest::{Method, StatusCode};

use crate::support::fake_storage::Storage;
use crate::support::gateway::TestGateway;
use crate::support::late_egain::LateEgain;
use crate::support::refusal::Refusal;

fn create() -> Fault {
    Fault::at(SandboxOperation::CreateAsset)
}

async fn upload(gateway: &TestGateway) -> reqwest::Response {
    gateway
        .post("/v1/assets?channel=sms")
        .body("text")
        .send()
        .await
        .unwrap()
}

fn created(gateway: &TestGateway) -> u64 {
    gateway.sandbox.stats().calls(SandboxOperation::CreateAsset)
}

#[tokio::test]
async fn a_creation_that_may_have_happened_isnt_retried() {
    let failures = [
        create()
            .done()
            .status(StatusCode::GATEWAY_TIMEOUT)
            .body("<html>"),
        create().done().status(StatusCode::INTERNAL_SERVER_ERROR),
        create().done().status(StatusCode::SERVICE_UNAVAILABLE),
        create().done().close(),
    ];
    join_all(failures.map(async |fault| {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(fault.clone());
        let refusal = Refusal::of(upload(&gateway).await).await;
        assert!(refusal.retryable, "{refusal:?}");
        assert_eq!(
            (created(&gateway), gateway.sandbox.assets().len()),
            (1, 1),
            "one that can't be named, and not three: {fault:?}"
        );
    }))
    .await;
}

#[tokio::test]
async fn reads_and_deletions_are_repeated_freely() {
    let failures = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY]
        .map(|status| Fault::at(SandboxOperation::GetAsset).status(status));
    for fault in failures
        .into_iter()
        .chain([Fault::at(SandboxOperation::GetAsset).close()])
    {
        let gateway = TestGateway::start().await;
        let stored = gateway.upload("a.txt", b"text".to_vec()).await;
        let path = format!("/v1/assets/{}", stored["id"].as_str().unwrap());
        gateway.sandbox.fault(fault.clone().times(2));
        assert_eq!(
            gateway.get(&path).send().await.unwrap().status(),
            StatusCode::OK,
            "{fault:?}"
        );
        gateway.sandbox.fault(
            Fault {
                at: SandboxOperation::DeleteAsset,
                ..fault
            }
            .times(2),
        );
        let deleted = gateway
            .client
            .request(Method::DELETE, gateway.url(&path))
            .send()
            .await
            .unwrap();
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_creation_that_never_reached_egain_is_retried() {
    let egain = LateEgain::absent().await;
    let gateway = TestGateway::builder()
        .settings(&[("egain.base_url", &egain.base_url())])
        .start()
        .await;
    let arrives = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        egain.arrive(gateway.sandbox.addr()).await;
    };
    let (answer, ()) = tokio::join!(upload(&gateway), arrives);
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(created(&gateway), 1);
}

#[tokio::test]
async fn an_outage_costs_five_calls_then_only_probes() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        create()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .delay(Duration::from_millis(30)),
    );
    for _ in 0..20 {
        let refusal = Refusal::of(upload(&gateway).await).await;
        assert_eq!(
            refusal.told(),
            (503, "upstream-unavailable", "egain", "sign")
        );
        assert!(
            refusal
                .retry_after
                .is_some_and(|wait| (1..=5).contains(&wait)),
            "{refusal:?}"
        );
    }
    assert_eq!(created(&gateway), 5);
    assert!(
        gateway
            .metric("upstream_pause_seconds{routes=\"assets\"}")
            .await
            > 0.0
    );
    let read = gateway.get("/v1/assets/a1").send().await.unwrap();
    assert_eq!(
        Refusal::of(read).await.kind(),
        (503, "upstream-unavailable"),
        "a call of the same kind of routes"
    );
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::GetAsset), 0);
    let deleted = gateway
        .client
        .request(Method::DELETE, gateway.url("/v1/assets/a1"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        deleted.status(),
        StatusCode::NOT_FOUND,
        "the other kind goes on"
    );
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let crowd = join_all((0..8).map(|_| upload(&gateway))).await;
    assert!(
        crowd
            .iter()
            .all(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE)
    );
    assert_eq!(created(&gateway), 6, "one of eight probes");
    gateway.sandbox.reset();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    for _ in 0..2 {
        assert_eq!(upload(&gateway).await.status(), StatusCode::CREATED);
    }
    assert_eq!(
        gateway
            .metric("upstream_pause_seconds{routes=\"assets\"}")
            .await,
        0.0
    );
}

#[tokio::test]
async fn an_outage_lasts_at_least_a_503s_retry_after() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.max_pause", "3s")])
        .start()
        .await;
    let busy = create()
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .header(RETRY_AFTER, HeaderValue::from_static("120"));
    gateway.sandbox.fault(busy.times(5));
    for _ in 0..6 {
        let refusal = Refusal::of(upload(&gateway).await).await;
        assert!(
            refusal
                .retry_after
                .is_some_and(|wait| (1..=3).contains(&wait)),
            "what is heeded, not 120: {refusal:?}"
        );
    }
    let began = Instant::now();
    while upload(&gateway).await.status() != StatusCode::CREATED {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        (2000..5000).contains(&began.elapsed().as_millis()),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(created(&gateway), 6);
}

#[tokio::test]
async fn calls_never_sent_dont_count_in_the_month() {
    let egain = LateEgain::absent().await;
    let quota = [
        ("egain.monthly_quota", "2"),
        ("egain.enforce_quota", "true"),
    ];
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.base_url", egain.base_url().as_str()),
            quota[0],
            quota[1],
        ])
        .start()
        .await;
    for _ in 0..4 {
        assert_eq!(
            Refusal::of(upload(&gateway).await).await.kind(),
            (503, "upstream-unavailable")
        );
    }
    assert_eq!(
        gateway
            .metric("upstream_quota_used_ratio{routes=\"assets\"}")
            .await,
        0.0
    );
    egain.arrive(gateway.sandbox.addr()).await;
    let began = Instant::now();
    while upload(&gateway).await.status() != StatusCode::CREATED {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        gateway
            .metric("upstream_quota_used_ratio{routes=\"assets\"}")
            .await,
        0.5
    );
    assert_eq!(upload(&gateway).await.status(), StatusCode::CREATED);
    assert_eq!(
        Refusal::of(upload(&gateway).await).await.kind(),
        (503, "upstream-quota")
    );
}

#[tokio::test]
async fn calls_that_timed_out_count_in_the_month() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.monthly_quota", "10"),
            ("egain.request_timeout", "300ms"),
        ])
        .start()
        .await;
    gateway.sandbox.fault(create().stall());
    assert_eq!(
        Refusal::of(upload(&gateway).await).await.kind(),
        (504, "upstream-timeout")
    );
    assert_eq!(
        gateway
            .metric("upstream_quota_used_ratio{routes=\"assets\"}")
            .await,
        0.1
    );
}

#[tokio::test]
async fn calls_in_flight_never_exceed_a_burst() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.burst", "2"),
            ("egain.other_burst", "1"),
            ("egain.budget_wait", "60s"),
        ])
        .start()
        .await;
    // Longer than the bucket alone would hold a call's place.
    let slow = |operation| Fault::at(operation).delay(Duration::from_millis(1200));
    gateway.sandbox.fault(slow(SandboxOperation::CreateAsset));
    gateway.sandbox.fault(slow(SandboxOperation::DeleteAsset));
    let uploads = join_all((0..4).map(|_| upload(&gateway))).await;
    assert!(
        uploads
            .iter()
            .all(|answer| answer.status() == StatusCode::CREATED)
    );
    let ids: Vec<String> = gateway
        .sandbox
        .assets()
        .into_iter()
        .map(|asset| asset.id)
        .collect();
    let delete = async |id: &String| {
        gateway
            .client
            .request(Method::DELETE, gateway.url(&format!("/v1/assets/{id}")))
            .send()
            .await
    };
    for deleted in join_all(ids.iter().take(2).map(delete)).await {
        assert_eq!(deleted.unwrap().status(), StatusCode::NO_CONTENT);
    }
    let calls = gateway.sandbox.stats().operations;
    assert_eq!(calls[&SandboxOperation::CreateAsset].most_at_once, 2);
    assert_eq!(calls[&SandboxOperation::DeleteAsset].most_at_once, 1);
}

#[tokio::test]
async fn available_calls_are_computed_at_each_scrape() {
    let gateway = TestGateway::builder()
        .sandbox(SandboxConfig::default())
        .settings(&[("egain.rate", "5"), ("egain.burst", "3")])
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(upload(&gateway).await.status(), StatusCode::CREATED);
    }
    let spent = gateway
        .metric("upstream_budget_tokens{routes=\"assets\"}")
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let later = gateway
        .metric("upstream_budget_tokens{routes=\"assets\"}")
        .await;
    assert!(later >= (spent + 1.0).min(3.0), "{spent}, then {later}");
}

#[tokio::test]
async fn every_call_says_which_language_and_form_it_takes() {
    let answer = b"HTTP/1.1 500 Sorry\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
    let (signs_in, api) = (
        Storage::that_says(vec![answer.clone()]).await,
        Storage::that_says(vec![answer]).await,
    );
    let token_url = format!("http://{}/token", signs_in.addr());
    let gateway = TestGateway::builder()
        .settings(&[("egain.token_url", &token_url)])
        .start()
        .await;
    upload(&gateway).await;
    let base_url = format!("http://{}/v3", api.addr());
    let gateway_of_api = TestGateway::builder()
        .settings(&[("egain.base_url", &base_url)])
        .start()
        .await;
    upload(&gateway_of_api).await;
    for head in [signs_in.heads().remove(0), api.heads().remove(0)] {
        let head = head.to_ascii_lowercase();
        assert!(head.contains("\r\naccept: application/json\r\n"), "{head}");
        assert!(head.contains("\r\naccept-language: en-us\r\n"), "{head}");
    }
}
