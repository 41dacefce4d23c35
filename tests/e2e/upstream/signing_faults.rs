//! eGain that refuses to sign, or signs nonsense: who is to blame, and how often it was asked.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use futures_util::future::join_all;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::gateway::{TestGateway, eventually, receipt};
use crate::support::refusal::Refusal;

fn create() -> Fault {
    Fault::at(SandboxOperation::CreateAsset)
}

async fn refused(gateway: &TestGateway) -> Refusal {
    Refusal::of(
        gateway
            .post("/v1/assets?channel=sms")
            .body("text")
            .send()
            .await
            .unwrap(),
    )
    .await
}

fn asked(gateway: &TestGateway) -> u64 {
    gateway.sandbox.stats().calls(SandboxOperation::CreateAsset)
}

#[tokio::test]
async fn a_failing_egain_is_told_for_what_it_is() {
    let body = json!({"code": "400-143", "developerMessage": "a needed attribute is missing"});
    // Never asked for again where eGain may have done it after all.
    let cases = [
        (
            create().status(StatusCode::UNAUTHORIZED),
            (502, "upstream-error", "gateway", "sign"),
            1,
            false,
        ),
        (
            create().status(StatusCode::FORBIDDEN),
            (502, "upstream-error", "gateway", "sign"),
            1,
            false,
        ),
        (
            create().status(StatusCode::BAD_REQUEST).body(body),
            (502, "upstream-error", "egain", "sign"),
            1,
            false,
        ),
        (
            create().status(StatusCode::FOUND),
            (502, "upstream-error", "egain", "sign"),
            1,
            false,
        ),
        (
            create().status(StatusCode::INTERNAL_SERVER_ERROR),
            (502, "upstream-error", "egain", "sign"),
            1,
            true,
        ),
        (
            create().status(StatusCode::BAD_GATEWAY).body("<html>"),
            (503, "upstream-unavailable", "egain", "sign"),
            1,
            true,
        ),
        (
            create().status(StatusCode::SERVICE_UNAVAILABLE),
            (503, "upstream-unavailable", "egain", "sign"),
            1,
            true,
        ),
        (
            create().close(),
            (503, "upstream-unavailable", "egain", "sign"),
            1,
            true,
        ),
    ];
    // All at one time, as each waits between its tries.
    join_all(cases.map(async |(fault, told, calls, retryable)| {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(fault.clone());
        let refusal = refused(&gateway).await;
        assert_eq!(
            (refusal.told(), asked(&gateway)),
            (told, calls),
            "{fault:?}"
        );
        assert_eq!(refusal.retryable, retryable, "{fault:?}");
        assert_eq!(refusal.retry_after.is_some(), told.0 == 503, "{fault:?}");
        assert_eq!(
            refusal.upstream["status"].as_u64(),
            fault.status.map(|status| status.as_u16().into()),
            "{fault:?}"
        );
        assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::Upload), 0);
    }))
    .await;
}

#[tokio::test]
async fn what_egain_says_is_passed_on() {
    let gateway = TestGateway::start().await;
    let message = "a needed attribute is missing";
    let body = json!({"code": "400-143", "developermessage": message, "details": []});
    gateway
        .sandbox
        .fault(create().status(StatusCode::BAD_REQUEST).body(body));
    let said = refused(&gateway).await.upstream;
    assert_eq!(
        said,
        json!({"status": 400, "code": "400-143", "developerMessage": message})
    );
}

#[tokio::test]
async fn a_passing_fault_without_effect_is_retried_unseen() {
    let gateway = TestGateway::start().await;
    assert!(eventually(|| gateway.sandbox.stats().calls(SandboxOperation::Token) == 1).await);
    let busy = create().status(StatusCode::TOO_MANY_REQUESTS).once();
    gateway.sandbox.fault(busy);
    gateway.upload("a.txt", b"text".to_vec()).await;
    assert_eq!(
        (
            asked(&gateway),
            gateway.sandbox.stats().calls(SandboxOperation::Token)
        ),
        (2, 1)
    );
}

#[tokio::test]
async fn an_egain_that_doesnt_answer_is_asked_once() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.request_timeout", "1s")])
        .start()
        .await;
    gateway.sandbox.fault(create().stall());
    let refusal = refused(&gateway).await;
    assert_eq!(refusal.told(), (504, "upstream-timeout", "egain", "sign"));
    assert!(refusal.retryable);
    assert_eq!(asked(&gateway), 1, "it may have been done after all");
}

