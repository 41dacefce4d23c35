//! `DELETE /v1/assets/{id}`.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::{Response, StatusCode};
use serde_json::json;
use tokio::time::sleep;

use crate::support::gateway::{TestGateway, eventually, noise, problem, receipt};

async fn stored(gateway: &TestGateway) -> String {
    let receipt = gateway.upload("a.bin", noise(10, 1)).await;
    format!("/v1/assets/{}", receipt["id"].as_str().unwrap())
}

async fn delete(gateway: &TestGateway, path: &str) -> Response {
    gateway
        .client
        .delete(gateway.url(path))
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_deleted_asset_is_gone_despite_its_cached_url() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    assert_eq!(
        gateway.get(&path).send().await.unwrap().status(),
        StatusCode::OK
    );
    let deleted = delete(&gateway, &path).await;
    assert_eq!(
        (deleted.status(), deleted.bytes().await.unwrap().len()),
        (StatusCode::NO_CONTENT, 0)
    );
    assert!(gateway.sandbox.assets().is_empty());
    for path in [path.clone(), format!("{path}/content")] {
        assert_eq!(
            problem(gateway.get(&path).send().await.unwrap()).await.1,
            "not-found"
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::GetAsset),
        2,
        "eGain was asked, once"
    );
}

/// Else its entry would be found again when the mark that it is dead has ended.
#[tokio::test]
async fn nothing_is_remembered_of_deleted_assets() {
    let gateway = TestGateway::start().await;
    for _ in 0..10 {
        let path = stored(&gateway).await;
        assert_eq!(
            gateway.get(&path).send().await.unwrap().status(),
            StatusCode::OK
        );
        assert_eq!(
            delete(&gateway, &path).await.status(),
            StatusCode::NO_CONTENT
        );
    }
    let other = stored(&gateway).await;
    let began = std::time::Instant::now();
    // The cache counts its entries now and then, when it is used.
    while gateway.metric("url_cache_entries").await != 1.0 {
        assert!(
            began.elapsed() < std::time::Duration::from_secs(5),
            "{}",
            gateway.metric("url_cache_entries").await
        );
        assert_eq!(
            gateway.get(&other).send().await.unwrap().status(),
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn an_unknown_asset_cant_be_deleted() {
    let gateway = TestGateway::start().await;
    let answer = delete(&gateway, "/v1/assets/unknown").await;
    assert_eq!(
        problem(answer).await,
        (
            404,
            "not-found".into(),
            "caller".into(),
            "delete".into(),
            false
        )
    );
}

#[tokio::test]
async fn an_asset_in_use_survives_deletion_and_is_served() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    let said = json!({"code": "409-100", "developerMessage": "in use"});
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::DeleteAsset)
            .status(StatusCode::CONFLICT)
            .body(said),
    );
    let answer = delete(&gateway, &path).await;
    assert_eq!(
        problem(answer).await,
        (
            409,
            "conflict".into(),
            "caller".into(),
            "delete".into(),
            false
        )
    );
    assert_eq!(
        gateway.get(&path).send().await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_unclear_deletion_drops_the_cached_url() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.request_timeout", "300ms")])
        .start()
        .await;
    let path = stored(&gateway).await;
    gateway.get(&path).send().await.unwrap();
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::DeleteAsset).stall());
    assert_eq!(
        problem(delete(&gateway, &path).await).await.1,
        "upstream-timeout"
    );
    gateway.get(&path).send().await.unwrap();
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::GetAsset), 2);
}

#[tokio::test]
async fn a_deletion_counts_though_its_client_disconnects() {
    let gateway = TestGateway::start().await;
    let upload = || {
        let request = gateway.post("/v1/assets?channel=sms&name=a.txt");
        request.header("idempotency-key", "k").body("text").send()
    };
    let first = receipt(upload().await.unwrap()).await;
    let path = format!("/v1/assets/{}", first["id"].as_str().unwrap());
    // Its URL is in the cache, and its key in the store.
    assert_eq!(gateway.get(&path).send().await.unwrap().status(), 200);
    let slow = Fault::at(SandboxOperation::DeleteAsset).delay(Duration::from_millis(500));
    gateway.sandbox.fault(slow.once());
    let request = gateway.client.delete(gateway.url(&path));
    let left = request.timeout(Duration::from_millis(200)).send().await;
    assert!(left.unwrap_err().is_timeout());
    assert!(eventually(|| gateway.sandbox.assets().is_empty()).await);
    // eGain's response is about to reach the gateway.
    sleep(Duration::from_millis(200)).await;
    assert_eq!(gateway.get(&path).send().await.unwrap().status(), 404);
    let second = receipt(upload().await.unwrap()).await;
    assert_ne!(first["id"], second["id"], "a key leads to no deleted asset");
}

#[tokio::test]
async fn deletes_have_an_allowance_of_their_own() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.other_rate", "0.001"),
            ("egain.other_burst", "1"),
            ("egain.budget_wait", "0s"),
        ])
        .start()
        .await;
    let (first, second) = (stored(&gateway).await, stored(&gateway).await);
    assert_eq!(
        delete(&gateway, &first).await.status(),
        StatusCode::NO_CONTENT
    );
    let refused = delete(&gateway, &second).await;
    assert!(
        refused.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 900
    );
    assert_eq!(
        problem(refused).await,
        (
            503,
            "upstream-budget".into(),
            "gateway".into(),
            "budget".into(),
            true
        )
    );
    assert_eq!(
        gateway.get(&second).send().await.unwrap().status(),
        StatusCode::OK
    );
}
