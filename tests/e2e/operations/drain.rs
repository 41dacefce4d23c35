//! From "told to stop" to stopped: first unready but serving, then no new uploads, then the end.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::header::{CONNECTION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::downloads::content::stored;
use crate::downloads::leaving::SlowUpload;
use crate::support::fake_storage::Storage;
use crate::support::gateway::{TestGateway, eventually, noise, problem};
use crate::support::raw_client::Wire;

const SIZE: usize = 400_000;

async fn readiness(gateway: &TestGateway) -> (StatusCode, String) {
    let answer = gateway
        .client
        .get(format!("http://{}/readyz", gateway.admin))
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    (status, body["status"].as_str().unwrap().to_owned())
}

/// Uploads, which tells one phase from the next.
async fn upload(gateway: &TestGateway) -> Response {
    gateway
        .post("/v1/assets?channel=sms&name=a.bin")
        .body(noise(10, 1))
        .send()
        .await
        .unwrap()
}

async fn until_unready(gateway: &TestGateway) {
    let began = Instant::now();
    while readiness(gateway).await.0 == StatusCode::OK {
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "it is unready at once"
        );
    }
}

#[tokio::test]
async fn a_not_ready_gateway_serves_and_closes_connections() {
    let gateway = TestGateway::builder()
        .settings(&[("server.drain_delay", "1s")])
        .start()
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    assert!(!upload(&gateway).await.headers().contains_key(CONNECTION));
    gateway.stop();
    until_unready(&gateway).await;
    assert_eq!(
        readiness(&gateway).await,
        (StatusCode::SERVICE_UNAVAILABLE, "draining".to_owned())
    );
    assert_eq!(gateway.metric("draining").await, 1.0);
    let answers = [
        gateway.get(&path).send().await.unwrap(),
        gateway.get("/nowhere").send().await.unwrap(),
        upload(&gateway).await,
    ];
    for (answer, status) in answers.into_iter().zip([200, 404, 201]) {
        assert_eq!(
            (
                answer.status().as_u16(),
                answer.headers()[CONNECTION].to_str().unwrap()
            ),
            (status, "close")
        );
    }
    assert_eq!(gateway.ending().await.cut, 0);
}

#[tokio::test]
async fn a_draining_gateway_finishes_uploads_and_refuses_new_ones() {
    let gateway = TestGateway::builder()
        .settings(&[("server.drain_delay", "300ms")])
        .start()
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    let running = SlowUpload::begin(&gateway, SIZE).await;
    gateway.stop();
    let began = Instant::now();
    let mut refused = upload(&gateway).await;
    while refused.status() == StatusCode::CREATED {
        refused = upload(&gateway).await;
    }
    assert!(
        began.elapsed() > Duration::from_millis(250),
        "uploads were taken for the whole delay"
    );
    assert!(refused.headers().contains_key(RETRY_AFTER));
    assert_eq!(
        problem(refused).await,
        (
            503,
            "draining".into(),
            "gateway".into(),
            "admit".into(),
            true
        )
    );
    assert_eq!(
        gateway.get(&path).send().await.unwrap().status(),
        StatusCode::OK,
        "what is cheap is still served"
    );
    assert_eq!(
        running.finish(SIZE).await.unwrap().status(),
        StatusCode::CREATED
    );
    let addr = gateway.addr;
    let ended = timeout(Duration::from_secs(2), gateway.ending())
        .await
        .expect("nothing is left to wait for");
    assert_eq!(ended.cut, 0);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_upload_is_cut_and_its_asset_deleted() {
    let gateway = TestGateway::builder()
        .settings(&[("server.shutdown_grace", "500ms")])
        .start()
        .await;
    let running = SlowUpload::begin(&gateway, SIZE).await;
    assert_eq!(gateway.sandbox.assets().len(), 1);
    gateway.stop();
    let began = Instant::now();
    let (sandbox, ended) = gateway.ending_and_sandbox().await;
    assert!(
        (0.5..2.5).contains(&began.elapsed().as_secs_f64()),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(ended.cut, 1);
    assert!(sandbox.assets().is_empty(), "{:?}", sandbox.assets());
    assert!(running.answer.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_and_still_deletes_orphans() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("server.drain_delay", "1m"),
            ("server.shutdown_grace", "1m"),
        ])
        .start()
        .await;
    let _running = SlowUpload::begin(&gateway, SIZE).await;
    gateway.stop();
    until_unready(&gateway).await;
    let began = Instant::now();
    gateway.abort();
    let (sandbox, ended) = gateway.ending_and_sandbox().await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(ended.cut, 1);
    assert!(sandbox.assets().is_empty(), "{:?}", sandbox.assets());
}

#[tokio::test]
async fn orphans_that_wait_at_shutdown_are_deleted() {
    let gateway = TestGateway::start().await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).status(StatusCode::FORBIDDEN));
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::DeleteAsset)
            .status(StatusCode::INTERNAL_SERVER_ERROR)
            .times(4),
    );
    assert_eq!(upload(&gateway).await.status(), StatusCode::BAD_GATEWAY);
    assert!(
        eventually(|| gateway.sandbox.stats().calls(SandboxOperation::DeleteAsset) == 4).await,
        "each one was tried twice"
    );
    assert!(!gateway.sandbox.assets().is_empty());
    gateway.stop();
    let (sandbox, ended) = gateway.ending_and_sandbox().await;
    assert_eq!((ended.cut, sandbox.assets()), (0, Vec::new()));
}

#[tokio::test]
async fn a_running_download_is_finished() {
    let (first, second) = (noise(1000, 1), noise(1000, 2));
    let (storage, release) = Storage::in_two_parts(first.clone(), second.clone()).await;
    let gateway = storage.gateway(&[]).await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    let mut caller = Wire::to(gateway.addr).await;
    caller
        .send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
        .await;
    assert!(caller.head().await.contains("content-length: 2000"));
    assert!(caller.bytes(1000).await == first);
    gateway.stop();
    until_unready(&gateway).await;
    release.send(()).unwrap();
    assert!(caller.bytes(1000).await == second);
    assert!(
        caller.rest().await.is_empty(),
        "and then the connection closes"
    );
    assert_eq!(gateway.ending().await.cut, 0);
}

#[tokio::test]
async fn idle_connections_dont_hold_the_end_up() {
    let gateway = TestGateway::builder()
        .settings(&[("server.shutdown_grace", "1m")])
        .start()
        .await;
    let mut idle = Wire::to(gateway.addr).await;
    idle.send("GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.head().await;
    let silent = Wire::to(gateway.addr).await;
    gateway.stop();
    let ended = timeout(Duration::from_secs(2), gateway.ending())
        .await
        .expect("nobody waits for them");
    assert_eq!(ended.cut, 0);
    drop((idle, silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_keep_coming_dont_keep_it_from_stopping() {
    let gateway = TestGateway::builder()
        .settings(&[("server.shutdown_grace", "1m")])
        .start()
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Download).delay(Duration::from_millis(400)));
    let (client, url) = (gateway.client.clone(), gateway.url(&path));
    let callers = tokio::spawn(async move {
        loop {
            tokio::spawn(client.get(&url).send());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(eventually(|| gateway.sandbox.stats().calls(SandboxOperation::Download) > 5).await);
    gateway.stop();
    let ended = timeout(Duration::from_secs(5), gateway.ending())
        .await
        .expect("late ones aren't waited for");
    assert_eq!(ended.cut, 0);
    callers.abort();
}
