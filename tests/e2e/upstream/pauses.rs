//! 429: whatever it asks for, calls go again after a bounded pause, one first, and nothing is lost
//! meanwhile.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use futures_util::future::join_all;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;

use crate::support::gateway::TestGateway;
use crate::support::refusal::Refusal;

/// A time as a header has it.
type Written = fn(Timestamp) -> String;

const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

fn too_many(operation: SandboxOperation, name: HeaderName, value: impl ToString) -> Fault {
    let value = HeaderValue::try_from(value.to_string()).unwrap();
    Fault::at(operation)
        .status(StatusCode::TOO_MANY_REQUESTS)
        .header(name, value)
}

async fn upload(gateway: &TestGateway) -> reqwest::Response {
    gateway
        .post("/v1/assets?channel=sms")
        .body("text")
        .send()
        .await
        .unwrap()
}

fn created(gateway: &TestGateway) -> u64 {
    gateway.sandbox.stats().calls(SandboxOperation::CreateAsset)
}

#[tokio::test]
async fn a_reset_is_read_as_timestamp_or_date() {
    let soon = || Timestamp::now() + SignedDuration::from_secs(2);
    let forms: [(HeaderName, Written); 5] = [
        (RESET, |at| at.as_second().to_string()),
        (RESET, |at| at.as_millisecond().to_string()),
        (RESET, |at| at.to_string()),
        (RETRY_AFTER, |at| at.as_second().to_string()),
        (RETRY_AFTER, |at| httpdate::fmt_http_date(at.into())),
    ];
    join_all(forms.map(async |(name, form)| {
        let gateway = TestGateway::start().await;
        let value = form(soon());
        gateway
            .sandbox
            .fault(too_many(SandboxOperation::CreateAsset, name, &value).once());
        let began = Instant::now();
        assert_eq!(
            upload(&gateway).await.status(),
            StatusCode::CREATED,
            "{value}"
        );
        assert!(
            (900..4500).contains(&began.elapsed().as_millis()),
            "{value}: {:?}",
            began.elapsed()
        );
        assert_eq!(created(&gateway), 2, "{value}");
    }))
    .await;
}

#[tokio::test]
async fn calls_resume_at_the_latest_after_the_longest_pause() {
    let tomorrow = Timestamp::now() + SignedDuration::from_hours(24);
    let odd = [
        (RETRY_AFTER, "86400".to_owned()),
        (RETRY_AFTER, "30000".to_owned()),
        (RETRY_AFTER, httpdate::fmt_http_date(tomorrow.into())),
        (RESET, tomorrow.as_second().to_string()),
        (RESET, "9999-12-31T23:59:59Z".to_owned()),
    ];
    join_all(odd.map(async |(name, value)| {
        let gateway = TestGateway::builder()
            .settings(&[("egain.max_pause", "1s")])
            .start()
            .await;
        gateway
            .sandbox
            .fault(too_many(SandboxOperation::CreateAsset, name, &value).once());
        assert_eq!(
            upload(&gateway).await.status(),
            StatusCode::CREATED,
            "{value}"
        );
        assert_eq!(created(&gateway), 2, "{value}");
    }))
    .await;
}

#[tokio::test]
async fn a_pause_is_reported_with_its_actual_length() {
    let gateway = TestGateway::start().await;
    gateway
        .sandbox
        .fault(too_many(SandboxOperation::CreateAsset, RETRY_AFTER, 3600).once());
    let first = Refusal::of(upload(&gateway).await).await;
    assert_eq!(first.told(), (503, "upstream-budget", "egain", "sign"));
    let second = Refusal::of(upload(&gateway).await).await;
    assert_eq!(second.told(), (503, "upstream-budget", "gateway", "budget"));
    for refusal in [first, second] {
        assert!(
            refusal
                .retry_after
                .is_some_and(|wait| (50..=60).contains(&wait)),
            "not the hour: {refusal:?}"
        );
    }
    assert_eq!(created(&gateway), 1);
    let left = gateway
        .metric("upstream_pause_seconds{routes=\"assets\"}")
        .await;
    assert!((50.0..=60.0).contains(&left), "{left}");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(
        gateway
            .metric("upstream_pause_seconds{routes=\"assets\"}")
            .await
            < left,
        "it is reckoned when it is scraped"
    );
    assert_eq!(
        gateway
            .metric("upstream_pause_seconds{routes=\"other\"}")
            .await,
        0.0
    );
    assert_eq!(
        gateway
            .metric("upstream_budget_tokens{routes=\"assets\"}")
            .await,
        0.0
    );
}

#[tokio::test]
async fn a_refused_probe_after_a_pause_doubles_the_pause() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.max_pause", "1s"), ("egain.budget_wait", "0s")])
        .start()
        .await;
    let slow = too_many(SandboxOperation::CreateAsset, RETRY_AFTER, 3600)
        .delay(Duration::from_millis(200));
    gateway.sandbox.fault(slow);
    assert_eq!(
        upload(&gateway).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let crowd = join_all((0..8).map(|_| upload(&gateway))).await;
    assert!(
        crowd
            .iter()
            .all(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE)
    );
    assert_eq!(created(&gateway), 2, "one of eight probes");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    upload(&gateway).await;
    assert_eq!(
        created(&gateway),
        2,
        "two seconds, as the probe was refused"
    );
    gateway.sandbox.reset();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..2 {
        assert_eq!(upload(&gateway).await.status(), StatusCode::CREATED);
    }
}

#[tokio::test]
async fn a_429_on_a_deletion_loses_no_orphan() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.max_pause", "1s"), ("egain.budget_wait", "0s")])
        .start()
        .await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .status(StatusCode::FORBIDDEN)
            .times(6),
    );
    gateway
        .sandbox
        .fault(too_many(SandboxOperation::DeleteAsset, RETRY_AFTER, 86_400).times(2));
    for _ in 0..3 {
        assert_eq!(upload(&gateway).await.status(), StatusCode::BAD_GATEWAY);
    }
    assert!(
        gateway
            .counts("orphans_total{result=\"deleted\"}", 6.0)
            .await
    );
    assert_eq!(gateway.left_upstream(0).await, 0);
    assert_eq!(
        gateway.metric("orphans_total{result=\"failed\"}").await,
        0.0
    );
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::DeleteAsset),
        8,
        "nothing was asked during the pauses"
    );
}
