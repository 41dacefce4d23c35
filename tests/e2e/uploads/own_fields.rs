//! What eGain refuses of a file's own fields: the caller's to mend, unless plain characters in its
//! name do.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::gateway::{TestGateway, receipt};
use crate::support::refusal::Refusal;

fn refuses(code: &str, details: Value) -> Fault {
    let body = json!({
        "code": code,
        "developerMessage": "an attribute has an invalid value",
        "details": details,
    });
    Fault::at(SandboxOperation::CreateAsset)
        .status(StatusCode::BAD_REQUEST)
        .body(body)
}

#[tokio::test]
async fn a_field_that_egain_refuses_is_the_callers() {
    for (details, field) in [
        (
            json!([{"key": "channel.type", "value": "unknown"}]),
            "channel",
        ),
        (
            json!([{"key": "attribute", "value": "sender.type"}]),
            "sender",
        ),
        (json!([{"key": "size", "value": "too large"}]), "size"),
        (json!([]), "field"),
    ] {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(refuses("400-152", details.clone()));
        let refusal = Refusal::of(
            gateway
                .post("/v1/assets?channel=sms")
                .body("text")
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(
            refusal.told(),
            (400, "invalid-field", "caller", "sign"),
            "{details}"
        );
        assert!(
            !refusal.retryable && refusal.detail.contains(field),
            "{details}: {}",
            refusal.detail
        );
        assert_eq!(refusal.upstream["code"], "400-152");
        assert_eq!(
            gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
            1,
            "{details}"
        );
    }
}

#[tokio::test]
async fn what_isnt_the_callers_stays_egains() {
    for (code, details) in [
        ("400-420", json!([{"key": "attribute", "value": "channel"}])),
        ("400-101", json!([])),
        ("400-143", json!([])),
    ] {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(refuses(code, details));
        let refusal = Refusal::of(
            gateway
                .post("/v1/assets?channel=sms")
                .body("text")
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(
            refusal.told(),
            (502, "upstream-error", "egain", "sign"),
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_refused_name_is_retried_once_in_plain_characters() {
    for (name, plain) in [
        ("photo%20(1).jpg", "photo _1_.bin"),
        ("o'neil.pdf", "o_neil.bin"),
        ("a%2Bb.txt", "a_b.txt"),
    ] {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(
            refuses(
                "400-152",
                json!([{"key": "name", "value": "has other characters"}]),
            )
            .once(),
        );
        let stored = receipt(
            gateway
                .post(&format!("/v1/assets?channel=sms&name={name}"))
                .body("text")
                .send()
                .await
                .unwrap(),
        )
        .await;
        let stem = |name: &str| name.rsplit_once('.').unwrap().0.to_owned();
        assert_eq!(stem(stored["name"].as_str().unwrap()), stem(plain));
        assert_eq!(
            gateway.sandbox.assets()[0].name,
            stored["name"].as_str().unwrap()
        );
        assert_eq!(
            gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
            2,
            "{name}"
        );
        assert_eq!(gateway.metric("names_folded_total").await, 1.0);
    }
}

#[tokio::test]
async fn a_refused_plain_name_is_not_retried() {
    for (name, calls) in [("photo%20(1).jpg", 2), ("photo.jpg", 1)] {
        let gateway = TestGateway::start().await;
        gateway
            .sandbox
            .fault(refuses("400-152", json!([{"key": "name", "value": "no"}])));
        let answer = gateway
            .post(&format!("/v1/assets?channel=sms&name={name}"))
            .body("text")
            .send()
            .await
            .unwrap();
        assert_eq!(
            Refusal::of(answer).await.told(),
            (400, "invalid-field", "caller", "sign")
        );
        assert_eq!(
            gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
            calls,
            "{name}"
        );
    }
}
