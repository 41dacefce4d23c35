//! Callers that stop sending are told so, wherever they are, and leave nothing behind.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};

use crate::support::gateway::{TestGateway, eventually, form, noise, receipt};
use crate::support::raw_client::{Wire, by_hand};

const LARGE: usize = 300_000;

async fn impatient() -> TestGateway {
    TestGateway::builder()
        .settings(&[("server.body_idle_timeout", "500ms")])
        .start()
        .await
}

#[tokio::test]
async fn a_stalled_caller_gets_408_wherever_it_stops() {
    let gateway = impatient().await;
    let (content_type, body) = form(
        &[("channel", "sms"), ("size", &LARGE.to_string())],
        "a.bin",
        &noise(LARGE, 1),
        "",
    );
    let file_start = body.len() - LARGE - 52;
    for sent in [
        0,
        file_start - 10,
        file_start + 10_000,
        file_start + 200_000,
        body.len() - 1,
    ] {
        let mut wire = Wire::to(gateway.addr).await;
        wire.send_head(
            "",
            &format!(
                "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
                body.len()
            ),
        )
        .await;
        wire.send(&body[..sent]).await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.closes()),
            (408, true),
            "{sent} {}",
            answer.body
        );
        assert!(
            answer.body.contains("\"client-too-slow\"")
                && answer.body.contains("\"blame\":\"caller\""),
            "{}",
            answer.body
        );
    }
    assert_eq!(gateway.left_upstream(0).await, 0);
    assert!(
        gateway
            .counts(
                "uploads_total{length_source=\"declared\",outcome=\"client-too-slow\"}",
                2.0
            )
            .await
    );
}

#[tokio::test]
async fn a_spooled_caller_that_stops_gives_the_spool_back() {
    let gateway = impatient().await;
    let (mut body_writer, answer) = by_hand(gateway.post("/v1/assets?channel=sms"));
    body_writer.write(noise(LARGE, 2)).await;
    assert_eq!(answer.await.unwrap().unwrap().status(), 408);
    assert!(gateway.counts("spool_bytes", 0.0).await);
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn a_slow_storage_isnt_held_against_the_caller() {
    let gateway = impatient().await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .delay(Duration::from_millis(1200))
            .once(),
    );
    let file = noise(4_000_000, 3);
    let stored = receipt(
        gateway
            .post("/v1/assets?channel=sms")
            .body(file.clone())
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert!(gateway.stored(stored["id"].as_str().unwrap()) == file);
}

#[tokio::test]
async fn a_caller_that_is_slow_but_steady_is_served() {
    let gateway = impatient().await;
    let file = noise(100_000, 4);
    let (mut body_writer, answer) = by_hand(gateway.post("/v1/assets?channel=sms&size=100000"));
    for piece in file.chunks(10_000) {
        body_writer.write(piece).await;
        // The pace is what is tested.
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    body_writer.end();
    let stored = receipt(answer.await.unwrap().unwrap()).await;
    assert!(
        eventually(|| gateway
            .sandbox
            .file(stored["id"].as_str().unwrap())
            .is_some())
        .await
    );
}

#[tokio::test]
async fn only_a_caller_that_stops_reading_is_cut() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("server.body_idle_timeout", "1s"),
            ("server.max_downloads", "1"),
        ])
        .start()
        .await;
    let file = noise(10 * 1024 * 1024, 4);
    let id = gateway.upload("a.bin", file.clone()).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ask = format!("GET /v1/assets/{id}/content HTTP/1.1\r\nHost: gateway\r\n\r\n");
    let mut stopped = Wire::to(gateway.addr).await;
    stopped.send(&ask).await;
    stopped.head().await;
    assert!(
        gateway
            .counts(
                "transfer_failures_total{blame=\"caller\",direction=\"download\",stage=\"fetch\"}",
                1.0
            )
            .await
    );
    let mut slow = Wire::to(gateway.addr).await;
    slow.send(&ask).await;
    slow.head().await;
    for piece in file.chunks(2 * 1024 * 1024) {
        assert!(slow.bytes(piece.len()).await == piece);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
