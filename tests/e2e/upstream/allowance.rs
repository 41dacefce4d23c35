//! The allowance of eGain calls: waited for in turn, never overdrawn, and refused while that is
//! cheap.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use asset_gateway::sandbox::limits::{Plan, PlanRate};
use http::HeaderValue;
use http::header::RETRY_AFTER;
use reqwest::StatusCode;

use crate::support::gateway::TestGateway;
use crate::support::refusal::Refusal;

fn calls(gateway: &TestGateway) -> u64 {
    gateway.sandbox.stats().calls(SandboxOperation::CreateAsset)
}

async fn upload(gateway: &TestGateway) -> reqwest::Response {
    gateway
        .post("/v1/assets?channel=sms")
        .body("text")
        .send()
        .await
        .unwrap()
}

/// An eGain that really allows one call a second.
fn strict() -> SandboxConfig {
    let one = PlanRate {
        per_second: 1.0,
        burst: 1,
    };
    SandboxConfig {
        plan: Some(Plan {
            assets: one,
            other: one,
            monthly: 1000,
        }),
        ..SandboxConfig::default()
    }
}

#[tokio::test]
async fn uploads_queue_for_calls_and_egain_sends_no_429() {
    let gateway = TestGateway::builder()
        .sandbox(strict())
        .settings(&[("egain.rate", "0.98"), ("egain.burst", "1")])
        .start()
        .await;
    let began = Instant::now();
    let (one, two, three) = tokio::join!(upload(&gateway), upload(&gateway), upload(&gateway));
    assert_eq!(
        [one.status(), two.status(), three.status()],
        [StatusCode::CREATED; 3]
    );
    assert!(
        began.elapsed() >= Duration::from_millis(1900),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        gateway
            .sandbox
            .stats()
            .answers(SandboxOperation::CreateAsset, StatusCode::TOO_MANY_REQUESTS),
        0
    );
    assert_eq!(calls(&gateway), 3);
    let timing = |response: &reqwest::Response| {
        let text = response.headers()["server-timing"]
            .to_str()
            .unwrap()
            .to_owned();
        text.split("budget;dur=")
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    let longest = [&one, &two, &three]
        .map(timing)
        .into_iter()
        .fold(0.0, f64::max);
    assert!(longest >= 1900.0, "the wait is told: {longest} ms");
}

#[tokio::test]
async fn too_long_a_wait_is_refused_without_a_call() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.rate", "0.1"),
            ("egain.burst", "1"),
            ("egain.budget_wait", "3s"),
        ])
        .start()
        .await;
    assert_eq!(upload(&gateway).await.status(), StatusCode::CREATED);
    let began = Instant::now();
    let refusal = Refusal::of(upload(&gateway).await).await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "there was no point in waiting: {:?}",
        began.elapsed()
    );
    assert_eq!(
        refusal.told(),
        (503, "upstream-budget", "gateway", "budget")
    );
    assert!(
        refusal
            .retry_after
            .is_some_and(|wait| (5..=10).contains(&wait)),
        "{refusal:?}"
    );
    assert_eq!(calls(&gateway), 1);
}

#[tokio::test]
async fn a_refused_upload_costs_nothing_of_the_allowance() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.rate", "0.01"),
            ("egain.burst", "1"),
            ("egain.budget_wait", "1ms"),
        ])
        .start()
        .await;
    for _ in 0..3 {
        let refused = gateway
            .post("/v1/assets?channel=sms&name=a.sh")
            .body("#!/bin/sh\n")
            .send()
            .await
            .unwrap();
        assert_eq!(Refusal::of(refused).await.kind(), (415, "type-not-allowed"));
    }
    assert_eq!(upload(&gateway).await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn egains_too_many_holds_back_the_other_uploads_too() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.budget_wait", "100ms")])
        .start()
        .await;
    let fault = Fault::at(SandboxOperation::CreateAsset).status(StatusCode::TOO_MANY_REQUESTS);
    gateway.sandbox.fault(
        fault
            .header(RETRY_AFTER, HeaderValue::from_static("30"))
            .once(),
    );
    assert_eq!(
        Refusal::of(upload(&gateway).await).await.told(),
        (503, "upstream-budget", "egain", "sign")
    );
    let refusal = Refusal::of(upload(&gateway).await).await;
    assert_eq!(
        refusal.told(),
        (503, "upstream-budget", "gateway", "budget")
    );
    assert!(
        refusal
            .retry_after
            .is_some_and(|wait| (25..=30).contains(&wait)),
        "{refusal:?}"
    );
    assert_eq!(calls(&gateway), 1, "nothing was asked meanwhile");
}
