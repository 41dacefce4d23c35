//! What a stored file's answer tells, and how many uploads are taken at one time.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::client::Client;
use crate::support::gateway::{TestGateway, noise, receipt};
use crate::support::raw_client::{by_hand, in_chunks};
use crate::support::refusal::Refusal;

#[tokio::test]
async fn a_receipt_has_the_assets_location_and_timings() {
    let gateway = TestGateway::start().await;
    let request = gateway
        .post("/v1/assets?channel=whatsapp&sender=custom_bot&name=a.txt")
        .header("x-request-id", "my-1");
    let response = request.body("text").send().await.unwrap();
    let headers = response.headers().clone();
    let told = receipt(response).await;
    let id = told["id"].as_str().unwrap();
    assert_eq!(headers["location"], format!("/v1/assets/{id}"));
    assert_eq!(
        (&headers["x-request-id"], &headers["content-type"]),
        (
            &"my-1".parse().unwrap(),
            &"application/json".parse().unwrap()
        )
    );
    let timing = headers["server-timing"].to_str().unwrap();
    for stage in ["read", "budget", "sign", "store"] {
        assert!(timing.contains(&format!("{stage};dur=")), "{timing}");
    }
    let expected = serde_json::json!({
        "id": id,
        "name": "a.txt",
        "contentType": told["contentType"],
        "size": 4,
        "channel": "whatsapp",
        "sender": "custom_bot",
        "lengthSource": "declared",
    });
    assert_eq!(told, expected);
    assert!(
        told["contentType"]
            .as_str()
            .unwrap()
            .starts_with("text/plain")
    );
}

#[tokio::test]
async fn an_upload_without_a_sender_is_the_customers() {
    let gateway = TestGateway::start().await;
    let stored = gateway.upload("a.txt", b"text".to_vec()).await;
    assert_eq!(stored["sender"], "customer");
    assert_eq!(gateway.sandbox.assets()[0].sender, "customer");
}

#[tokio::test]
async fn an_upload_above_the_limit_is_refused() {
    let gateway = TestGateway::builder()
        .settings(&[("server.max_uploads", "1")])
        .start()
        .await;
    let (mut body_writer, answer) = by_hand(gateway.post("/v1/assets?channel=sms"));
    body_writer.write(*b"te").await;
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"upload\"}", 1.0)
            .await
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
    assert_eq!(refusal.told(), (503, "overloaded", "gateway", "admit"));
    assert!(refusal.retry_after.is_some());
    body_writer.write(*b"xt").await;
    body_writer.end();
    receipt(answer.await.unwrap().unwrap()).await;
    gateway.upload("a.txt", b"text".to_vec()).await;
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        2
    );
}

#[tokio::test]
async fn every_byte_is_counted_once() {
    let gateway = TestGateway::start().await;
    gateway.upload("a.bin", noise(200_000, 1)).await;
    receipt(in_chunks(gateway.post("/v1/assets?channel=sms"), &noise(100_000, 2)).await).await;
    assert!(
        gateway
            .counts(
                "transfer_bytes_total{channel=\"other\",direction=\"upload\"}",
                300_000.0
            )
            .await
    );
    assert!(
        gateway
            .counts(
                "upstream_requests_total{operation=\"upload\",outcome=\"2xx\"}",
                2.0
            )
            .await
    );
    assert!(
        gateway
            .counts(
                "upstream_requests_total{operation=\"create_asset\",outcome=\"2xx\"}",
                2.0
            )
            .await
    );
    assert!(
        gateway
            .counts(
                "http_requests_total{method=\"POST\",route=\"/v1/assets\",status=\"201\"}",
                2.0
            )
            .await
    );
}

#[tokio::test]
async fn an_http_2_refusal_ends_the_stream_alone() {
    let gateway = TestGateway::start().await;
    let client = Client::with(|builder| builder.http2_prior_knowledge());
    let upload = client.post(gateway.url("/v1/assets?channel=sms&size=600000"));
    let (mut held, answer) = by_hand(upload);
    held.write(noise(100_000, 3)).await;
    let refused = client.post(gateway.url("/v1/assets?channel=sms&size=10485761"));
    let (mut body_writer, refusal) = by_hand(refused);
    let _as_much_as_it_wants = body_writer.try_write(noise(500_000, 4)).await;
    assert_eq!(
        Refusal::of(refusal.await.unwrap().unwrap()).await.kind(),
        (413, "too-large")
    );
    held.write(noise(500_000, 5)).await;
    held.end();
    assert_eq!(
        receipt(answer.await.unwrap().unwrap()).await["size"],
        600_000
    );
}

#[tokio::test]
async fn a_short_http_2_body_leaves_no_asset() {
    let gateway = TestGateway::start().await;
    let client = Client::with(|builder| builder.http2_prior_knowledge());
    for (length, sent) in [(1000, 500), (200_000, 199_999), (1000, 1001)] {
        let (mut body_writer, answer) = by_hand(
            client
                .post(gateway.url("/v1/assets?channel=sms"))
                .header("content-length", length),
        );
        let _refused_at_once = body_writer.try_write(noise(sent, 6)).await;
        body_writer.end();
        if let Ok(response) = answer.await.unwrap() {
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
            let document: Value = response.json().await.unwrap();
            assert_eq!(document["code"], "length-mismatch");
        }
    }
    assert_eq!(gateway.left_upstream(0).await, 0);
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"upload\"}", 0.0)
            .await
    );
    assert_eq!(
        gateway
            .metric("http_requests_total{method=\"POST\",route=\"/v1/assets\",status=\"201\"}")
            .await,
        0.0
    );
}
