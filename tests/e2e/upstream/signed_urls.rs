//! Presigned URLs: asked byte for byte as they were signed, by the method that they were signed
//! for.

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::fake_storage::Storage;
use crate::support::gateway::TestGateway;
use crate::support::refusal::Refusal;

const TAKEN: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The request line of the upload to this path and query, and its head in lower case.
async fn sent_to(target: &str) -> (String, String) {
    let storage = Storage::that_says(vec![TAKEN.to_vec()]).await;
    let gateway = TestGateway::builder()
        .settings(&[("egain.content_hosts", "127.0.0.1")])
        .start()
        .await;
    let url = format!("http://{}{target}", storage.addr());
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::CreateAsset).field("contentUrl", url));
    gateway.upload("a.txt", b"text".to_vec()).await;
    (storage.request_line(), storage.heads().remove(0))
}

#[tokio::test]
async fn what_was_signed_arrives_byte_for_byte() {
    for target in [
        "/up/a%2Fb%27c%7E?sig=ab%2Bcd%3D",
        "/up/fred's.jpg?sig=a",
        "/up/x?sig=a'b",
        "/up/{x}?sig=a|b",
        "/up/a/./b/../c?sig=a",
        "/up//x?sig=%e2%82%ac",
    ] {
        assert_eq!(sent_to(target).await.0, format!("POST {target} HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_cloud_stores_url_gets_its_file_by_put() {
    for (query, method, is_azure) in [
        (
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=ab12",
            "PUT",
            false,
        ),
        ("X-Goog-Signature=ab12", "PUT", false),
        ("sv=2024-08-04&sp=cw&sig=a%2Bb%3D", "PUT", true),
        ("sig=ab12", "POST", false),
    ] {
        let (line, head) = sent_to(&format!("/up/x?{query}")).await;
        assert_eq!(line, format!("{method} /up/x?{query} HTTP/1.1"));
        assert_eq!(head.contains("\r\nx-ms-blob-type: blockblob\r\n"), is_azure);
        assert!(head.contains("\r\ncontent-type: text/plain"));
    }
}

#[tokio::test]
async fn an_unsendable_url_is_refused_and_its_asset_deleted() {
    for target in ["/up/a b?sig=a", "/up/x?sig=a`b<c>", "/up/a\tb"] {
        let gateway = TestGateway::builder()
            .settings(&[("egain.content_hosts", "127.0.0.1")])
            .start()
            .await;
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::CreateAsset)
                .field("contentUrl", format!("http://127.0.0.1:1{target}")),
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
        assert_eq!(
            refusal.told(),
            (502, "upstream-error", "egain", "sign"),
            "{target}"
        );
        assert_eq!(gateway.left_upstream(0).await, 0, "{target}");
    }
}

#[tokio::test]
async fn a_signed_url_is_given_out_byte_for_byte() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.content_hosts", "*.egain.cloud")])
        .start()
        .await;
    let given = "https://in.egain.cloud/a/./fred's {1}?sig=a'b%2B".replace(' ', "");
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::GetAsset)
            .status(StatusCode::OK)
            .body(serde_json::json!({
                "id": "a", "contentUrl": given, "contentUrlExpiry": "9999-12-31T23:59:59Z"
            })),
    );
    let metadata: Value = gateway
        .get("/v1/assets/a")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(metadata["contentUrl"], given);
    let redirect = gateway
        .get("/v1/assets/a/content?redirect=1")
        .send()
        .await
        .unwrap();
    assert_eq!(redirect.headers()["location"], given);
}

#[tokio::test]
async fn a_file_that_storage_takes_for_later_isnt_stored() {
    let config = SandboxConfig {
        upload_status: StatusCode::ACCEPTED,
        ..SandboxConfig::default()
    };
    let gateway = TestGateway::builder().sandbox(config).start().await;
    let refusal = Refusal::of(
        gateway
            .post("/v1/assets?channel=sms")
            .body("text")
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(refusal.told(), (502, "upload-failed", "storage", "store"));
    assert_eq!(gateway.left_upstream(0).await, 0);
}
