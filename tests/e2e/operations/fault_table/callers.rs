//! What callers get wrong.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};

use super::case::{FaultCase, LARGE, Row, SMALL, Seen};
use crate::support::client::RequestBuilder;
use crate::support::gateway::{TestGateway, eventually, form, noise};
use crate::support::raw_client::{Wire, in_chunks};

const IMPATIENT: [(&str, &str); 1] = [("server.body_idle_timeout", "500ms")];

type Form = (String, Vec<u8>);

/// One request that is wrong in itself.
fn ask(
    what: &'static str,
    request: &'static str,
    make: impl Fn(&TestGateway) -> RequestBuilder + 'static,
) -> Row {
    asked(what, request, &[], make)
}

fn asked(
    what: &'static str,
    request: &'static str,
    settings: &'static [(&str, &str)],
    make: impl Fn(&TestGateway) -> RequestBuilder + 'static,
) -> Row {
    Row::new(what, request, async move {
        let case = FaultCase::with(settings, []).await;
        let response = make(&case.gateway).send().await.unwrap();
        case.answered(response, &[]).await
    })
}

fn raw(what: &'static str, query: &'static str, body: &'static [u8]) -> Row {
    ask(what, "upload", move |gateway| {
        gateway.post(&format!("/v1/assets?{query}")).body(body)
    })
}

fn form_row(what: &'static str, request: &'static str, make: impl Fn() -> Form + 'static) -> Row {
    ask(what, request, move |gateway| {
        let (content_type, body) = make();
        gateway
            .post("/v1/assets?channel=sms")
            .header(CONTENT_TYPE, content_type)
            .body(body)
    })
}

/// So many bytes where others were promised.
fn lengths(what: &'static str, request: &'static str, declared: usize, actual: usize) -> Row {
    Row::new(what, request, async move {
        let case = FaultCase::with(&[], []).await;
        let request = case
            .gateway
            .post(&format!("/v1/assets?channel=sms&size={declared}"));
        case.answered(in_chunks(request, &noise(actual, 1)).await, &[])
            .await
    })
}

/// Sends so much of a large file, and no more.
async fn stops(sent: usize) -> Seen {
    let case = FaultCase::with(&IMPATIENT, []).await;
    let mut wire = Wire::to(case.gateway.addr).await;
    wire.send_head("channel=sms", &format!("Content-Length: {LARGE}\r\n"))
        .await;
    wire.send(noise(sent, 1)).await;
    case.told(&wire.answer().await.body).await
}

async fn leaves(sent: usize) -> Seen {
    let case = FaultCase::with(&[], []).await;
    let mut wire = Wire::to(case.gateway.addr).await;
    wire.send_head("channel=sms", &format!("Content-Length: {LARGE}\r\n"))
        .await;
    wire.send(noise(sent, 1)).await;
    let sandbox = &case.gateway.sandbox;
    let streams = sent > 65_536;
    assert!(
        case.gateway
            .counts("transfers_in_flight{direction=\"upload\"}", 1.0)
            .await
    );
    assert!(
        eventually(|| !streams || sandbox.assets().iter().any(|asset| asset.received > 0)).await
    );
    drop(wire);
    case.caller_left("upload", "read").await
}

async fn leaves_storage_undecided() -> Seen {
    let slow = Fault::at(SandboxOperation::Upload).delay(std::time::Duration::from_secs(30));
    let case = FaultCase::with(&[], [slow]).await;
    let mut wire = Wire::to(case.gateway.addr).await;
    wire.send_head("channel=sms", &format!("Content-Length: {SMALL}\r\n"))
        .await;
    wire.send(noise(SMALL, 1)).await;
    assert!(eventually(|| case.gateway.sandbox.stats().calls(SandboxOperation::Upload) == 1).await);
    drop(wire);
    case.caller_left("upload", "read").await
}

/// With a key for what was sent before, or is under way.
async fn idempotent(first_takes: std::time::Duration, other: &[u8]) -> Seen {
    let gateway = TestGateway::start().await;
    let send = |body: &[u8]| {
        let request = gateway
            .post("/v1/assets?channel=sms&name=a.bin")
            .header("idempotency-key", "k");
        tokio::spawn(request.body(body.to_vec()).send())
    };
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::CreateAsset)
            .delay(first_takes)
            .once(),
    );
    let first = send(b"text");
    if first_takes.is_zero() {
        assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::CREATED);
    } else {
        assert!(
            eventually(|| gateway.sandbox.stats().calls(SandboxOperation::CreateAsset) == 1).await
        );
    }
    let second = send(other).await.unwrap().unwrap();
    FaultCase::of(gateway).answered(second, &[]).await
}

