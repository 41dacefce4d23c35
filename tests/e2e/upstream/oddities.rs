//! eGain's answers in other forms than documented: what can be understood is, and what has a name
//! never stays behind.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use asset_gateway::sandbox::oddities::ResponseOddity;
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::gateway::{TestGateway, noise};
use crate::support::refusal::Refusal;

/// Up, down and away, with answers that are odd in these ways.
async fn round_trip(oddities: &[ResponseOddity]) {
    let gateway = TestGateway::builder().oddities(oddities).start().await;
    let receipt = gateway.upload("a.bin", noise(5000, 1)).await;
    let id = receipt["id"].as_str().unwrap();
    let metadata = gateway
        .get(&format!("/v1/assets/{id}"))
        .send()
        .await
        .unwrap();
    let max_age = metadata.headers()["cache-control"]
        .to_str()
        .unwrap()
        .to_owned();
    let metadata: Value = metadata.json().await.unwrap();
    assert_eq!(
        (metadata["size"].as_u64(), metadata["name"].as_str()),
        (Some(5000), Some("a.bin")),
        "{oddities:?}"
    );
    assert_eq!(
        metadata["contentType"], "application/octet-stream",
        "{oddities:?}"
    );
    let expiry = metadata["contentUrlExpiry"].as_str().unwrap();
    assert!(
        expiry.parse::<jiff::Timestamp>().is_ok() && max_age != "private, max-age=0",
        "{oddities:?}: {expiry}, {max_age}"
    );
    assert!(gateway.download(id).await == noise(5000, 1), "{oddities:?}");
    let deleted = gateway
        .client
        .delete(gateway.url(&format!("/v1/assets/{id}")))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (deleted.status(), gateway.sandbox.assets().len()),
        (StatusCode::NO_CONTENT, 0),
        "{oddities:?}"
    );
    let stats = gateway.sandbox.stats();
    assert_eq!(
        (
            stats.calls(SandboxOperation::Token),
            stats.calls(SandboxOperation::CreateAsset)
        ),
        (1, 1),
        "{oddities:?}"
    );
}

#[tokio::test]
async fn upload_download_and_deletion_survive_every_oddity() {
    join_all(
        ResponseOddity::ALL
            .iter()
            .map(|oddity| round_trip(std::slice::from_ref(oddity))),
    )
    .await;
    use ResponseOddity::{
        Accepted, Blanks, CapitalNames, ExpiryInSeconds, IdAsNumber, LifeAsText, NameAsObject,
        SizeAsText, TypeAsList,
    };
    round_trip(&[
        SizeAsText,
        ExpiryInSeconds,
        TypeAsList,
        NameAsObject,
        IdAsNumber,
        CapitalNames,
        Accepted,
        Blanks,
        LifeAsText,
    ])
    .await;
}

#[tokio::test]
async fn what_was_odd_is_counted_by_its_field() {
    let gateway = TestGateway::builder()
        .oddities(&[
            ResponseOddity::IdAsNumber,
            ResponseOddity::ExpiryInMilliseconds,
            ResponseOddity::LifeAsText,
        ])
        .start()
        .await;
    let receipt = gateway.upload("a.bin", noise(10, 1)).await;
    gateway.download(receipt["id"].as_str().unwrap()).await;
    for (field, count) in [
        ("id", 1.0),
        ("contentUrlExpiry", 1.0),
        ("expires_in", 1.0),
        ("size", 0.0),
        ("body", 0.0),
    ] {
        assert_eq!(
            gateway
                .metric(&format!("upstream_oddities_total{{field=\"{field}\"}}"))
                .await,
            count,
            "{field}"
        );
    }
}

#[tokio::test]
async fn an_asset_with_known_id_is_deleted_despite_faults() {
    for fault in [
        Fault::at(SandboxOperation::CreateAsset).missing_field("contentUrl"),
        Fault::at(SandboxOperation::CreateAsset).field("contentUrl", json!(["nowhere"])),
        Fault::at(SandboxOperation::CreateAsset).field("contentUrl", 7),
        Fault::at(SandboxOperation::CreateAsset)
            .field("contentUrl", json!({"href": "https://x.test"}))
            .field("size", "many"),
    ] {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(fault.clone());
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
            "{fault:?}"
        );
        assert_eq!(gateway.left_upstream(0).await, 0, "{fault:?}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_its_asset_deleted() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::CreateAsset)
            .field("padding", "x".repeat(400_000))
            .missing_field("contentUrl"),
    );
    let refusal = Refusal::of(
        gateway
            .post("/v1/assets?channel=sms")
            .body("text")
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(refusal.told(), (502, "upstream-error", "egain", "sign"));
    assert_eq!(gateway.left_upstream(0).await, 0);
}
