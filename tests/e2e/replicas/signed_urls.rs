//! What one replica has fetched, the others needn't fetch.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;
use std::time::Duration;

use super::{Replicas, start_gateway};
use crate::support::gateway::TestGateway;
use crate::support::redis::RedisServer;
use crate::support::secret_canary;

async fn metadata(gateway: &TestGateway, id: &str) -> StatusCode {
    let path = format!("/v1/assets/{id}");
    gateway.get(&path).send().await.unwrap().status()
}

#[tokio::test]
async fn a_cold_asset_costs_all_replicas_one_call() {
    let replicas = Replicas::start(3).await;
    let id = replicas.upload(0).await;
    let slow = Fault::at(SandboxOperation::GetAsset).delay(Duration::from_millis(300));
    replicas.sandbox.fault(slow);
    let [one, other, third] = [0, 1, 2].map(|at| metadata(&replicas.gateways[at], &id));
    let statuses = tokio::join!(one, other, third);
    assert_eq!(statuses, (StatusCode::OK, StatusCode::OK, StatusCode::OK));
    assert_eq!(
        replicas.sandbox.stats().calls(SandboxOperation::GetAsset),
        1
    );
    let mut shared = 0.0;
    for gateway in &replicas.gateways {
        shared += gateway
            .metric("url_cache_requests_total{result=\"shared_hit\"}")
            .await;
    }
    assert_eq!(shared, 2.0);
}

#[tokio::test]
async fn a_hot_asset_costs_a_replica_one_round_trip() {
    let replicas = Replicas::start(2).await;
    let id = replicas.upload(0).await;
    assert_eq!(metadata(&replicas.gateways[0], &id).await, StatusCode::OK);
    let reads = || {
        let stats = replicas.redis.cli(&["INFO", "commandstats"]);
        let calls = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_get:calls="));
        let calls = calls.and_then(|rest| rest.split(',').next());
        calls.map_or(0, |calls| calls.parse::<u64>().unwrap())
    };
    assert_eq!(metadata(&replicas.gateways[1], &id).await, StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(200)).await;
    // On a busy machine a command may take longer than it may, and then a call replaces it.
    let calls = || replicas.sandbox.stats().calls(SandboxOperation::GetAsset);
    let before = (reads(), calls());
    for _ in 0..50 {
        assert_eq!(metadata(&replicas.gateways[1], &id).await, StatusCode::OK);
        assert_eq!(metadata(&replicas.gateways[0], &id).await, StatusCode::OK);
    }
    assert_eq!((reads(), calls()), before);
}

#[tokio::test]
async fn a_replica_downloads_what_another_one_has_fetched() {
    let replicas = Replicas::start(2).await;
    let id = replicas.upload(0).await;
    for gateway in &replicas.gateways {
        assert_eq!(gateway.download(&id).await, b"hello");
    }
    assert_eq!(
        replicas.sandbox.stats().calls(SandboxOperation::GetAsset),
        1
    );
}

#[tokio::test]
async fn a_missing_asset_is_not_found_at_all_replicas() {
    let replicas = Replicas::start(2).await;
    let [one, other] = [0, 1].map(|at| metadata(&replicas.gateways[at], "none"));
    let statuses = tokio::join!(one, other);
    assert_eq!(statuses, (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
}

#[tokio::test]
async fn a_fetch_whose_replica_died_is_taken_over() {
    let mut replicas = Replicas::start(2).await;
    let id = replicas.upload(0).await;
    let stuck = Fault::at(SandboxOperation::GetAsset).delay(Duration::from_secs(60));
    replicas.sandbox.fault(stuck.once());
    let request = replicas.gateways[0].get(&format!("/v1/assets/{id}"));
    let waiting = tokio::spawn(request.timeout(Duration::from_secs(1)).send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    // As for the store, its replica is gone: nothing renews the lease any more.
    let locks = replicas.redis.cli(&["KEYS", "*:fetch:*"]);
    assert_eq!(locks.lines().count(), 1, "{locks}");
    replicas
        .redis
        .cli(&["SET", &locks, "a dead replica", "PX", "500"]);
    assert_eq!(metadata(&replicas.gateways[1], &id).await, StatusCode::OK);
    drop(waiting);
    replicas.gateways.clear();
}

#[tokio::test]
async fn redis_shows_no_signed_url_id_or_name() {
    let replicas = Replicas::start(2).await;
    let id = replicas.upload(0).await;
    assert_eq!(metadata(&replicas.gateways[1], &id).await, StatusCode::OK);
    let upload = replicas.gateways[0].post("/v1/assets?channel=sms&name=private.txt");
    let upload = upload
        .header("idempotency-key", "key-of-a-caller")
        .body("hello");
    assert_eq!(upload.send().await.unwrap().status(), StatusCode::CREATED);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let dump = replicas.redis.dump();
    assert!(
        dump.contains(":url:") && dump.contains(":upload:"),
        "{dump}"
    );
    secret_canary::search("Redis", &dump);
    for secret in [
        id.as_str(),
        "private.txt",
        "a.txt",
        "http",
        "key-of-a-caller",
    ] {
        assert!(!dump.contains(secret), "{secret} in {dump}");
    }
}

#[tokio::test]
async fn a_rotated_seal_key_opens_what_was_sealed_before() {
    let replicas = Replicas::start(1).await;
    let id = replicas.upload(0).await;
    assert_eq!(metadata(&replicas.gateways[0], &id).await, StatusCode::OK);
    let new_key = "bmV3IHNlYWwga2V5IG9mIHRoZSB0ZXN0cywgMzIgYi4=";
    let rotated = [
        ("cache.seal_key", new_key),
        ("cache.previous_seal_key", crate::support::redis::SEAL_KEY),
    ];
    let url = replicas.redis.url();
    let calls = || replicas.sandbox.stats().calls(SandboxOperation::GetAsset);
    let gateway = start_gateway(&replicas.sandbox, &url, &rotated).await;
    assert_eq!(metadata(&gateway, &id).await, StatusCode::OK);
    assert_eq!(calls(), 1);
    let unrelated = [("cache.seal_key", new_key)];
    let gateway = start_gateway(&replicas.sandbox, &url, &unrelated).await;
    assert_eq!(metadata(&gateway, &id).await, StatusCode::OK);
    assert_eq!(calls(), 2, "a value that can't be opened is fetched");
}

#[tokio::test]
async fn a_redis_user_needs_only_the_gateways_keys() {
    let redis = RedisServer::start().await;
    let acl = [
        "ACL",
        "SETUSER",
        "gateway",
        "on",
        ">pass word",
        "resetkeys",
        "~asset-gateway:*",
        "resetchannels",
        "&asset-gateway:*",
        "-@all",
        "+@read",
        "+@write",
        "+@scripting",
        "+@connection",
        "+@pubsub",
        "+time",
    ];
    assert_eq!(redis.cli(&acl), "OK");
    let sandbox = asset_gateway::sandbox::Sandbox::start(Default::default()).unwrap();
    let url = format!("redis://gateway:pass%20word@127.0.0.1:{}", redis.port());
    let gateway = start_gateway(&sandbox, &url, &[]).await;
    assert!(gateway.counts("shared_store_up", 1.0).await);
    let stored = gateway.upload("a.txt", b"hello".to_vec()).await;
    let id = stored["id"].as_str().unwrap();
    assert_eq!(metadata(&gateway, id).await, StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(redis.cli(&["KEYS", "*"]).contains(":url:"));
}