async fn in_use() -> Seen {
    let gateway = TestGateway::start().await;
    let receipt = gateway.upload("a.bin", noise(10, 1)).await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::DeleteAsset).status(StatusCode::CONFLICT));
    let case = FaultCase::of(gateway);
    let url = case
        .gateway
        .url(&format!("/v1/assets/{}", receipt["id"].as_str().unwrap()));
    let response = case.gateway.client.delete(url).send().await.unwrap();
    case.answered(response, &[]).await
}

/// A caller of the settings file.
fn known(
    what: &'static str,
    request: &'static str,
    id: &'static str,
    method: Method,
    before: usize,
) -> Row {
    Row::new(what, request, async move {
        let gateway = TestGateway::builder()
            .file(&crate::operations::callers::keys())
            .settings(&[("auth.mode", "keys")])
            .start()
            .await;
        let ask = || {
            let request = gateway.client.request(
                method.clone(),
                gateway.url("/v1/assets?channel=sms&name=a.txt"),
            );
            request.by(id).body("text").send()
        };
        for _ in 0..before {
            assert_eq!(ask().await.unwrap().status(), StatusCode::CREATED);
        }
        let response = ask().await.unwrap();
        let calls = before as u64;
        assert_eq!(
            gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
            calls,
            "who is refused costs nothing"
        );
        FaultCase::of(gateway).answered(response, &[]).await
    })
}

fn broken(size: usize) -> Form {
    let (content_type, body) = form(&[("size", &size.to_string())], "a.bin", &noise(size, 1), "");
    let end = body.len() - 8;
    (content_type, body[..end].to_vec())
}

fn behind(part: &str) -> Form {
    form(&[], "a.bin", b"text", part)
}

fn encoded() -> Form {
    let head = "Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
                Content-Transfer-Encoding: base64";
    (
        "multipart/form-data; boundary=x".to_owned(),
        format!("--x\r\n{head}\r\n\r\ndGV4dA==\r\n--x--\r\n").into_bytes(),
    )
}

fn wrong_digest(size: usize) -> impl Fn(&TestGateway) -> RequestBuilder {
    move |gateway| {
        gateway
            .post(&format!("/v1/assets?channel=sms&sha256={}", "0".repeat(64)))
            .body(noise(size, 1))
    }
}

const SECOND_FILE: &str = "--BOUNDARY\r\nContent-Disposition: form-data; name=\"file\"; \
                           filename=\"b.bin\"\r\n\r\nmore\r\n";
const LATE_CHANNEL: &str =
    "--BOUNDARY\r\nContent-Disposition: form-data; name=\"channel\"\r\n\r\nwhatsapp\r\n";

