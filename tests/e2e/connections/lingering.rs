//! Refusals of bodies that are still coming: each must be seen by who sends, also through a proxy
//! that passes it on at once and then closes on its own client.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::support::gateway::{TestGateway, noise};
use crate::support::raw_client::Wire;

const SIZE: usize = 9 * 1024 * 1024;

/// A request without a channel, which is refused, with this much of its body.
async fn refused(gateway: &TestGateway, headers: &str, sent: usize) -> Wire {
    let mut wire = Wire::to(gateway.addr).await;
    wire.send_head("", &format!("Content-Length: {SIZE}\r\n{headers}"))
        .await;
    wire.send(noise(sent, 1)).await;
    wire
}

#[tokio::test]
async fn through_a_proxy_a_refusal_follows_the_body() {
    let gateway = TestGateway::start().await;
    for mark in [
        "X-Forwarded-For: 192.0.2.1\r\n",
        "Via: 1.1 proxy\r\n",
        "Forwarded: for=192.0.2.1\r\n",
    ] {
        let mut wire = refused(&gateway, mark, SIZE / 2).await;
        assert!(
            timeout(Duration::from_millis(200), wire.head())
                .await
                .is_err(),
            "{mark} is not answered yet"
        );
        wire.send(noise(SIZE / 2, 1)).await;
        let answer = wire.answer().await;
        assert!(answer.status == 400 && !answer.closes(), "{}", answer.head);
        wire.send("GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(wire.answer().await.status, 404);
    }
}

#[tokio::test]
async fn a_direct_refusal_precedes_the_rest_of_the_body() {
    let gateway = TestGateway::start().await;
    let mut wire = refused(&gateway, "", SIZE / 2).await;
    let answer = wire.answer().await;
    assert!(answer.status == 400 && answer.closes(), "{}", answer.head);
    sleep(Duration::from_millis(100)).await;
    wire.send(noise(SIZE / 2, 1)).await;
    assert!(wire.ends().await, "it ends in order, not with a reset");
}

#[tokio::test]
async fn a_proxy_awaiting_100_continue_is_refused_at_once() {
    let gateway = TestGateway::start().await;
    let mut wire = refused(&gateway, "Via: 1.1 proxy\r\nExpect: 100-continue\r\n", 0).await;
    assert_eq!(wire.answer().await.status, 400);
}

#[tokio::test]
async fn a_body_beyond_the_drain_limit_is_refused_immediately() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send_head("", "Content-Length: 1000000000\r\nVia: 1.1 proxy\r\n")
        .await;
    assert_eq!(wire.answer().await.status, 400);
}
