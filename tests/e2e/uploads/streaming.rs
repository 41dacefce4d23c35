//! The first bytes are in storage while the caller still holds back the rest.

use reqwest::Version;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};

use crate::support::client::{Client, RequestBuilder};
use crate::support::gateway::{TestGateway, eventually, form, noise, receipt};
use crate::support::raw_client::by_hand;

const LARGE: usize = 400_000;
/// Enough for the look-ahead and some frames more.
const FIRST: usize = 150_000;

fn clients() -> [(Version, Client); 2] {
    [
        (
            Version::HTTP_11,
            Client::with(|builder| builder.http1_only()),
        ),
        (
            Version::HTTP_2,
            Client::with(|builder| builder.http2_prior_knowledge()),
        ),
    ]
}

/// Sends the body in two pieces, the second only after some of the first is in storage.
async fn streams(
    gateway: &TestGateway,
    request: RequestBuilder,
    version: Version,
    body: &[u8],
    file: &[u8],
) -> String {
    let kept = gateway.sandbox.assets().len();
    let (mut body_writer, answer) = by_hand(request);
    body_writer.write(&body[..FIRST]).await;
    let arriving = || {
        gateway
            .sandbox
            .assets()
            .iter()
            .any(|asset| !asset.complete && asset.received > 0)
    };
    assert!(
        eventually(arriving).await,
        "storage has bytes before the caller has sent the rest"
    );
    assert!(!answer.is_finished(), "nothing is confirmed before the end");
    body_writer.write(&body[FIRST..]).await;
    body_writer.end();
    let response = answer.await.unwrap().unwrap();
    assert_eq!(response.version(), version);
    let receipt = receipt(response).await;
    assert!(gateway.stored(receipt["id"].as_str().unwrap()) == file);
    assert_eq!(gateway.left_upstream(kept + 1).await, kept + 1);
    receipt["lengthSource"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_raw_file_streams_over_both_versions_of_http() {
    let gateway = TestGateway::start().await;
    let file = noise(LARGE, 1);
    for (version, client) in clients() {
        let url = gateway.url("/v1/assets?channel=sms");
        let sized = client.post(&url).header(CONTENT_LENGTH, LARGE);
        assert_eq!(
            streams(&gateway, sized, version, &file, &file).await,
            "declared"
        );
        let chunked = client.post(format!("{url}&size={LARGE}"));
        assert_eq!(
            streams(&gateway, chunked, version, &file, &file).await,
            "declared"
        );
    }
}

#[tokio::test]
async fn a_form_streams_over_both_versions_of_http() {
    let gateway = TestGateway::start().await;
    let file = noise(LARGE, 2);
    for (version, client) in clients() {
        let url = gateway.url("/v1/assets");
        let (content_type, body) = form(
            &[("channel", "sms"), ("size", &LARGE.to_string())],
            "a.bin",
            &file,
            "",
        );
        let chunked = client.post(&url).header(CONTENT_TYPE, &content_type);
        assert_eq!(
            streams(&gateway, chunked, version, &body, &file).await,
            "declared"
        );

        // A small form shows how this client ends its forms.
        let (content_type, small) = form(&[("channel", "sms")], "a.bin", b"small", "");
        receipt(
            client
                .post(&url)
                .header(CONTENT_TYPE, &content_type)
                .body(small)
                .send()
                .await
                .unwrap(),
        )
        .await;
        let (content_type, body) = form(&[("channel", "sms")], "a.bin", &file, "");
        let sized = client
            .post(&url)
            .header(CONTENT_TYPE, &content_type)
            .header(CONTENT_LENGTH, body.len());
        assert_eq!(
            streams(&gateway, sized, version, &body, &file).await,
            "derived"
        );
    }
}

#[tokio::test]
async fn a_digest_doesnt_keep_a_file_from_streaming() {
    let gateway = TestGateway::start().await;
    let file = noise(LARGE, 3);
    let request = gateway.post(&format!("/v1/assets?channel=sms&sha256=1&size={LARGE}"));
    assert_eq!(
        streams(&gateway, request, Version::HTTP_11, &file, &file).await,
        "declared"
    );
}
