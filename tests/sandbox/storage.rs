//! Signed URLs: what goes in and what comes out.

use std::time::Duration;

use asset_gateway::sandbox::config::SandboxConfig;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::customer::Customer;

const SOON: Duration = Duration::from_millis(100);

/// Sends a head and the beginning of a body by hand.
async fn begin_upload(
    customer: &Customer,
    url: &reqwest::Url,
    head: &str,
    content: &str,
) -> TcpStream {
    let mut socket = TcpStream::connect(customer.sandbox.addr()).await.unwrap();
    let target = format!("{}?{}", url.path(), url.query().unwrap());
    let request = format!(
        "POST {target} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n{head}\r\n\r\n{content}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

async fn eventually(condition: impl Fn() -> bool) {
    for _ in 0..50 {
        if condition() {
            return;
        }
        tokio::time::sleep(SOON / 2).await;
    }
    panic!("it never happened");
}

#[tokio::test]
async fn a_signature_is_good_for_one_upload() {
    let customer = Customer::new().await;
    let (_, url) = customer.create("note.txt", 5).await;
    assert_eq!(
        customer
            .upload(&url, "hello")
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    let again = customer.upload(&url, "jello").send().await.unwrap();
    assert_eq!(again.status(), 403);
    assert_eq!(again.text().await.unwrap(), "the signature has been used");
}

#[tokio::test]
async fn a_signature_expires_and_cannot_be_forged() {
    let customer = Customer::of(SandboxConfig {
        upload_life: SOON,
        ..SandboxConfig::default()
    })
    .await;
    let (id, url) = customer.create("note.txt", 5).await;
    let mut forged = url.clone();
    forged.set_query(Some("signature=a.b.c"));
    assert_eq!(
        customer
            .upload(&forged, "hello")
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
    forged.set_query(None);
    assert_eq!(
        customer
            .upload(&forged, "hello")
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let late = customer.upload(&url, "hello").send().await.unwrap();
    assert_eq!(late.text().await.unwrap(), "the signature has expired");
    assert!(customer.sandbox.file(&id).is_none());
}

#[tokio::test]
async fn an_undeclared_upload_is_refused_and_costs_no_signature() {
    let customer = Customer::new().await;
    let (_, url) = customer.create("note.txt", 5).await;
    let upload = || customer.upload(&url, "hello");
    let status =
        async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(customer.upload(&url, "hello!")).await, 400);
    assert_eq!(status(customer.upload(&url, "hell")).await, 400);
    assert_eq!(status(upload().bearer_auth("x")).await, 400);
    let other_type = customer
        .client
        .post(url.clone())
        .header("content-type", "image/png")
        .body("hello");
    assert_eq!(status(other_type).await, 403);
    assert_eq!(
        status(customer.client.post(url.clone()).body("hello")).await,
        403
    );
    assert_eq!(
        status(customer.client.put(url.clone()).body("hello")).await,
        405
    );
    assert_eq!(status(customer.client.get(url.clone())).await, 403);
    assert_eq!(status(upload()).await, 201);
}

#[tokio::test]
async fn a_body_without_a_length_is_refused() {
    let customer = Customer::new().await;
    let (_, url) = customer.create("note.txt", 5).await;
    for (head, content, status) in [
        (
            "transfer-encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
            "501",
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 5",
            "5\r\nhello\r\n0\r\n\r\n",
            "501",
        ),
        ("connection: close", "", "411"),
    ] {
        let mut socket = begin_upload(&customer, &url, head, content).await;
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes(), "{head}");
    }
}

#[tokio::test]
async fn a_truncated_body_is_counted_but_not_stored() {
    let customer = Customer::new().await;
    let (id, url) = customer.create("note.txt", 9).await;
    let socket = begin_upload(&customer, &url, "content-length: 9", "hello").await;
    eventually(|| customer.sandbox.assets()[0].received == 5).await;
    assert!(!customer.sandbox.assets()[0].complete);
    assert!(customer.sandbox.file(&id).is_none());
    drop(socket);
    tokio::time::sleep(SOON).await;
    assert_eq!(
        customer
            .upload(&url, "hello you")
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
    assert_eq!(customer.get(&id).await.status(), 400);
}

#[tokio::test]
async fn an_asset_deleted_during_its_upload_stays_deleted() {
    let customer = Customer::new().await;
    let (id, url) = customer.create("note.txt", 9).await;
    let mut socket = begin_upload(
        &customer,
        &url,
        "connection: close\r\ncontent-length: 9",
        "hello",
    )
    .await;
    eventually(|| customer.sandbox.assets()[0].received == 5).await;
    assert_eq!(customer.delete(&id).await.status(), 204);
    socket.write_all(b" you").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn ranges_are_served_one_at_a_time() {
    let customer = Customer::new().await;
    let (_, url) = customer.store("0123456789").await;
    for (range, status, content, content_range) in [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=7-99", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=-99", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=0-1,4-5", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
    ] {
        let answer = customer
            .client
            .get(url.clone())
            .header("range", range)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{range}");
        let shown = answer
            .headers()
            .get("content-range")
            .map(|value| value.to_str().unwrap());
        assert_eq!(shown, content_range, "{range}");
        assert_eq!(answer.text().await.unwrap(), content, "{range}");
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let customer = Customer::new().await;
    let (_, url) = customer.store("0123456789").await;
    let first = customer.client.get(url.clone()).send().await.unwrap();
    let headers = first.headers().clone();
    let (etag, modified) = (&headers["etag"], &headers["last-modified"]);
    assert!(etag.to_str().unwrap().starts_with('"') && headers["accept-ranges"] == "bytes");
    let ask = async |name: &str, value: &http::HeaderValue| {
        let request = customer
            .client
            .get(url.clone())
            .header("range", "bytes=0-1")
            .header(name, value);
        request.send().await.unwrap().status().as_u16()
    };
    let other = http::HeaderValue::from_static("\"other\"");
    assert_eq!(ask("if-none-match", etag).await, 304);
    assert_eq!(ask("if-none-match", &other).await, 206);
    assert_eq!(ask("if-modified-since", modified).await, 304);
    assert_eq!(ask("if-range", etag).await, 206);
    assert_eq!(ask("if-range", &other).await, 200);
    assert_eq!(ask("if-range", modified).await, 206);
}

#[tokio::test]
async fn a_url_for_get_refuses_head_and_other_credentials() {
    let customer = Customer::new().await;
    let (_, url) = customer.store("hello").await;
    assert_eq!(
        customer
            .client
            .head(url.clone())
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
    assert_eq!(
        customer
            .client
            .get(url.clone())
            .bearer_auth("x")
            .send()
            .await
            .unwrap()
            .status(),
        400
    );
    assert_eq!(customer.client.get(url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_large_file_survives_the_round_trip() {
    let customer = Customer::new().await;
    let content: String = (0..1_000_000)
        .map(|number| char::from(b'a' + (number % 23) as u8))
        .collect();
    let (id, url) = customer.store(&content).await;
    assert!(
        customer
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            == content
    );
    let stats = customer.sandbox.stats();
    assert_eq!(
        (stats.bytes_received, stats.bytes_sent),
        (1_000_000, 1_000_000)
    );
    let path = customer.sandbox.file(&id).unwrap();
    customer.sandbox.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn storage_can_be_set_lenient_or_respond_otherwise() {
    let config = SandboxConfig {
        check_type: false,
        upload_status: StatusCode::NO_CONTENT,
        ..SandboxConfig::default()
    };
    let customer = Customer::of(config).await;
    let (_, url) = customer.create("note.txt", 5).await;
    let request = customer
        .client
        .post(url)
        .header("content-type", "application/octet-stream")
        .body("hello");
    assert_eq!(request.send().await.unwrap().status(), 204);
}
