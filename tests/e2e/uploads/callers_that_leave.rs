//! Callers that hang up, wherever they are: nothing is left upstream, and it is counted as theirs.

use std::sync::Arc;
use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::support::client::Client;
use crate::support::gateway::{TestGateway, eventually, form, noise};
use crate::support::raw_client::{Wire, by_hand};

const LARGE: usize = 300_000;

/// What is counted of a caller that left, and what isn't there any more.
async fn is_forgotten(gateway: &TestGateway, length_source: &str) {
    let outcome =
        format!("uploads_total{{length_source=\"{length_source}\",outcome=\"caller-left\"}}");
    assert!(gateway.counts(&outcome, 1.0).await, "{outcome}");
    let logged = "http_requests_total{method=\"POST\",route=\"/v1/assets\",status=\"499\"}";
    assert!(gateway.counts(logged, 1.0).await);
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"upload\"}", 0.0)
            .await
    );
    let failure = "transfer_failures_total{blame=\"caller\",direction=\"upload\",stage=\"read\"}";
    assert!(gateway.counts(failure, 1.0).await);
    assert_eq!(gateway.left_upstream(0).await, 0);
    let created = gateway.sandbox.stats().calls(SandboxOperation::CreateAsset);
    assert!(
        gateway
            .counts("orphans_total{result=\"deleted\"}", created as f64)
            .await
    );
}

/// A form whose length is known, as far as its file's `sent`-th byte.
async fn begin_form(gateway: &TestGateway, sent: impl Fn(usize) -> usize) -> Wire {
    let (content_type, body) = form(
        &[("channel", "sms"), ("size", &LARGE.to_string())],
        "a.bin",
        &noise(LARGE, 1),
        "",
    );
    let file_start = body.len() - LARGE - 52;
    let mut wire = Wire::to(gateway.addr).await;
    let lines = format!(
        "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
        body.len()
    );
    wire.send_head("", &lines).await;
    wire.send(&body[..sent(file_start)]).await;
    wire
}

#[tokio::test]
async fn within_the_fields() {
    let gateway = TestGateway::start().await;
    let wire = begin_form(&gateway, |file_start| file_start - 10).await;
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"upload\"}", 1.0)
            .await
    );
    drop(wire);
    is_forgotten(&gateway, "unknown").await;
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn within_the_look_ahead() {
    let gateway = TestGateway::start().await;
    let wire = begin_form(&gateway, |file_start| file_start + 10_000).await;
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"upload\"}", 1.0)
            .await
    );
    drop(wire);
    is_forgotten(&gateway, "unknown").await;
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn after_the_file_has_begun_to_stream() {
    let gateway = TestGateway::start().await;
    let wire = begin_form(&gateway, |file_start| file_start + 200_000).await;
    assert!(
        eventually(|| gateway
            .sandbox
            .assets()
            .iter()
            .any(|asset| asset.received > 0))
        .await
    );
    drop(wire);
    is_forgotten(&gateway, "declared").await;
}

#[tokio::test]
async fn behind_the_file_but_before_the_forms_end() {
    let gateway = TestGateway::start().await;
    let wire = begin_form(&gateway, |file_start| file_start + LARGE + 50).await;
    assert!(
        eventually(|| gateway
            .sandbox
            .assets()
            .iter()
            .any(|asset| asset.received > 0))
        .await
    );
    assert!(gateway.sandbox.assets().iter().all(|asset| !asset.complete));
    drop(wire);
    is_forgotten(&gateway, "declared").await;
}