#[tokio::test]
async fn an_egain_that_isnt_there_is_unavailable() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.base_url", "http://127.0.0.1:1/v3")])
        .start()
        .await;
    let refusal = refused(&gateway).await;
    assert_eq!(
        refusal.told(),
        (503, "upstream-unavailable", "egain", "sign")
    );
    assert!(refusal.retry_after.is_some());
}

#[tokio::test]
async fn a_429_reports_its_wait_in_any_form() {
    let too_many = || {
        create()
            .status(StatusCode::TOO_MANY_REQUESTS)
            .body(json!({"code": "429-001"}))
    };
    let in_a_minute = jiff::Timestamp::now() + Duration::from_secs(60);
    let date = httpdate::fmt_http_date(in_a_minute.into());
    let reset = http::HeaderName::from_static("x-ratelimit-reset");
    for fault in [
        too_many().header(RETRY_AFTER, HeaderValue::from_static("60")),
        too_many().header(RETRY_AFTER, HeaderValue::try_from(date).unwrap()),
        too_many().header(
            reset.clone(),
            HeaderValue::try_from(in_a_minute.to_string()).unwrap(),
        ),
        too_many().header(reset, HeaderValue::from_static("60")),
    ] {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(fault.clone());
        let refusal = refused(&gateway).await;
        assert_eq!(refusal.told(), (503, "upstream-budget", "egain", "sign"));
        assert!(
            refusal
                .retry_after
                .is_some_and(|wait| (45..=61).contains(&wait)),
            "{fault:?}: {refusal:?}"
        );
        assert_eq!(
            (&refusal.upstream["status"], &refusal.upstream["code"]),
            (&json!(429), &json!("429-001"))
        );
        assert_eq!(
            asked(&gateway),
            1,
            "a minute is longer than a call may queue"
        );
    }
}

#[tokio::test]
async fn a_short_wait_requested_by_egain_is_honoured() {
    let gateway = TestGateway::start().await;
    let wait = HeaderValue::from_static("1");
    gateway.sandbox.fault(
        create()
            .status(StatusCode::TOO_MANY_REQUESTS)
            .header(RETRY_AFTER, wait)
            .once(),
    );
    let began = std::time::Instant::now();
    gateway.upload("a.txt", b"text".to_vec()).await;
    assert!(
        began.elapsed() >= Duration::from_millis(950),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(asked(&gateway), 2);
}

#[tokio::test]
async fn a_nonsensical_response_is_egains_fault_and_leaves_nothing() {
    for fault in [
        create().missing_field("contentUrl"),
        create().field("contentUrl", "no URL"),
        create().field("contentUrl", json!(null)),
    ] {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(fault.clone());
        let refusal = refused(&gateway).await;
        assert_eq!(
            refusal.told(),
            (502, "upstream-error", "egain", "sign"),
            "{fault:?}"
        );
        assert_eq!(gateway.left_upstream(0).await, 0, "{fault:?}");
        assert_eq!(asked(&gateway), 1);
    }
    for fault in [
        create().missing_field("id"),
        create().field("id", "../x"),
        create().status(StatusCode::OK).body("<html>Welcome</html>"),
        create().status(StatusCode::OK),
    ] {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(fault.clone());
        let refusal = refused(&gateway).await;
        assert_eq!(
            refusal.told(),
            (502, "upstream-error", "egain", "sign"),
            "{fault:?}"
        );
        assert_eq!(asked(&gateway), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_disallowed_url_is_refused_and_its_asset_deleted() {
    for url in [
        "https://storage.example.com/x",
        "http://169.254.169.254/latest",
        "http://user:pass@127.0.0.1/x",
        "file:///etc/passwd",
    ] {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(create().field("contentUrl", url));
        let refusal = refused(&gateway).await;
        assert_eq!(
            refusal.told(),
            (502, "upstream-error", "gateway", "sign"),
            "{url}"
        );
        assert!(
            refusal.detail.contains("egain.content_hosts") && !refusal.detail.contains(url),
            "{}",
            refusal.detail
        );
        assert_eq!(asked(&gateway), 1, "another one would be no better");
        assert_eq!(gateway.left_upstream(0).await, 0);
        assert!(
            gateway
                .counts("orphans_total{result=\"deleted\"}", 1.0)
                .await
        );
    }
}

#[tokio::test]
async fn a_response_with_extra_or_few_fields_is_accepted() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        create()
            .missing_field("contentUrlExpiry")
            .field("surprise", json!({"a": [1]}))
            .once(),
    );
    let response = gateway
        .post("/v1/assets?channel=sms")
        .body("text")
        .send()
        .await
        .unwrap();
    receipt(response).await;
}
