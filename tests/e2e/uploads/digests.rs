//! Digests: what is declared is verified before anything is kept, what is wanted is told.

use asset_gateway::sandbox::faults::SandboxOperation;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use sha2::{Digest, Sha256};

use crate::support::client::RequestBuilder;
use crate::support::gateway::{TestGateway, form, noise, receipt};
use crate::support::raw_client::Wire;
use crate::support::refusal::Refusal;

/// Within the look-ahead, and beyond it.
const SIZES: [usize; 2] = [1000, 200_000];

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// As RFC 9530 writes it.
fn field_of(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

fn raw(gateway: &TestGateway, file: &[u8]) -> RequestBuilder {
    gateway.post("/v1/assets?channel=sms").body(file.to_vec())
}

async fn in_form(
    gateway: &TestGateway,
    sha256: &str,
    file: &[u8],
    content_digest: impl Fn(&[u8]) -> Option<String>,
) -> Response {
    let (content_type, body) = form(&[("channel", "sms"), ("sha256", sha256)], "a.bin", file, "");
    let mut request = gateway
        .post("/v1/assets")
        .header(CONTENT_TYPE, content_type);
    if let Some(digest) = content_digest(&body) {
        request = request.header("content-digest", digest);
    }
    request.body(body).send().await.unwrap()
}

#[tokio::test]
async fn a_right_digest_is_verified_and_returned() {
    let gateway = TestGateway::start().await;
    for size in SIZES {
        let file = noise(size, 1);
        let responses = [
            gateway
                .post(&format!("/v1/assets?channel=sms&sha256={}", hex(&file)))
                .body(file.clone())
                .send()
                .await
                .unwrap(),
            raw(&gateway, &file)
                .header("repr-digest", field_of(&file))
                .send()
                .await
                .unwrap(),
            raw(&gateway, &file)
                .header("content-digest", field_of(&file))
                .send()
                .await
                .unwrap(),
            raw(&gateway, &file)
                .header("want-repr-digest", "sha-256=1")
                .send()
                .await
                .unwrap(),
            gateway
                .post("/v1/assets?channel=sms&sha256=1")
                .body(file.clone())
                .send()
                .await
                .unwrap(),
            in_form(&gateway, &hex(&file).to_uppercase(), &file, |_| None).await,
            in_form(&gateway, "1", &file, |body| Some(field_of(body))).await,
        ];
        for response in responses {
            assert_eq!(receipt(response).await["sha256"], hex(&file));
        }
    }
}

#[tokio::test]
async fn a_digest_that_nobody_asked_for_isnt_told() {
    let gateway = TestGateway::start().await;
    let unasked = receipt(raw(&gateway, b"text").send().await.unwrap()).await;
    assert!(unasked.get("sha256").is_none());
    let other = raw(&gateway, b"text")
        .header("want-repr-digest", "sha-512=5, sha-256=0")
        .send()
        .await
        .unwrap();
    assert!(receipt(other).await.get("sha256").is_none());
    for unreadable in ["?!", "sha-256=1,", "sha-256=:AAAA:", "SHA-256"] {
        let ignored = raw(&gateway, b"text")
            .header("want-repr-digest", unreadable)
            .send()
            .await
            .unwrap();
        assert!(
            receipt(ignored).await.get("sha256").is_none(),
            "RFC 8941 section 4.2: {unreadable}"
        );
    }
}

#[tokio::test]
async fn a_wrong_digest_keeps_nothing_however_it_was_declared() {
    let gateway = TestGateway::start().await;
    for size in SIZES {
        let (file, other) = (noise(size, 2), noise(size, 3));
        let responses = [
            gateway
                .post(&format!("/v1/assets?channel=sms&sha256={}", hex(&other)))
                .body(file.clone())
                .send()
                .await
                .unwrap(),
            raw(&gateway, &file)
                .header("repr-digest", field_of(&other))
                .send()
                .await
                .unwrap(),
            raw(&gateway, &file)
                .header("content-digest", field_of(&other))
                .send()
                .await
                .unwrap(),
            in_form(&gateway, &hex(&other), &file, |_| None).await,
        ];
        for response in responses {
            let refusal = Refusal::of(response).await;
            assert_eq!(refusal.told(), (400, "digest-mismatch", "caller", "read"));
            assert!(
                refusal.detail.contains(&hex(&file)) && refusal.detail.contains(&hex(&other)),
                "{}",
                refusal.detail
            );
        }
        // A form's own digest is that of the whole body, not of the file in it.
        let refusal =
            Refusal::of(in_form(&gateway, "1", &file, |_| Some(field_of(&file))).await).await;
        assert_eq!(refusal.kind(), (400, "digest-mismatch"));
    }
    assert_eq!(gateway.left_upstream(0).await, 0);
    let stats = gateway.sandbox.stats();
    assert!(
        stats.calls(SandboxOperation::CreateAsset) <= 5,
        "within the look-ahead it is seen before eGain is asked"
    );
}

#[tokio::test]
async fn a_spooled_file_with_wrong_digest_costs_no_call() {
    let gateway = TestGateway::start().await;
    let file = noise(200_000, 4);
    let refusal = Refusal::of(in_form(&gateway, &hex(b"other"), &file, |_| None).await).await;
    assert_eq!(refusal.kind(), (400, "digest-mismatch"));
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn contradictory_or_malformed_digests_are_refused_from_the_head() {
    let gateway = TestGateway::start().await;
    let (one, two) = (field_of(b"one"), field_of(b"two"));
    for (query, lines, code) in [
        (
            "",
            format!("Repr-Digest: {one}\r\nContent-Digest: {two}\r\n"),
            "conflicting-field",
        ),
        (
            &*format!("&sha256={}", hex(b"two")),
            format!("Repr-Digest: {one}\r\n"),
            "conflicting-field",
        ),
        (
            "",
            "Content-Digest: sha-256=abc\r\n".to_owned(),
            "invalid-field",
        ),
        ("&sha256=abc", String::new(), "invalid-field"),
    ] {
        let mut wire = Wire::to(gateway.addr).await;
        wire.send_head(
            &format!("channel=sms{query}"),
            &format!("Content-Length: 3\r\n{lines}"),
        )
        .await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 400, "{query} {lines}");
        assert!(
            answer.body.contains(&format!("\"{code}\"")),
            "{query} {lines}{}",
            answer.body
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}
