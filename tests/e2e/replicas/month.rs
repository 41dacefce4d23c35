//! The month's calls of all replicas, which no restart forgets.

use std::time::Duration;

use reqwest::StatusCode;

use super::Replicas;
use crate::support::gateway::TestGateway;

const QUOTA: [(&str, &str); 3] = [
    ("egain.monthly_quota", "10"),
    ("egain.enforce_quota", "true"),
    ("egain.replicas", "2"),
];

async fn upload(gateway: &TestGateway) -> StatusCode {
    let request = gateway
        .post("/v1/assets?channel=sms&name=a.txt")
        .body("hello");
    request.send().await.unwrap().status()
}

async fn used(gateway: &TestGateway, ratio: f64) -> bool {
    let name = "upstream_quota_used_ratio{routes=\"assets\"}";
    // Other replicas' calls are read every ten seconds.
    gateway.counts(name, ratio).await
        || gateway.counts(name, ratio).await
        || gateway.counts(name, ratio).await
}

#[tokio::test]
async fn a_restart_forgets_no_call_of_any_replica() {
    let mut replicas = Replicas::start_with(2, Default::default(), &QUOTA).await;
    for at in [0, 0, 0, 1, 1, 1] {
        assert_eq!(upload(&replicas.gateways[at]).await, StatusCode::CREATED);
    }
    for gateway in &replicas.gateways {
        assert!(used(gateway, 0.6).await);
    }
    replicas.gateways.clear();
    replicas.add(&QUOTA).await;
    assert!(used(&replicas.gateways[0], 0.6).await);
    for _ in 0..4 {
        assert_eq!(upload(&replicas.gateways[0]).await, StatusCode::CREATED);
    }
    let refused = upload(&replicas.gateways[0]).await;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_replica_brings_the_month_back_that_redis_lost() {
    let mut replicas = Replicas::start_with(2, Default::default(), &QUOTA).await;
    for at in [0, 0, 1, 1] {
        assert_eq!(upload(&replicas.gateways[at]).await, StatusCode::CREATED);
    }
    for gateway in &replicas.gateways {
        assert!(used(gateway, 0.4).await);
    }
    replicas.redis.kill();
    replicas.all_see(false).await;
    assert_eq!(upload(&replicas.gateways[0]).await, StatusCode::CREATED);
    replicas.redis.restart().await;
    replicas.all_see(true).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    replicas.add(&QUOTA).await;
    for gateway in &replicas.gateways {
        assert!(used(gateway, 0.5).await);
    }
}
