//! A token endpoint that is down, slow or lying.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::support::gateway::TestGateway;
use crate::support::refusal::Refusal;

fn token() -> Fault {
    Fault::at(SandboxOperation::Token)
}

/// A gateway whose eGain has given out no token yet, and fails in giving one.
async fn gateway_with(fault: &Fault, settings: &[(&str, &str)]) -> TestGateway {
    let gateway = TestGateway::builder().settings(settings).start().await;
    gateway.sandbox.fault(fault.clone());
    gateway
}

#[tokio::test]
async fn failed_sign_ins_cost_no_call_and_name_blame() {
    let credentials = json!({"error": "invalid_client", "error_description": "unknown client"});
    let cases = [
        (
            token().status(StatusCode::SERVICE_UNAVAILABLE),
            (503, "upstream-unavailable", "egain", "sign"),
        ),
        (
            token().status(StatusCode::TOO_MANY_REQUESTS),
            (503, "upstream-unavailable", "egain", "sign"),
        ),
        (
            token().close(),
            (503, "upstream-unavailable", "egain", "sign"),
        ),
        (token().stall(), (504, "upstream-timeout", "egain", "sign")),
        (
            token().status(StatusCode::UNAUTHORIZED).body(credentials),
            (502, "upstream-error", "gateway", "sign"),
        ),
        (
            token().status(StatusCode::OK).body("<html>Sign in</html>"),
            (502, "upstream-error", "egain", "sign"),
        ),
        (
            token().missing_field("access_token"),
            (502, "upstream-error", "egain", "sign"),
        ),
        (
            token().field("access_token", ""),
            (502, "upstream-error", "egain", "sign"),
        ),
        (
            token().field("access_token", "two words"),
            (502, "upstream-error", "egain", "sign"),
        ),
        (
            token().field("access_token", json!({"jwt": "x"})),
            (502, "upstream-error", "egain", "sign"),
        ),
    ];
    // All at one time, as the next sign-in is some seconds after one that failed.
    join_all(cases.map(async |(fault, told)| {
        let gateway = gateway_with(
            &fault,
            &[("egain.request_timeout", "1s"), ("egain.budget_wait", "1s")],
        )
        .await;
        let refusal = Refusal::of(
            gateway
                .post("/v1/assets?channel=sms")
                .body("text")
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(refusal.told(), told, "{fault:?}");
        assert_eq!(refusal.retry_after.is_some(), told.0 == 503, "{fault:?}");
        assert_eq!(
            gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
            0,
            "{fault:?}"
        );

        gateway.sandbox.reset();
        assert!(
            eventually_signed_in(&gateway).await,
            "it comes back by itself"
        );
        gateway.upload("a.txt", b"text".to_vec()).await;
    }))
    .await;
}

async fn eventually_signed_in(gateway: &TestGateway) -> bool {
    for _ in 0..100 {
        if gateway.metric("token_expiry_timestamp_seconds").await > 0.0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test]
async fn refused_credentials_cost_few_sign_ins() {
    let gateway = gateway_with(&token().status(StatusCode::UNAUTHORIZED), &[]).await;
    let end = Instant::now() + Duration::from_secs(7);
    let mut requests = 0;
    while Instant::now() < end {
        let uploads = (0..10).map(|_| gateway.post("/v1/assets?channel=sms").body("text").send());
        for answer in join_all(uploads).await {
            assert_eq!(answer.unwrap().status(), StatusCode::BAD_GATEWAY);
            requests += 1;
        }
    }
    let sign_ins = gateway.sandbox.stats().calls(SandboxOperation::Token);
    assert_eq!(sign_ins, 2, "for {requests} requests");
}

#[tokio::test]
async fn a_sign_in_outlasting_its_callers_serves_later_ones() {
    let gateway = gateway_with(&token().delay(Duration::from_secs(2)), &[]).await;
    let impatient = gateway
        .post("/v1/assets?channel=sms")
        .body("text")
        .timeout(Duration::from_millis(300));
    assert!(impatient.send().await.is_err());
    gateway.upload("a.txt", b"text".to_vec()).await;
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::Token), 1);
}

#[tokio::test]
async fn a_slow_sign_in_is_waited_for_and_shared() {
    let gateway = gateway_with(&token().delay(Duration::from_millis(300)), &[]).await;
    let uploads = (0..5).map(|_| gateway.upload("a.txt", b"text".to_vec()));
    join_all(uploads).await;
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::Token), 1);
    assert_eq!(gateway.left_upstream(5).await, 5);
}

