//! The same `Idempotency-Key` at several replicas stores one file.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::Replicas;
use crate::support::gateway::{TestGateway, eventually, receipt};
use crate::support::refusal::Refusal;

async fn upload(gateway: &TestGateway, body: &'static str) -> Response {
    let request = gateway.post("/v1/assets?channel=sms&name=a.txt");
    let request = request.header("idempotency-key", "one").body(body);
    request.send().await.unwrap()
}

fn created(replicas: &Replicas) -> u64 {
    replicas
        .sandbox
        .stats()
        .calls(SandboxOperation::CreateAsset)
}

#[tokio::test]
async fn one_key_at_two_replicas_makes_one_asset() {
    let replicas = Replicas::start(2).await;
    let slow = Fault::at(SandboxOperation::CreateAsset).delay(Duration::from_millis(300));
    replicas.sandbox.fault(slow);
    let [one, other] = [0, 1].map(|at| upload(&replicas.gateways[at], "hello"));
    let (one, other) = tokio::join!(one, other);
    let (won, lost) = match one.status() {
        StatusCode::CREATED => (one, other),
        _ => (other, one),
    };
    let stored = receipt(won).await;
    let refusal = Refusal::of(lost).await;
    assert_eq!(
        (refusal.told(), refusal.retry_after),
        ((409, "idempotency-in-progress", "caller", "admit"), Some(1))
    );
    assert_eq!(created(&replicas), 1);
    for gateway in &replicas.gateways {
        let again: Value = receipt(upload(gateway, "hello").await).await;
        assert_eq!(again, stored);
    }
    assert_eq!(
        (created(&replicas), replicas.sandbox.assets().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn another_replicas_key_refuses_another_file() {
    let replicas = Replicas::start(2).await;
    receipt(upload(&replicas.gateways[0], "hello").await).await;
    let refusal = Refusal::of(upload(&replicas.gateways[1], "other").await).await;
    assert_eq!(refusal.told().1, "idempotency-mismatch");
}

#[tokio::test]
async fn a_failed_upload_frees_its_key_at_all_replicas() {
    let replicas = Replicas::start(2).await;
    let refused = Fault::at(SandboxOperation::CreateAsset).status(StatusCode::BAD_REQUEST);
    replicas.sandbox.fault(refused.once());
    assert!(
        !upload(&replicas.gateways[0], "hello")
            .await
            .status()
            .is_success()
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    receipt(upload(&replicas.gateways[1], "hello").await).await;
}

#[tokio::test]
async fn another_replicas_deletion_frees_the_key() {
    let replicas = Replicas::start(3).await;
    let stored = receipt(upload(&replicas.gateways[0], "hello").await).await;
    let id = stored["id"].as_str().unwrap();
    let deleting = &replicas.gateways[1];
    let deleted = deleting
        .client
        .delete(deleting.url(&format!("/v1/assets/{id}")));
    assert_eq!(
        deleted.send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    // One that has never seen the key, and the one that made the first response.
    for at in [2, 0] {
        let again = receipt(upload(&replicas.gateways[at], "hello").await).await;
        assert_ne!(again["id"], stored["id"]);
    }
    assert_eq!(created(&replicas), 2);
}

#[tokio::test]
async fn a_dead_replicas_key_is_free_after_its_lease() {
    let replicas = Replicas::start(1).await;
    receipt(upload(&replicas.gateways[0], "hello").await).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let key = replicas.redis.cli(&["KEYS", "*:upload:*"]);
    let mut others = Replicas::start(0).await;
    others.redis = replicas.redis;
    others.add(&[]).await;
    let tenants = others.redis.cli(&["KEYS", "*:upload:*"]);
    assert_eq!(tenants, key);
    // The stand-in differs, and so does the tenant: its keys are others.
    receipt(upload(&others.gateways[0], "other").await).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let both = others.redis.cli(&["KEYS", "*:upload:*"]);
    let own = both.lines().find(|name| *name != key).unwrap();
    others.add(&[]).await;
    others.redis.cli(&["SET", own, "owner:dead", "PX", "700"]);
    let refusal = Refusal::of(upload(&others.gateways[1], "other").await).await;
    assert_eq!(refusal.told().1, "idempotency-in-progress");
    tokio::time::sleep(Duration::from_millis(900)).await;
    receipt(upload(&others.gateways[1], "other").await).await;
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_its_upload() {
    let replicas = Replicas::start(2).await;
    let slow = Fault::at(SandboxOperation::CreateAsset).delay(Duration::from_secs(12));
    replicas.sandbox.fault(slow.once());
    let running = upload(&replicas.gateways[0], "hello");
    let meanwhile = async {
        eventually(|| created(&replicas) == 1).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
        Refusal::of(upload(&replicas.gateways[1], "hello").await).await
    };
    let (first, refusal) = tokio::join!(running, meanwhile);
    assert_eq!(refusal.told().1, "idempotency-in-progress");
    receipt(first).await;
}
