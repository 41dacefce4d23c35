//! A deletion at one replica is one at all.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;
use serde_json::json;

use super::Replicas;
use crate::support::gateway::TestGateway;

async fn metadata(gateway: &TestGateway, id: &str) -> StatusCode {
    let path = format!("/v1/assets/{id}");
    gateway.get(&path).send().await.unwrap().status()
}

async fn delete(gateway: &TestGateway, id: &str) {
    let deleted = gateway
        .client
        .delete(gateway.url(&format!("/v1/assets/{id}")));
    assert_eq!(
        deleted.send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn all_replicas_see_a_deletion_within_100_ms() {
    let replicas = Replicas::start(3).await;
    let id = replicas.upload(0).await;
    for gateway in &replicas.gateways {
        assert_eq!(metadata(gateway, &id).await, StatusCode::OK);
    }
    delete(&replicas.gateways[0], &id).await;
    let deleted = Instant::now();
    for gateway in &replicas.gateways[1..] {
        while metadata(gateway, &id).await != StatusCode::NOT_FOUND {
            assert!(deleted.elapsed() < Duration::from_millis(100));
        }
    }
}

#[tokio::test]
async fn a_late_fetch_doesnt_revive_a_deleted_asset() {
    let replicas = Replicas::start(3).await;
    let id = replicas.upload(0).await;
    // eGain has responded before the deletion, and its response is late.
    let url = format!(
        "http://{}/files/1?signature=of-a-test",
        replicas.sandbox.addr()
    );
    let alive = json!({ "contentUrl": url, "contentUrlExpiry": "2099-01-01T00:00:00Z" });
    let late = Fault::at(SandboxOperation::GetAsset)
        .delay(Duration::from_millis(500))
        .status(StatusCode::OK)
        .body(alive);
    replicas.sandbox.fault(late.once());
    let fetching = replicas.gateways[1].get(&format!("/v1/assets/{id}"));
    let fetching = tokio::spawn(fetching.send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    delete(&replicas.gateways[0], &id).await;
    assert_eq!(
        metadata(&replicas.gateways[2], &id).await,
        StatusCode::NOT_FOUND
    );
    let late = fetching.await.unwrap().unwrap().status();
    assert_eq!(late, StatusCode::NOT_FOUND);
    for gateway in &replicas.gateways {
        assert_eq!(metadata(gateway, &id).await, StatusCode::NOT_FOUND);
    }
    let shared = replicas.redis.cli(&["KEYS", "*:url:*"]);
    assert!(
        shared.is_empty(),
        "the late one isn't stored again: {shared}"
    );
}

#[tokio::test]
async fn a_reconnected_replica_learns_of_missed_deletions() {
    let replicas = Replicas::start(2).await;
    let id = replicas.upload(0).await;
    for gateway in &replicas.gateways {
        assert_eq!(metadata(gateway, &id).await, StatusCode::OK);
    }
    let clients = replicas.redis.cli(&["CLIENT", "LIST", "TYPE", "pubsub"]);
    let last = clients.lines().last().unwrap();
    let number = last.split([' ', '=']).nth(1).unwrap();
    assert_eq!(replicas.redis.cli(&["CLIENT", "KILL", "ID", number]), "1");
    delete(&replicas.gateways[0], &id).await;
    let began = Instant::now();
    while metadata(&replicas.gateways[1], &id).await != StatusCode::NOT_FOUND {
        assert!(began.elapsed() < Duration::from_secs(3));
    }
}