pub(super) fn rows() -> Vec<Row> {
    let (small, large) = ("upload, small", "upload, large");
    let mut rows = vec![
        lengths("too long by a byte", small, SMALL, SMALL + 1),
        lengths("too long by 50 kB", large, LARGE, LARGE + 50_000),
        lengths("too short by a byte", small, SMALL, SMALL - 1),
        lengths("too short by a byte", large, LARGE, LARGE - 1),
        Row::new("left after 10 kB", large, leaves(10_000)),
        Row::new("left after 500 kB", large, leaves(LARGE / 2)),
        Row::new(
            "left while storage makes up its mind",
            small,
            leaves_storage_undecided(),
        ),
        Row::new("too slow: nothing after the head", large, stops(0)),
        Row::new("too slow: nothing after 500 kB", large, stops(LARGE / 2)),
        ask("another digest than declared", small, wrong_digest(SMALL)),
        ask("another digest than declared", large, wrong_digest(LARGE)),
        form_row("a form without its end", "form, small", || broken(SMALL)),
        form_row("a form without its end", "form, large", || broken(LARGE)),
        form_row("a form without a boundary", "form, small", || {
            ("multipart/form-data".to_owned(), broken(SMALL).1)
        }),
        form_row("two files", "form, small", || behind(SECOND_FILE)),
        form_row("another channel behind the file", "form, small", || {
            behind(LATE_CHANNEL)
        }),
        form_row("a part in base64", "form, small", encoded),
        form_row("a form with bare line feeds", "form, small", || {
            let (content_type, body) = form(&[], "a.txt", b"text", "");
            (
                content_type,
                body.into_iter().filter(|byte| *byte != b'\r').collect(),
            )
        }),
        form_row("a form within a form", "form, small", || {
            let head = "Content-Disposition: form-data; name=\"files\"\r\n\
                        Content-Type: multipart/mixed; boundary=y";
            (
                "multipart/form-data; boundary=x".to_owned(),
                format!("--x\r\n{head}\r\n\r\n--y--\r\n--x--\r\n").into_bytes(),
            )
        }),
        form_row("an envelope of another kind", "upload, small", || {
            let head = "--x\r\nContent-Type: application/json\r\n\r\n{}\r\n--x--\r\n";
            (
                "multipart/related; boundary=x".to_owned(),
                head.as_bytes().to_vec(),
            )
        }),
        ask("two types", "upload", |gateway| {
            gateway
                .post("/v1/assets?channel=sms")
                .header(CONTENT_TYPE, "text/plain")
                .header(CONTENT_TYPE, "image/png")
                .body("text")
        }),
        raw("no channel", "", b"text"),
        raw("a size that is none", "channel=sms&size=many", b"text"),
        raw("two channels", "channel=sms&channel=whatsapp", b"text"),
        raw("no bytes", "channel=sms", b""),
        raw(
            "a program",
            "channel=sms&name=a.txt",
            b"#!/bin/sh\necho hello\n",
        ),
    ];
    rows.extend(more());
    rows
}

fn more() -> Vec<Row> {
    let upload = "/v1/assets?channel=sms";
    let no_time = std::time::Duration::ZERO;
    vec![
        ask(
            "larger than `limits.max_asset_size`",
            "upload, 11 MB",
            move |gateway| gateway.post(upload).body(noise(11_000_000, 1)),
        ),
        ask("a body in gzip", "upload", move |gateway| {
            gateway
                .post(upload)
                .header("content-encoding", "gzip")
                .body("text")
        }),
        Row::new(
            "no length, and spooling is off",
            "upload, large",
            async move {
                let case = FaultCase::with(&[("limits.spool_total", "0")], []).await;
                let response = in_chunks(case.gateway.post(upload), &noise(LARGE, 1)).await;
                case.answered(response, &[]).await
            },
        ),
        ask("17 kB of headers", "metadata", |gateway| {
            gateway
                .get("/v1/assets/unknown")
                .header("x-long", "a".repeat(17_000))
        }),
        ask("101 header fields", "metadata", |gateway| {
            let request = gateway.get("/v1/assets/unknown");
            (0..101).fold(request, |request, number| {
                request.header(format!("x-{number}"), "y")
            })
        }),
        ask("a web page of another origin", "form, small", |gateway| {
            let (content_type, body) = form(&[("channel", "sms")], "a.bin", &noise(SMALL, 1), "");
            gateway
                .post("/v1/assets")
                .header(CONTENT_TYPE, content_type)
                .header("origin", "https://elsewhere.test")
                .body(body)
        }),
        raw(
            "a channel with a blank behind it",
            "channel=sms%20&name=a.bin",
            b"text",
        ),
        asked(
            "a channel that nobody names",
            "upload",
            &[("policy.unknown_channels", "refuse")],
            move |gateway| gateway.post(upload).body("text"),
        ),
        ask("an id that can't be one", "metadata", |gateway| {
            gateway.get("/v1/assets/a%20b")
        }),
        ask("an asset that doesn't exist", "metadata", |gateway| {
            gateway.get("/v1/assets/unknown")
        }),
        ask("a method that isn't there", "`PUT`", |gateway| {
            gateway
                .client
                .request(Method::PUT, gateway.url("/v1/assets"))
        }),
        Row::new("an asset that is in use", "`DELETE`", in_use()),
        Row::new(
            "a key whose upload is in flight",
            "upload, `Idempotency-Key`",
            async { idempotent(std::time::Duration::from_secs(1), b"text").await },
        ),
        Row::new(
            "a key of another file",
            "upload, `Idempotency-Key`",
            async move { idempotent(no_time, b"other").await },
        ),
        known("an unknown API key", "upload", "nobody", Method::POST, 0),
        known("a reader's API key", "upload", "reader", Method::POST, 0),
        known("above its own rate", "upload", "slow", Method::POST, 1),
    ]
}
