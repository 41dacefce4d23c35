//! The month's quota: counted for each method, told as a metric, and refused only where that is
//! wanted.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::{Method, StatusCode};

use crate::support::gateway::TestGateway;
use crate::support::refusal::Refusal;

const DAY: u64 = 24 * 60 * 60;

async fn upload(gateway: &TestGateway) -> reqwest::Response {
    gateway
        .post("/v1/assets?channel=sms")
        .body("text")
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn an_enforced_quota_refuses_the_excess_without_calls() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.monthly_quota", "2"),
            ("egain.enforce_quota", "true"),
        ])
        .start()
        .await;
    let stored = gateway.upload("a.txt", b"text".to_vec()).await;
    assert_eq!(
        gateway
            .metric("upstream_quota_used_ratio{routes=\"assets\"}")
            .await,
        0.5
    );
    assert_eq!(upload(&gateway).await.status(), StatusCode::CREATED);
    let refusal = Refusal::of(upload(&gateway).await).await;
    assert_eq!(refusal.told(), (503, "upstream-quota", "gateway", "budget"));
    assert!(
        refusal
            .retry_after
            .is_some_and(|wait| (1..=DAY).contains(&wait)),
        "{refusal:?}"
    );
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        2
    );
    let one = format!("/v1/assets/{}", stored["id"].as_str().unwrap());
    assert_eq!(
        gateway.get(&one).send().await.unwrap().status(),
        StatusCode::OK,
        "another method has its own"
    );
    let deleted = gateway
        .client
        .request(Method::DELETE, gateway.url(&one))
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        gateway
            .metric("upstream_quota_used_ratio{routes=\"other\"}")
            .await,
        0.5
    );
}

#[tokio::test]
async fn a_quota_that_isnt_enforced_is_only_counted() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.monthly_quota", "4"), ("egain.replicas", "2")])
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(upload(&gateway).await.status(), StatusCode::CREATED);
    }
    assert_eq!(
        gateway
            .metric("upstream_quota_used_ratio{routes=\"assets\"}")
            .await,
        1.5,
        "two are this replica's share"
    );
}

#[tokio::test]
async fn what_needs_no_call_is_served_above_the_quota() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.monthly_quota", "1"),
            ("egain.enforce_quota", "true"),
        ])
        .start()
        .await;
    let stored = gateway.upload("a.txt", b"text".to_vec()).await;
    let id = stored["id"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(gateway.download(id).await, b"text");
    }
    let fresh = gateway
        .get(&format!("/v1/assets/{id}"))
        .header("cache-control", "no-cache")
        .send()
        .await
        .unwrap();
    assert_eq!(
        fresh.status(),
        StatusCode::OK,
        "the one that is there is good"
    );
    let unknown = gateway.get("/v1/assets/unknown").send().await.unwrap();
    assert_eq!(Refusal::of(unknown).await.kind(), (503, "upstream-quota"));
}