#[tokio::test]
async fn an_older_token_that_is_refused_is_replaced() {
    join_all(
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].map(async |status| {
            let gateway = TestGateway::start().await;
            let refused = Fault::at(SandboxOperation::CreateAsset)
                .status(status)
                .once();
            gateway.sandbox.fault(refused.clone());
            let own = Refusal::of(
                gateway
                    .post("/v1/assets?channel=sms")
                    .body("text")
                    .send()
                    .await
                    .unwrap(),
            )
            .await;
            assert_eq!(
                own.told(),
                (502, "upstream-error", "gateway", "sign"),
                "a young token isn't to blame"
            );
            gateway.upload("a.txt", b"text".to_vec()).await;
            assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::Token), 1);

            tokio::time::sleep(Duration::from_millis(10_100)).await;
            gateway.sandbox.fault(refused);
            gateway.upload("b.txt", b"text".to_vec()).await;
            let stats = gateway.sandbox.stats();
            assert_eq!(
                (
                    stats.calls(SandboxOperation::Token),
                    stats.calls(SandboxOperation::CreateAsset)
                ),
                (2, 4),
                "{status}"
            );
        }),
    )
    .await;
}

#[tokio::test]
async fn one_assets_refusal_takes_nobodys_token_away() {
    let gateway = TestGateway::start().await;
    let id = gateway.upload("a.txt", b"text".to_vec()).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::GetAsset)
            .status(StatusCode::UNAUTHORIZED)
            .times(20),
    );
    for _ in 0..20 {
        let answer = gateway
            .get(&format!("/v1/assets/{id}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    }
    gateway.upload("b.txt", b"text".to_vec()).await;
    let stats = gateway.sandbox.stats();
    assert_eq!(
        (
            stats.calls(SandboxOperation::Token),
            stats.calls(SandboxOperation::GetAsset)
        ),
        (1, 20)
    );
}

#[tokio::test]
async fn a_lifetime_in_any_form_is_understood() {
    for fault in [
        token().missing_field("expires_in"),
        token().field("expires_in", "3600"),
        token().field("expires_in", -1),
        token().field("expires_in", 0),
        token().field("expires_in", 1e30),
        token().field("expires_in", json!({})),
    ] {
        let gateway = gateway_with(&fault, &[]).await;
        gateway.upload("a.txt", b"text".to_vec()).await;
        assert_eq!(
            gateway.sandbox.stats().calls(SandboxOperation::Token),
            1,
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_one_second_token_doesnt_cause_constant_sign_ins() {
    let gateway = gateway_with(&token().field("expires_in", 1), &[]).await;
    gateway.upload("a.txt", b"text".to_vec()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    gateway.upload("b.txt", b"text".to_vec()).await;
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::Token), 1);
}

/// A secret in a file, as a mounted one, and what to set for a gateway that reads it.
fn secret_in_file(secret: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret).unwrap();
    file
}

#[tokio::test]
async fn a_changed_token_file_is_reloaded_without_restart() {
    let file = secret_in_file("nobody-knows-it\n");
    let path = file.path().to_str().unwrap();
    let client = [
        ("egain.token_url", ""),
        ("egain.client_id", ""),
        ("egain.client_secret", ""),
    ];
    let gateway = TestGateway::builder()
        .settings(&[client.as_slice(), &[("egain.token_file", path)]].concat())
        .start()
        .await;
    let upload = || gateway.post("/v1/assets?channel=sms").body("text").send();
    assert_eq!(upload().await.unwrap().status(), StatusCode::BAD_GATEWAY);
    std::fs::write(file.path(), "has a blank\n").unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(
        upload().await.unwrap().status(),
        StatusCode::BAD_GATEWAY,
        "what can't be a token isn't taken"
    );
    std::fs::write(file.path(), format!("{}\n", fresh_token(&gateway).await)).unwrap();
    assert!(is_stored_in_time(&gateway).await);
}

#[tokio::test]
async fn a_changed_client_secret_file_is_tried_at_once() {
    let file = secret_in_file("sandbox-secret-of-yesterday");
    let path = file.path().to_str().unwrap();
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.client_secret", ""),
            ("egain.client_secret_file", path),
        ])
        .start()
        .await;
    let refused = gateway
        .post("/v1/assets?channel=sms")
        .body("text")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_GATEWAY);
    std::fs::write(file.path(), gateway.sandbox.client_secret()).unwrap();
    assert!(is_stored_in_time(&gateway).await);
}

/// A token that somebody else got.
async fn fresh_token(gateway: &TestGateway) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "https://api.egain.cloud/auth/.default"),
        ("client_id", gateway.sandbox.client_id()),
        ("client_secret", gateway.sandbox.client_secret()),
    ];
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer: serde_json::Value = client
        .post(gateway.sandbox.token_url())
        .form(&form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn is_stored_in_time(gateway: &TestGateway) -> bool {
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let answer = gateway
            .post("/v1/assets?channel=sms")
            .body("text")
            .send()
            .await
            .unwrap();
        if answer.status() == StatusCode::CREATED {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_refused_fixed_token_costs_one_call() {
    let none = [
        ("egain.token_url", ""),
        ("egain.client_id", ""),
        ("egain.client_secret", ""),
    ];
    let gateway = TestGateway::builder()
        .settings(&[none.as_slice(), &[("egain.token", "nobody-knows-it")]].concat())
        .start()
        .await;
    let refusal = Refusal::of(
        gateway
            .post("/v1/assets?channel=sms")
            .body("text")
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(refusal.told(), (502, "upstream-error", "gateway", "sign"));
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        1
    );
}
