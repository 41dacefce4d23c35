//! Who has disconnected while nothing was read from it, and who has only said all that it has to
//! say.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};

use crate::downloads::content::stored;
use crate::support::gateway::{TestGateway, eventually, form, noise};
use crate::support::raw_client::{Answer, Wire};

/// Lies in the look-ahead and the socket whole: a FIN that waits behind more than that is not seen
/// before the rest is read.
const LARGE: usize = 100_000;
const MORE_THAN_THE_LOOK_AHEAD: usize = 80_000;

/// A gateway whose calls are used up for a while.
async fn without_calls() -> TestGateway {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.rate", "0.2"),
            ("egain.burst", "1"),
            ("egain.budget_wait", "1m"),
        ])
        .start()
        .await;
    gateway.upload("a.txt", b"text".to_vec()).await;
    gateway
}

/// Uploads of which this much is sent, in the queue for a call.
async fn queued(gateway: &TestGateway, count: usize, sent: usize) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..count {
        let mut wire = Wire::to(gateway.addr).await;
        wire.send_head("channel=sms", &format!("Content-Length: {LARGE}\r\n"))
            .await;
        wire.send(noise(sent, 1)).await;
        wires.push(wire);
    }
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"upload\"}", count as f64)
            .await
    );
    wires
}

/// That so many have left, and cost no call: the next one is the second of all.
async fn have_left(gateway: &TestGateway, count: usize) {
    let outcome = "uploads_total{length_source=\"declared\",outcome=\"caller-left\"}";
    assert!(gateway.counts(outcome, count as f64).await);
    gateway.upload("b.txt", b"text".to_vec()).await;
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        2
    );
}

#[tokio::test]
async fn no_call_is_spent_on_a_reset_connection() {
    let gateway = without_calls().await;
    for wire in queued(&gateway, 8, MORE_THAN_THE_LOOK_AHEAD).await {
        wire.reset();
    }
    have_left(&gateway, 8).await;
}

#[tokio::test]
async fn no_call_is_spent_on_a_closed_connection() {
    let gateway = without_calls().await;
    drop(queued(&gateway, 8, MORE_THAN_THE_LOOK_AHEAD).await);
    have_left(&gateway, 8).await;
}

#[tokio::test]
async fn no_call_is_spent_after_a_late_disconnect() {
    let gateway = without_calls().await;
    drop(queued(&gateway, 4, LARGE).await);
    have_left(&gateway, 4).await;
}

#[tokio::test]
async fn requests_behind_one_that_waits_dont_count_as_gone() {
    let gateway = without_calls().await;
    let mut wire = queued(&gateway, 1, MORE_THAN_THE_LOOK_AHEAD)
        .await
        .remove(0);
    wire.send(noise(LARGE - MORE_THAN_THE_LOOK_AHEAD, 1)).await;
    wire.send("GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 201);
    assert_eq!(wire.answer().await.status, 404);
}

/// The final response: who waits for long is asked with an interim one whether it is there.
async fn final_answer(wire: &mut Wire) -> Answer {
    loop {
        let answer = wire.answer().await;
        if answer.status != 100 {
            return answer;
        }
    }
}

#[tokio::test]
async fn a_client_that_half_closes_gets_its_response() {
    let gateway = TestGateway::start().await;
    let (content_type, form) = form(&[("channel", "sms")], "a.bin", &noise(LARGE, 1), "");
    for delay in [Duration::ZERO, Duration::from_millis(700)] {
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::CreateAsset)
                .delay(delay)
                .times(3),
        );
        gateway
            .sandbox
            .fault(Fault::at(SandboxOperation::Upload).delay(delay).times(3));
        for (kind, body) in [
            ("text/plain", &b"text"[..]),
            ("image/x-any", &noise(LARGE, 1)),
            (&content_type, &form),
        ] {
            let mut wire = Wire::to(gateway.addr).await;
            let lines = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
            wire.send_head("channel=sms&name=a.bin", &lines).await;
            wire.send(body).await;
            wire.close_sending().await;
            let answer = final_answer(&mut wire).await;
            assert_eq!(answer.status, 201, "{kind}, {delay:?}: {}", answer.body);
            assert!(wire.rest().await.is_empty());
        }
    }
}

#[tokio::test]
async fn a_client_that_half_closes_gets_a_slow_download() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.bin", noise(LARGE, 7)).await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Download).delay(Duration::from_millis(700)));
    let mut wire = Wire::to(gateway.addr).await;
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
        .await;
    wire.close_sending().await;
    assert!(wire.head().await.starts_with("http/1.1 100 "));
    assert!(wire.head().await.starts_with("http/1.1 200 "));
    assert!(wire.bytes(LARGE).await == noise(LARGE, 7));
}

#[tokio::test]
async fn an_http_1_0_half_close_gets_no_100() {
    let gateway = TestGateway::start().await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).delay(Duration::from_millis(700)));
    let mut wire = Wire::to(gateway.addr).await;
    wire.send("POST /v1/assets?channel=sms HTTP/1.0\r\nContent-Length: 4\r\n\r\ntext")
        .await;
    assert!(eventually(|| gateway.sandbox.stats().calls(SandboxOperation::Upload) == 1).await);
    wire.close_sending().await;
    assert!(wire.ends().await, "it can't be asked, and counts as gone");
    assert_eq!(gateway.left_upstream(0).await, 0);
}
