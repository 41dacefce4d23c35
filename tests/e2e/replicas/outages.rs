//! Redis is slow, full, read-only, restarted or gone: no request fails, none waits for long, and
//! all comes back by itself.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::StatusCode;
use serde_json::Value;

use super::{Replicas, start_gateway};
use crate::support::gateway::{TestGateway, receipt};
use crate::support::redis::RedisServer;

/// An upload with a key, its metadata, its bytes and its deletion.
async fn whole_life(gateway: &TestGateway) {
    let request = gateway.post("/v1/assets?channel=sms&name=a.txt");
    let key = uuid::Uuid::new_v4().to_string();
    let request = request.header("idempotency-key", key).body("hello");
    let stored = receipt(request.send().await.unwrap()).await;
    let id = stored["id"].as_str().unwrap();
    assert_eq!(gateway.download(id).await, b"hello");
    let deleted = gateway
        .client
        .delete(gateway.url(&format!("/v1/assets/{id}")));
    assert_eq!(
        deleted.send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
}

async fn readiness(gateway: &TestGateway) -> (StatusCode, Value) {
    let url = format!("http://{}/readyz", gateway.admin);
    let response = gateway.client.get(url).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// All is well at every replica, whatever the store does.
async fn all_works(replicas: &Replicas) {
    for gateway in &replicas.gateways {
        whole_life(gateway).await;
        let (status, detail) = readiness(gateway).await;
        assert_eq!(status, StatusCode::OK, "{detail}");
    }
}

#[tokio::test]
async fn a_gateway_started_without_redis_uses_it_later() {
    let mut redis = RedisServer::start().await;
    redis.kill();
    let sandbox = asset_gateway::sandbox::Sandbox::start(Default::default()).unwrap();
    let gateway = start_gateway(&sandbox, &redis.url(), &[]).await;
    whole_life(&gateway).await;
    assert_eq!(readiness(&gateway).await.1["sharedStore"], "down");
    redis.restart().await;
    let is_up = gateway.counts("shared_store_up", 1.0).await
        || gateway.counts("shared_store_up", 1.0).await;
    assert!(is_up);
    assert_eq!(readiness(&gateway).await.1["sharedStore"], "up");
    whole_life(&gateway).await;
}

#[tokio::test]
async fn a_hanging_redis_costs_a_bounded_wait_then_none() {
    let replicas = Replicas::start(2).await;
    all_works(&replicas).await;
    replicas.redis.signal("STOP");
    let began = Instant::now();
    all_works(&replicas).await;
    // Three lives with some commands of 50 ms each, and then the circuit is open.
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    replicas.all_see(false).await;
    let began = Instant::now();
    all_works(&replicas).await;
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    replicas.redis.signal("CONT");
    replicas.all_see(true).await;
    all_works(&replicas).await;
}

#[tokio::test]
async fn a_slow_redis_fails_no_request() {
    let replicas = Replicas::start(2).await;
    let redis = &replicas.redis;
    std::thread::scope(|scope| {
        scope.spawn(|| redis.cli(&["DEBUG", "SLEEP", "0.4"]));
    });
    all_works(&replicas).await;
    replicas.all_see(true).await;
}

#[tokio::test]
async fn a_full_redis_is_lost_until_there_is_room() {
    let replicas = Replicas::start(2).await;
    replicas.redis.cli(&["CONFIG", "SET", "maxmemory", "100kb"]);
    replicas.all_see(false).await;
    all_works(&replicas).await;
    replicas.redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    replicas.all_see(true).await;
    all_works(&replicas).await;
}

#[tokio::test]
async fn a_read_only_redis_is_lost_until_writable() {
    let replicas = Replicas::start(2).await;
    let primary = RedisServer::start().await;
    let port = primary.port().to_string();
    replicas.redis.cli(&["REPLICAOF", "127.0.0.1", &port]);
    replicas.all_see(false).await;
    all_works(&replicas).await;
    replicas.redis.cli(&["REPLICAOF", "NO", "ONE"]);
    replicas.all_see(true).await;
    all_works(&replicas).await;
}

#[tokio::test]
async fn losing_all_of_redis_loses_nothing_accepted() {
    let mut replicas = Replicas::start(2).await;
    let id = replicas.upload(0).await;
    for gateway in &replicas.gateways {
        assert_eq!(gateway.download(&id).await, b"hello");
    }
    replicas.redis.kill();
    replicas.all_see(false).await;
    all_works(&replicas).await;
    replicas.redis.restart().await;
    replicas.all_see(true).await;
    for gateway in &replicas.gateways {
        assert_eq!(gateway.download(&id).await, b"hello");
    }
    all_works(&replicas).await;
    assert_eq!(replicas.sandbox.assets().len(), 1);
}

#[tokio::test]
async fn a_restarted_redis_meets_one_connection_per_replica() {
    let mut replicas = Replicas::start(2).await;
    let id = replicas.upload(0).await;
    replicas.redis.kill();
    replicas.all_see(false).await;
    for _ in 0..50 {
        all_requested(&replicas, &id).await;
    }
    replicas.redis.restart().await;
    replicas.all_see(true).await;
    let clients = replicas.redis.cli(&["INFO", "stats"]);
    let received = clients
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    // Two replicas; the test's own `redis-cli` and its look whether Redis listens.
    let received: u64 = received.unwrap().trim().parse().unwrap();
    assert!(received <= 6, "{received} connections");
    assert!(replicas.sandbox.stats().calls(SandboxOperation::GetAsset) <= 2);
}

async fn all_requested(replicas: &Replicas, id: &str) {
    for gateway in &replicas.gateways {
        let response = gateway.get(&format!("/v1/assets/{id}")).send().await;
        assert_eq!(response.unwrap().status(), StatusCode::OK);
    }
}
