//! Forms as programs in the field send them: taken as long as they have one meaning.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::support::gateway::{TestGateway, noise, receipt};
use crate::support::refusal::Refusal;

const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
const CHANNEL: &str = "Content-Disposition: form-data; name=\"channel\"";
const FILE: &str =
    "Content-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg";
const EMPTY: &str = "Content-Disposition: form-data; name=\"second\"; filename=\"\"\r\n\
                     Content-Type: application/octet-stream";

/// Parts, each a head and its bytes, between lines of `boundary`.
fn framed(boundary: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, bytes) in parts {
        body.extend(
            [
                format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes(),
                bytes,
                b"\r\n",
            ]
            .concat(),
        );
    }
    body.extend(format!("--{boundary}--\r\n").bytes());
    body
}

async fn send(gateway: &TestGateway, query: &str, content_type: &str, body: Vec<u8>) -> Response {
    gateway
        .post(&format!("/v1/assets?{query}"))
        .header(CONTENT_TYPE, content_type)
        .body(body)
        .send()
        .await
        .unwrap()
}

/// Checks that just the file was stored, and returns its receipt.
async fn stored(gateway: &TestGateway, response: Response, file: &[u8]) -> Value {
    let receipt = receipt(response).await;
    assert!(gateway.stored(receipt["id"].as_str().unwrap()) == file);
    receipt
}

#[tokio::test]
async fn an_unambiguous_boundary_needs_no_quotes() {
    let gateway = TestGateway::start().await;
    for (content_type, boundary) in [
        (
            "multipart/form-data; boundary=----=_Part_0_1.2",
            "----=_Part_0_1.2",
        ),
        ("multipart/form-data; boundary=a/b:c", "a/b:c"),
        ("multipart/form-data; boundary=*****", "*****"),
        ("multipart/form-data; boundary = x ; charset=utf-8", "x"),
        ("multipart/form-data;boundary=\"two words\"", "two words"),
        ("multipart/form-data, boundary=x", "x"),
    ] {
        for bytes in [JPEG, &[JPEG, &noise(100_000, 1)].concat()] {
            let body = framed(boundary, &[(CHANNEL, b"sms"), (FILE, bytes)]);
            let receipt = stored(
                &gateway,
                send(&gateway, "", content_type, body).await,
                bytes,
            )
            .await;
            assert_eq!(
                (&receipt["name"], &receipt["channel"]),
                (&"a.jpg".into(), &"sms".into()),
                "{content_type}"
            );
        }
    }
}

#[tokio::test]
async fn mail_libraries_forms_are_read() {
    let gateway = TestGateway::start().await;
    let name = "Reservation - Holiday Park by the Sea - 2025-01-10.jpg";
    let disposition =
        format!("Content-Disposition: form-data; name=\"file\";\r\n filename=\"{name}\"");
    for head in [
        format!("{disposition}\r\nContent-Type: image/jpeg"),
        format!(
            "Content-Type: image/jpeg;\r\n\tname=\"{name}\"\r\n\
                 Content-Transfer-Encoding: binary\r\n{disposition}"
        ),
        format!(
            "MIME-Version: 1.0\r\ncontent-type: image/jpeg\r\nCONTENT-ID:\r\n\t<1@x>\r\n\
                 {disposition}"
        ),
        "Content-Disposition: form-data; name=\"file\"; filename=\"Reservation - Holiday Park by \
         the Sea\r\n - 2025-01-10.jpg\""
            .to_owned(),
    ] {
        let body = framed("x", &[(CHANNEL, b"sms"), (&head, JPEG)]);
        let body = [
            b"This is a multi-part message in MIME format.\r\n\r\n",
            &body[..],
            b"\r\nan epilogue\r\n",
        ]
        .concat();
        let sent = send(&gateway, "", "multipart/form-data; boundary=x", body).await;
        let receipt = stored(&gateway, sent, JPEG).await;
        assert_eq!(receipt["name"], name, "{head}");
    }
}

