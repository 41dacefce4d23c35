//! Connections: HTTP/2 with prior knowledge, and HTTP/1.1 that is used again.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::{StatusCode, Version};

use crate::downloads::content::stored;
use crate::support::client::Client;
use crate::support::gateway::{TestGateway, noise};
use crate::support::raw_client::Wire;

fn http2() -> Client {
    Client::with(|builder| builder.http2_prior_knowledge())
}

#[tokio::test]
async fn http_2_serves_metadata_and_content() {
    let gateway = TestGateway::start().await;
    let file = noise(3 * 1024 * 1024, 7);
    let path = stored(&gateway, "a.bin", file.clone()).await;
    let client = http2();
    let metadata = client
        .get(gateway.url(path.trim_end_matches("/content")))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (metadata.version(), metadata.status()),
        (Version::HTTP_2, StatusCode::OK)
    );
    assert!(
        metadata.headers().contains_key("x-request-id")
            && !metadata.headers().contains_key("connection")
    );
    let content = client.get(gateway.url(&path)).send().await.unwrap();
    assert_eq!(
        (content.version(), content.content_length()),
        (Version::HTTP_2, Some(file.len() as u64))
    );
    assert!(content.bytes().await.unwrap() == file);
    let part = client
        .get(gateway.url(&path))
        .header("range", "bytes=1-2")
        .send()
        .await
        .unwrap();
    assert!(part.bytes().await.unwrap() == file[1..=2]);
}

#[tokio::test]
async fn http_2_answers_a_head_without_a_body() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.bin", noise(10, 7)).await;
    for (path, status) in [
        (path.trim_end_matches("/content"), 200),
        (path.as_str(), 200),
        ("/nowhere", 404),
    ] {
        let answer = http2().head(gateway.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert!(answer.headers()["content-length"] != "0", "{path}");
        assert!(answer.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_broken_http_2_stream_leaves_the_others_running() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.bin", noise(300_000, 7)).await;
    let client = http2();
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Download)
            .cut_after(100_000)
            .no_etag()
            .once(),
    );
    let broken = client.get(gateway.url(&path)).send().await.unwrap();
    assert_eq!(broken.status(), StatusCode::OK);
    assert!(broken.bytes().await.is_err());
    let whole = client.get(gateway.url(&path)).send().await.unwrap();
    assert!(whole.bytes().await.unwrap() == noise(300_000, 7));
}

#[tokio::test]
async fn an_idle_connection_is_reusable_after_the_header_timeout() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("server.header_timeout", "200ms"),
            ("server.keep_alive_timeout", "30s"),
        ])
        .start()
        .await;
    let mut wire = Wire::to(gateway.addr).await;
    for round in 0..2 {
        wire.send("HEAD /nowhere HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let head = wire.head().await;
        assert!(
            head.starts_with("http/1.1 404") && !head.contains("\r\nconnection: close"),
            "round {round}: {head}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn a_connection_serves_one_download_after_the_other() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.bin", noise(1000, 7)).await;
    let mut wire = Wire::to(gateway.addr).await;
    for headers in ["", "range: bytes=0-9\r\n", "if-none-match: *\r\n", ""] {
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n"))
            .await;
        let head = wire.head().await;
        let length = match head.split(' ').nth(1).unwrap() {
            "200" => 1000,
            "206" => 10,
            _ => 0,
        };
        assert!(
            wire.bytes(length).await == noise(1000, 7)[..length],
            "{head}"
        );
    }
}

#[tokio::test]
async fn an_excess_connection_is_refused_and_admin_stays_reachable() {
    let gateway = TestGateway::builder()
        .settings(&[("server.max_connections", "1")])
        .start()
        .await;
    let mut first = Wire::to(gateway.addr).await;
    first
        .send("HEAD /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    first.head().await;
    let mut second = Wire::to(gateway.addr).await;
    second
        .send("HEAD /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let head = second.head().await;
    assert!(
        head.starts_with("http/1.1 503") && head.contains("\r\nretry-after: 1\r\n"),
        "{head}"
    );
    let alive = gateway
        .client
        .get(format!("http://{}/livez", gateway.admin))
        .send()
        .await
        .unwrap();
    assert_eq!(alive.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_connection_that_is_begun_anew_loses_nothing() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    let large = noise(500_000, 1);
    wire.send_head(
        "channel=sms&name=a.bin",
        &format!("Content-Length: {}\r\n", large.len()),
    )
    .await;
    // The next head's beginning comes along with the end of the file, and the rest of it after a
    // pause.
    wire.send([&large[..], b"POST /v1/assets?channel=sms&na"].concat())
        .await;
    assert_eq!(wire.answer().await.status, 201);
    tokio::time::sleep(Duration::from_millis(1300)).await;
    wire.send("me=b.txt HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.closes()), (201, false));
}
