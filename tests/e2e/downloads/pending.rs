//! Assets that aren't available yet (eGain 400-766), or never will be (400-765).

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde_json::json;

use crate::support::gateway::{TestGateway, noise, problem};

fn refusal(code: &str) -> Fault {
    let body = json!({"code": code, "developerMessage": "as eGain says it"});
    Fault::at(SandboxOperation::GetAsset)
        .status(StatusCode::BAD_REQUEST)
        .body(body)
}

async fn stored(gateway: &TestGateway) -> String {
    let receipt = gateway.upload("a.bin", noise(10, 1)).await;
    format!("/v1/assets/{}", receipt["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_pending_asset_is_served_once_available() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.pending_wait", "5s")])
        .start()
        .await;
    let path = stored(&gateway).await;
    gateway.sandbox.fault(refusal("400-766").once());
    assert_eq!(
        gateway.get(&path).send().await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::GetAsset), 2);
}

#[tokio::test]
async fn a_still_pending_asset_is_reported_and_cached_briefly() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.pending_wait", "1500ms"),
            ("cache.negative_ttl", "5s"),
        ])
        .start()
        .await;
    let path = stored(&gateway).await;
    gateway.sandbox.fault(refusal("400-766"));
    let began = Instant::now();
    let answer = gateway.get(&path).send().await.unwrap();
    assert!(answer.headers().contains_key(RETRY_AFTER));
    assert_eq!(
        problem(answer).await,
        (
            503,
            "asset-pending".into(),
            "egain".into(),
            "sign".into(),
            true
        )
    );
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    let calls = gateway.sandbox.stats().calls(SandboxOperation::GetAsset);
    assert!(calls >= 2, "it was waited for");
    let content = gateway
        .get(&format!("{path}/content"))
        .send()
        .await
        .unwrap();
    assert_eq!(problem(content).await.1, "asset-pending");
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::GetAsset),
        calls,
        "it was remembered"
    );
}

#[tokio::test]
async fn malicious_content_is_told_at_once_and_for_good() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    gateway.sandbox.fault(refusal("400-765"));
    let answer = gateway.get(&path).send().await.unwrap();
    assert_eq!(
        problem(answer).await,
        (
            422,
            "content-rejected".into(),
            "caller".into(),
            "sign".into(),
            false
        )
    );
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::GetAsset), 1);
}

#[tokio::test]
async fn what_egain_said_is_passed_on() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    gateway.sandbox.fault(refusal("400-765"));
    let answer = gateway.get(&path).send().await.unwrap();
    let document: serde_json::Value = answer.json().await.unwrap();
    let upstream =
        json!({"status": 400, "code": "400-765", "developerMessage": "as eGain says it"});
    assert_eq!(document["upstream"], upstream);
}
