//! `Expect: 100-continue`, answers before the end of a body, and connections that live on.

use asset_gateway::sandbox::faults::SandboxOperation;

use crate::support::gateway::{TestGateway, noise};
use crate::support::raw_client::Wire;

#[tokio::test]
async fn a_refused_head_gets_no_100_continue() {
    let gateway = TestGateway::start().await;
    for (query, lines, status) in [
        ("", "Content-Length: 10\r\n", 400),
        ("channel=sms&sender=me", "Content-Length: 10\r\n", 400),
        ("channel=sms", "Content-Length: 10485761\r\n", 413),
        (
            "channel=sms&size=10485761",
            "Transfer-Encoding: chunked\r\n",
            413,
        ),
        (
            "channel=sms",
            "Content-Length: 10\r\nContent-Encoding: gzip\r\n",
            415,
        ),
        (
            "channel=sms",
            "Content-Length: 10\r\nContent-Type: multipart/form-data\r\n",
            400,
        ),
    ] {
        let mut wire = Wire::to(gateway.addr).await;
        wire.send_head(query, &format!("Expect: 100-continue\r\n{lines}"))
            .await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, status, "{query} {lines}");
        assert!(
            answer.closes(),
            "nobody knows whether the body will come: {}",
            answer.head
        );
        assert!(wire.ends().await, "no 100 Continue behind it either");
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn what_the_head_doesnt_refuse_is_asked_for() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    for _ in 0..2 {
        wire.send_head(
            "channel=sms",
            "Expect: 100-continue\r\nContent-Length: 4\r\n",
        )
        .await;
        assert_eq!(wire.answer().await.status, 100);
        wire.send(b"text").await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.closes()),
            (201, false),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_caller_still_writing_can_read_an_early_refusal() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    let length = 10 * 1024 * 1024 + 1;
    wire.send_head("channel=sms", &format!("Content-Length: {length}\r\n"))
        .await;
    // More than any buffer between us holds: this blocks unless the gateway reads on.
    wire.send(noise(length, 1)).await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.closes()),
        (413, true),
        "{}",
        answer.body
    );
    assert!(wire.ends().await);
}

#[tokio::test]
async fn a_whole_request_leaves_its_connection_open() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    for (query, status) in [
        ("channel=sms", 201),
        ("channel=sms&sha256=".to_owned().as_str(), 201),
        ("channel=sms", 201),
    ] {
        wire.send_head(query, "Content-Length: 4\r\n").await;
        wire.send(b"text").await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.closes()),
            (status, false),
            "{}",
            answer.body
        );
    }
    // Read to its end before it could be refused.
    wire.send_head("channel=sms&sha256=00", "Content-Length: 0\r\n")
        .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.closes()),
        (400, false),
        "{}",
        answer.body
    );
    wire.send_head(
        &format!("channel=sms&sha256={}", "0".repeat(64)),
        "Content-Length: 4\r\n",
    )
    .await;
    wire.send(b"text").await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.closes()),
        (400, false),
        "{}",
        answer.body
    );
    wire.send_head("channel=sms", "Content-Length: 4\r\n").await;
    wire.send(b"text").await;
    assert_eq!(wire.answer().await.status, 201);
}
