//! Requests that two servers might read differently: never as two.

use asset_gateway::sandbox::faults::SandboxOperation;

use crate::support::gateway::{TestGateway, eventually, noise};
use crate::support::raw_client::Wire;

/// A request that must never be answered when it is hidden in a body.
const HIDDEN: &str =
    "POST /v1/assets?channel=hidden HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1\r\n\r\n!";

#[tokio::test]
async fn an_ambiguous_head_is_refused_and_its_connection_closed() {
    let gateway = TestGateway::start().await;
    let head = |lines: &str| format!("POST /v1/assets?channel=sms HTTP/1.1\r\n{lines}\r\n");
    for lines in [
        "Content-Length: 4\r\n",
        "Host: a\r\nHost: b\r\nContent-Length: 4\r\n",
        "Host: a\r\nHost: a\r\nContent-Length: 4\r\n",
        "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Host: a\r\nTransfer-Encoding: gzip\r\n",
        "Host: a\r\nTransfer-Encoding: chunked, chunked\r\n",
        "Host: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Host: a\r\nTransfer-Encoding: xchunked\r\n",
        "Host: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n",
        "Host: a\r\nContent-Length: +4\r\n",
        "Host: a\r\nContent-Length: 4, 4\r\n",
        "Host: a\r\nContent-Length : 4\r\n",
        "Host: a\r\nContent-Length: 4\r\n folded: yes\r\n",
        "Host: a\r\nX: a\0b\r\nContent-Length: 4\r\n",
    ] {
        let mut wire = Wire::to(gateway.addr).await;
        wire.send(format!("{}4\r\ntext\r\n0\r\n\r\n{HIDDEN}", head(lines)))
            .await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.closes()),
            (400, true),
            "{lines}{}",
            answer.body
        );
        assert!(wire.ends().await, "{lines}: nothing else is answered");
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn of_two_framings_chunked_wins_and_the_connection_ends() {
    // RFC 9112 section 6.3: Transfer-Encoding overrides Content-Length, and the connection is
    // closed after it.
    let gateway = TestGateway::start().await;
    for lines in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let mut wire = Wire::to(gateway.addr).await;
        wire.send_head("channel=sms", lines).await;
        wire.send(format!("7\r\nchunked\r\n0\r\n\r\n{HIDDEN}"))
            .await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 201, "{lines}{}", answer.body);
        assert!(answer.body.contains("\"size\":7"), "{}", answer.body);
        assert!(wire.ends().await, "{lines}: nothing else is answered");
    }
    assert!(
        eventually(|| gateway
            .sandbox
            .assets()
            .iter()
            .all(|asset| asset.complete && asset.channel == "sms"))
        .await
    );
    assert_eq!(gateway.left_upstream(2).await, 2);
}

#[tokio::test]
async fn what_stands_behind_the_chunks_changes_nothing() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send_head(
        "channel=sms",
        "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n",
    )
    .await;
    wire.send("4;ext=\"a\"\r\ntext\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nHost: other\r\n\r\n")
        .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.body.contains("\"size\":4")),
        (201, true),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_a_row() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    let request = |size: usize| {
        let head = format!(
            "POST /v1/assets?channel=sms HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
        );
        [head.into_bytes(), noise(size, 1)].concat()
    };
    wire.send([request(10), request(100_000), request(20)].concat())
        .await;
    for size in [10, 100_000, 20] {
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.closes()),
            (201, false),
            "{}",
            answer.body
        );
        assert!(
            answer.body.contains(&format!("\"size\":{size},")),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn an_old_client_is_served_and_its_connection_closed() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send("POST /v1/assets?channel=sms HTTP/1.0\r\nContent-Length: 4\r\n\r\ntext")
        .await;
    assert_eq!(wire.answer().await.status, 201);
    assert!(wire.ends().await);
}

#[tokio::test]
async fn chunks_that_cant_be_read_keep_nothing() {
    let gateway = TestGateway::start().await;
    for body in [
        "zz\r\ntext\r\n0\r\n\r\n",
        "4\r\ntextmore\r\n0\r\n\r\n",
        "fffffffffffffffff\r\ntext\r\n",
        "-4\r\ntext\r\n0\r\n\r\n",
    ] {
        let mut wire = Wire::to(gateway.addr).await;
        wire.send_head("channel=sms", "Transfer-Encoding: chunked\r\n")
            .await;
        wire.send(body).await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.closes()),
            (400, true),
            "{body:?} {}",
            answer.body
        );
        assert!(answer.body.contains("\"bad-request\""), "{}", answer.body);
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn too_many_header_fields_are_told_so() {
    let gateway = TestGateway::start().await;
    for (fields, status) in [(90, 404), (101, 431), (300, 431), (500, 431)] {
        let mut wire = Wire::to(gateway.addr).await;
        let lines: String = (0..fields)
            .map(|number| format!("X-{number}: y\r\n"))
            .collect();
        wire.send(format!(
            "GET /nowhere HTTP/1.1\r\nHost: gateway\r\n{lines}\r\n"
        ))
        .await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, status, "{fields} fields: {}", answer.body);
        assert!(
            status == 404 || answer.body.contains("\"headers-too-large\""),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_head_too_large_is_told_so() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send_head(
        "channel=sms",
        &format!("Content-Length: 4\r\nX-Filler: {}\r\n", "y".repeat(17_000)),
    )
    .await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 431);
    assert!(
        answer.body.contains("\"headers-too-large\""),
        "{}",
        answer.body
    );
}