#[tokio::test]
async fn an_empty_file_input_is_no_second_file() {
    for bytes in [JPEG, &[JPEG, &noise(200_000, 2)].concat()] {
        for parts in [
            [(CHANNEL, &b"sms"[..]), (EMPTY, b""), (FILE, bytes)],
            [(CHANNEL, b"sms"), (FILE, bytes), (EMPTY, b"")],
            [(EMPTY, b""), (CHANNEL, b"sms"), (FILE, bytes)],
        ] {
            let gateway = TestGateway::start().await;
            let body = framed("x", &parts);
            let receipt = stored(
                &gateway,
                send(&gateway, "", "multipart/form-data; boundary=x", body).await,
                bytes,
            )
            .await;
            assert_eq!(
                (&receipt["name"], &receipt["size"]),
                (&"a.jpg".into(), &bytes.len().into())
            );
        }
    }
    let gateway = TestGateway::start().await;
    let form = |parts: &[(&str, &[u8])]| framed("x", parts);
    for (body, status, code) in [
        (form(&[(EMPTY, b"")]), 400, "empty-file"),
        (
            form(&[(FILE, JPEG), (EMPTY, b"not empty")]),
            400,
            "bad-request",
        ),
        (
            form(&[(EMPTY, b"not empty"), (FILE, JPEG)]),
            400,
            "bad-request",
        ),
    ] {
        let refusal = Refusal::of(
            send(
                &gateway,
                "channel=sms",
                "multipart/form-data; boundary=x",
                body,
            )
            .await,
        )
        .await;
        assert_eq!(refusal.kind(), (status, code));
    }
}

#[tokio::test]
async fn a_form_under_another_type_is_still_parsed() {
    let gateway = TestGateway::start().await;
    let types = [
        "application/x-www-form-urlencoded",
        "image/jpeg",
        "application/octet-stream",
        "text/plain",
        "multipart/related; boundary=x",
    ];
    for content_type in types {
        for bytes in [JPEG, &[JPEG, &noise(200_000, 3)].concat()] {
            let body = framed(
                "x",
                &[
                    (
                        "Content-Disposition: form-data; name=\"sender\"",
                        b"egain_agent",
                    ),
                    (FILE, bytes),
                ],
            );
            let receipt = stored(
                &gateway,
                send(&gateway, "channel=sms", content_type, body).await,
                bytes,
            )
            .await;
            let told = ["name", "sender", "contentType"].map(|key| receipt[key].as_str().unwrap());
            assert_eq!(
                told,
                ["a.jpg", "egain_agent", "image/jpeg"],
                "{content_type}"
            );
        }
    }
    let form = framed("x", &[(FILE, JPEG)]);
    let related = framed(
        "x",
        &[
            ("Content-Type: application/json", b"{}"),
            ("Content-Type: image/jpeg", JPEG),
        ],
    );
    let calls = gateway.sandbox.stats().calls(SandboxOperation::CreateAsset);
    for (what, content_type, body) in [
        (
            "two boundaries",
            "multipart/related; boundary=y",
            form.clone(),
        ),
        ("no form", "multipart/related; boundary=x", related),
        ("no end", "image/jpeg", form[..form.len() - 4].to_vec()),
        (
            "bare line feeds",
            "image/jpeg",
            form.iter().copied().filter(|byte| *byte != b'\r').collect(),
        ),
    ] {
        let refusal = Refusal::of(send(&gateway, "channel=sms", content_type, body).await).await;
        assert_eq!(refusal.kind(), (400, "malformed-multipart"), "{what}");
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        calls
    );
}

#[tokio::test]
async fn text_that_resembles_a_form_is_a_file() {
    let gateway = TestGateway::start().await;
    for text in [
        "-- a comment\nSELECT 1;\n",
        "---\ntitle: x\n---\n",
        "--x\r\nContent-Disposition: inline\r\n\r\nhello\r\n--x--\r\n",
    ] {
        stored(
            &gateway,
            send(
                &gateway,
                "channel=sms&name=a.txt",
                "text/plain",
                text.into(),
            )
            .await,
            text.as_bytes(),
        )
        .await;
    }
}

#[tokio::test]
async fn curls_default_type_says_nothing() {
    let gateway = TestGateway::start().await;
    let response = send(
        &gateway,
        "channel=sms",
        "application/x-www-form-urlencoded",
        JPEG.to_vec(),
    )
    .await;
    assert_eq!(stored(&gateway, response, JPEG).await["name"], "upload.jpg");
}
