//! Requests that make no sense: told what is wrong with them, at the cost of no call to eGain.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

use crate::support::gateway::{TestGateway, form, noise, receipt};
use crate::support::raw_client::in_chunks;
use crate::support::refusal::Refusal;

async fn send_form(
    gateway: &TestGateway,
    query: &str,
    (content_type, body): (String, Vec<u8>),
) -> Response {
    gateway
        .post(&format!("/v1/assets?{query}"))
        .header(CONTENT_TYPE, content_type)
        .body(body)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_wrong_field_has_its_code_without_a_call() {
    let gateway = TestGateway::start().await;
    let long = format!("channel={}", "x".repeat(256));
    for (query, code, word) in [
        ("", "missing-field", "channel"),
        ("sender=customer", "missing-field", "channel"),
        ("channel=", "invalid-field", "channel"),
        (&long, "invalid-field", "channel"),
        ("channel=sms&sender=me", "invalid-field", "custom_agent"),
        ("channel=sms&size=ten", "invalid-field", "size"),
        ("channel=sms&size=-1", "invalid-field", "size"),
        ("channel=sms&size=0", "empty-file", "one byte"),
        ("channel=sms&sha256=zz", "invalid-field", "sha256"),
        (
            "channel=sms&channel=whatsapp",
            "conflicting-field",
            "channel",
        ),
    ] {
        let raw = gateway
            .post(&format!("/v1/assets?{query}"))
            .body("text")
            .send()
            .await
            .unwrap();
        for response in [
            raw,
            send_form(&gateway, query, form(&[], "a.txt", b"text", "")).await,
        ] {
            let refusal = Refusal::of(response).await;
            assert_eq!(
                (refusal.status, &*refusal.code, &*refusal.blame),
                (400, code, "caller"),
                "{query}"
            );
            assert!(
                refusal.detail.contains(word) && !refusal.retryable,
                "{query}: {}",
                refusal.detail
            );
        }
        if let Some(fields) = query.split_once('&').and_then(|_| as_fields(query)) {
            let refusal =
                Refusal::of(send_form(&gateway, "", form(&fields, "a.txt", b"text", "")).await)
                    .await;
            assert_eq!(refusal.kind(), (400, code), "{query} as fields of a form");
        }
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

fn as_fields(query: &str) -> Option<Vec<(&str, &str)>> {
    query.split('&').map(|pair| pair.split_once('=')).collect()
}

#[tokio::test]
async fn a_repeated_field_with_equal_value_counts_once() {
    let gateway = TestGateway::start().await;
    let twice = send_form(
        &gateway,
        "channel=sms&sender=egain_agent",
        form(&[("channel", "sms")], "a.txt", b"text", ""),
    )
    .await;
    let stored = receipt(twice).await;
    assert_eq!(
        (&stored["channel"], &stored["sender"]),
        (&"sms".into(), &"egain_agent".into())
    );
    let asset = &gateway.sandbox.assets()[0];
    assert_eq!((&*asset.channel, &*asset.sender), ("sms", "egain_agent"));
    let differs = send_form(
        &gateway,
        "channel=sms",
        form(&[("channel", "whatsapp")], "a.txt", b"text", ""),
    )
    .await;
    assert_eq!(
        Refusal::of(differs).await.told(),
        (400, "conflicting-field", "caller", "read")
    );
}

#[tokio::test]
async fn an_empty_file_is_refused_in_every_shape() {
    let gateway = TestGateway::start().await;
    for response in [
        gateway
            .post("/v1/assets?channel=sms")
            .body("")
            .send()
            .await
            .unwrap(),
        in_chunks(gateway.post("/v1/assets?channel=sms"), b"").await,
        send_form(&gateway, "channel=sms", form(&[], "a.txt", b"", "")).await,
    ] {
        assert_eq!(Refusal::of(response).await.kind(), (400, "empty-file"));
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn bytes_that_would_be_stored_encoded_are_refused() {
    let gateway = TestGateway::start().await;
    let gzip = gateway
        .post("/v1/assets?channel=sms")
        .header(CONTENT_ENCODING, "gzip")
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(
        Refusal::of(gzip).await.told(),
        (415, "encoding-not-allowed", "caller", "admit")
    );
    for second in [&b"gzip"[..], b"br, identity", b"\xe9", b"aws-chunked"] {
        let second = HeaderValue::from_bytes(second).unwrap();
        let request = gateway
            .post("/v1/assets?channel=sms")
            .header(CONTENT_ENCODING, "identity")
            .header(CONTENT_ENCODING, second);
        let refusal = Refusal::of(request.body("x").send().await.unwrap()).await;
        assert_eq!(
            refusal.told(),
            (415, "encoding-not-allowed", "caller", "admit")
        );
    }
    let in_part = |encoding: &str| {
        let head = "Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"";
        let body = format!(
            "--x\r\n{head}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\ndGV4dA==\r\n--x--\r\n"
        );
        (
            "multipart/form-data; boundary=x".to_owned(),
            body.into_bytes(),
        )
    };
    for encoding in ["base64", "quoted-printable"] {
        let refusal =
            Refusal::of(send_form(&gateway, "channel=sms", in_part(encoding)).await).await;
        assert_eq!(
            refusal.told(),
            (415, "encoding-not-allowed", "caller", "read")
        );
    }
    let field = "Content-Disposition: form-data; name=\"channel\"\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\nc21z\r\n";
    let (content_type, body) = form(&[], "a.txt", b"text", "");
    let boundary = content_type.split_once('=').unwrap().1;
    let before = [format!("--{boundary}\r\n{field}").as_bytes(), &body].concat();
    let behind = form(&[], "a.txt", b"text", &format!("--BOUNDARY\r\n{field}")).1;
    for body in [before, behind] {
        let refusal =
            Refusal::of(send_form(&gateway, "channel=sms", (content_type.clone(), body)).await)
                .await;
        assert_eq!(
            refusal.told(),
            (415, "encoding-not-allowed", "caller", "read")
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
    for plain in ["binary", "8bit", "7BIT"] {
        receipt(send_form(&gateway, "channel=sms", in_part(plain)).await).await;
    }
    let identity = gateway
        .post("/v1/assets?channel=sms")
        .header(CONTENT_ENCODING, "identity")
        .body("x")
        .send()
        .await
        .unwrap();
    receipt(identity).await;
}

#[tokio::test]
async fn of_two_types_neither_is_believed() {
    let gateway = TestGateway::start().await;
    let (content_type, body) = form(&[("channel", "sms")], "a.txt", b"text", "");
    for (first, second) in [
        ("image/jpeg", &*content_type),
        (&*content_type, "image/jpeg"),
        ("text/plain", "text/csv"),
    ] {
        let request = gateway
            .post("/v1/assets?channel=sms")
            .header(CONTENT_TYPE, first)
            .header(CONTENT_TYPE, second);
        let refusal = Refusal::of(request.body(body.clone()).send().await.unwrap()).await;
        assert_eq!(
            refusal.told(),
            (400, "bad-request", "caller", "admit"),
            "{first} and {second}"
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
    let twice = gateway
        .post("/v1/assets")
        .header(CONTENT_TYPE, &content_type)
        .header(CONTENT_TYPE, &content_type);
    receipt(twice.body(body).send().await.unwrap()).await;
}

#[tokio::test]
async fn what_is_wrong_behind_the_file_keeps_nothing() {
    let gateway = TestGateway::start().await;
    let late = "--BOUNDARY\r\nContent-Disposition: form-data; name=\"channel\"\r\n\r\nwhatsapp\r\n";
    let second = "--BOUNDARY\r\nContent-Disposition: form-data; name=\"file\"; \
                  filename=\"b.bin\"\r\n\r\nmore\r\n";
    for size in [1000, 200_000] {
        let file = noise(size, 1);
        for declared in ["channel=sms", &format!("channel=sms&size={size}")] {
            let refusal =
                Refusal::of(send_form(&gateway, declared, form(&[], "a.bin", &file, late)).await)
                    .await;
            assert_eq!(refusal.told(), (400, "conflicting-field", "caller", "read"));
            assert!(
                refusal.detail.contains("before the file"),
                "{}",
                refusal.detail
            );
            let refusal =
                Refusal::of(send_form(&gateway, declared, form(&[], "a.bin", &file, second)).await)
                    .await;
            assert_eq!(refusal.told(), (400, "bad-request", "caller", "read"));
            assert!(refusal.detail.contains("one file"), "{}", refusal.detail);
        }
    }
    assert_eq!(gateway.left_upstream(0).await, 0);
    // A channel that comes only behind the file is missing where the file can't wait for it.
    let refusal =
        Refusal::of(send_form(&gateway, "", form(&[], "a.bin", &noise(300_000, 1), late)).await)
            .await;
    assert_eq!(refusal.kind(), (400, "missing-field"));
    assert!(
        refusal.detail.contains("before the file"),
        "{}",
        refusal.detail
    );
}

#[tokio::test]
async fn a_repeated_or_unknown_field_after_the_file_passes() {
    let gateway = TestGateway::start().await;
    for name in ["channel", "note"] {
        let late =
            format!("--BOUNDARY\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nsms\r\n");
        let file = noise(200_000, 2);
        let stored =
            receipt(send_form(&gateway, "channel=sms", form(&[], "a.bin", &file, &late)).await)
                .await;
        assert!(gateway.stored(stored["id"].as_str().unwrap()) == file);
    }
}