#[tokio::test]
async fn while_storage_makes_up_its_mind() {
    let gateway = TestGateway::start().await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).delay(Duration::from_secs(30)));
    let mut wire = Wire::to(gateway.addr).await;
    wire.send_head("channel=sms", "Content-Length: 1000\r\n")
        .await;
    wire.send(noise(1000, 2)).await;
    assert!(eventually(|| gateway.sandbox.stats().calls(SandboxOperation::Upload) == 1).await);
    drop(wire);
    let outcome = "uploads_total{length_source=\"declared\",outcome=\"caller-left\"}";
    assert!(gateway.counts(outcome, 1.0).await);
    assert!(
        gateway
            .counts(
                "http_requests_total{method=\"POST\",route=\"/v1/assets\",status=\"499\"}",
                1.0
            )
            .await
    );
    assert_eq!(gateway.left_upstream(0).await, 0);
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::DeleteAsset),
        1
    );
}

/// An eGain that creates an asset and takes its time to say so. Tells what it is asked, and answers
/// when told to.
async fn slow_egain(listener: TcpListener, asked: mpsc::Sender<String>, answer: Arc<Notify>) {
    let asset = "{\"id\":\"late\",\"contentUrl\":\"http://127.0.0.1:1/late\"}";
    while let Ok((mut stream, _)) = listener.accept().await {
        let (asked, answer) = (asked.clone(), answer.clone());
        tokio::spawn(async move {
            let mut request = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut request).await {
                let line = String::from_utf8_lossy(&request[..read])
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let is_create = line.starts_with("POST");
                asked.send(line).await.unwrap();
                if is_create {
                    answer.notified().await;
                }
                let body = if is_create { asset } else { "" };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n",
                    body.len()
                );
                stream
                    .write_all(format!("{head}{body}").as_bytes())
                    .await
                    .unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_disconnect_before_the_assets_id_leaves_no_asset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let (asks, mut asked) = mpsc::channel(8);
    let answer = Arc::new(Notify::new());
    let egain = tokio::spawn(slow_egain(listener, asks, answer.clone()));
    let gateway = TestGateway::builder()
        .settings(&[("egain.base_url", &base_url)])
        .start()
        .await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send_head("channel=sms", "Content-Length: 4\r\n").await;
    wire.send(b"text").await;
    assert_eq!(asked.recv().await.unwrap(), "POST /assets HTTP/1.1");
    drop(wire);
    assert!(
        gateway
            .counts(
                "uploads_total{length_source=\"declared\",outcome=\"caller-left\"}",
                1.0
            )
            .await
    );
    answer.notify_one();
    let next = timeout(Duration::from_secs(5), asked.recv()).await;
    assert_eq!(
        next.expect("it is deleted").unwrap(),
        "DELETE /assets/late HTTP/1.1"
    );
    assert!(
        gateway
            .counts("orphans_total{result=\"deleted\"}", 1.0)
            .await
    );
    egain.abort();
}

#[tokio::test]
async fn while_it_waits_for_the_allowance_of_calls() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.rate", "1"), ("egain.burst", "1")])
        .start()
        .await;
    gateway.upload("a.txt", b"text".to_vec()).await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send_head("channel=sms", "Content-Length: 4\r\n").await;
    wire.send(b"text").await;
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"upload\"}", 1.0)
            .await
    );
    drop(wire);
    assert!(
        gateway
            .counts(
                "uploads_total{length_source=\"declared\",outcome=\"caller-left\"}",
                1.0
            )
            .await
    );
    gateway.upload("b.txt", b"text".to_vec()).await;
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        2,
        "it took no call with it"
    );
}

#[tokio::test]
async fn by_resetting_a_stream_of_http_2() {
    let gateway = TestGateway::start().await;
    let client = Client::with(|builder| builder.http2_prior_knowledge());
    let (mut body_writer, answer) =
        by_hand(client.post(gateway.url(&format!("/v1/assets?channel=sms&size={LARGE}"))));
    body_writer.write(noise(150_000, 3)).await;
    assert!(
        eventually(|| gateway
            .sandbox
            .assets()
            .iter()
            .any(|asset| asset.received > 0))
        .await
    );
    answer.abort();
    drop(body_writer);
    is_forgotten(&gateway, "declared").await;
}
