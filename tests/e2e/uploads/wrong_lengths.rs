//! A body that isn't as long as it was said to be: nothing is kept, and both numbers are told.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use crate::support::gateway::{TestGateway, eventually, form, noise};
use crate::support::raw_client::{Wire, by_hand, in_chunks};
use crate::support::refusal::Refusal;

/// Within the look-ahead, and beyond it.
const DECLARED: [usize; 2] = [1000, 200_000];

/// The two numbers of the detail: what was declared and what arrived.
fn numbers(refusal: &Refusal) -> [usize; 2] {
    let words = refusal
        .detail
        .split(|c: char| !c.is_ascii_digit())
        .filter(|word| !word.is_empty());
    let numbers: Vec<usize> = words.map(|word| word.parse().unwrap()).collect();
    numbers
        .try_into()
        .unwrap_or_else(|_| panic!("not two numbers: {}", refusal.detail))
}

async fn raw(gateway: &TestGateway, declared: usize, actual: usize) -> Response {
    in_chunks(
        gateway.post(&format!("/v1/assets?channel=sms&size={declared}")),
        &noise(actual, 1),
    )
    .await
}

async fn in_form(gateway: &TestGateway, declared: usize, actual: usize) -> Response {
    let fields = [("channel", "sms"), ("size", &*declared.to_string())];
    let (content_type, body) = form(&fields, "a.bin", &noise(actual, 1), "");
    gateway
        .post("/v1/assets")
        .header(CONTENT_TYPE, content_type)
        .body(body)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_short_body_is_refused_with_both_lengths() {
    let gateway = TestGateway::start().await;
    for declared in DECLARED {
        for less in [1, declared / 2] {
            let actual = declared - less;
            for response in [
                raw(&gateway, declared, actual).await,
                in_form(&gateway, declared, actual).await,
            ] {
                let refusal = Refusal::of(response).await;
                assert_eq!(refusal.told(), (400, "length-mismatch", "caller", "read"));
                assert_eq!(numbers(&refusal), [declared, actual]);
                assert!(!refusal.retryable);
            }
        }
    }
    assert_eq!(gateway.left_upstream(0).await, 0);
    assert_eq!(gateway.metric("orphans_total{result=\"lost\"}").await, 0.0);
}

#[tokio::test]
async fn a_long_body_is_refused_with_both_lengths() {
    let gateway = TestGateway::start().await;
    for declared in DECLARED {
        for more in [1, 50_000] {
            for response in [
                raw(&gateway, declared, declared + more).await,
                in_form(&gateway, declared, declared + more).await,
            ] {
                let refusal = Refusal::of(response).await;
                assert_eq!(refusal.told(), (400, "length-mismatch", "caller", "read"));
                let [said, arrived] = numbers(&refusal);
                assert!(
                    said == declared && arrived > declared && arrived <= declared + more,
                    "{}",
                    refusal.detail
                );
            }
        }
    }
    assert_eq!(gateway.left_upstream(0).await, 0);
}

#[tokio::test]
async fn a_wrong_length_within_look_ahead_costs_no_call() {
    let gateway = TestGateway::start().await;
    for (declared, actual) in [(1000, 999), (1000, 1001), (70_000, 50_000)] {
        assert_eq!(
            Refusal::of(raw(&gateway, declared, actual).await)
                .await
                .kind(),
            (400, "length-mismatch")
        );
        assert_eq!(
            Refusal::of(in_form(&gateway, declared, actual).await)
                .await
                .kind(),
            (400, "length-mismatch")
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn two_declarations_that_differ_are_refused_before_the_body() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send_head("channel=sms&size=1000", "Content-Length: 1001\r\n")
        .await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.contains("length-mismatch")
            && answer.body.contains("1000")
            && answer.body.contains("1001")
    );
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn a_short_body_is_detected_before_storage_commits() {
    let gateway = TestGateway::start().await;
    let (mut body_writer, answer) = by_hand(gateway.post("/v1/assets?channel=sms&size=200000"));
    body_writer.write(noise(100_000, 2)).await;
    body_writer.write(noise(99_999, 2)).await;
    let all_there = || {
        gateway
            .sandbox
            .assets()
            .iter()
            .any(|asset| asset.received == 199_999)
    };
    assert!(eventually(all_there).await);
    assert!(gateway.sandbox.assets().iter().all(|asset| !asset.complete));
    body_writer.end();
    assert_eq!(
        Refusal::of(answer.await.unwrap().unwrap()).await.kind(),
        (400, "length-mismatch")
    );
    assert_eq!(gateway.left_upstream(0).await, 0);
}

#[tokio::test]
async fn the_last_bytes_wait_until_the_body_has_ended() {
    let gateway = TestGateway::start().await;
    let (mut body_writer, answer) = by_hand(gateway.post("/v1/assets?channel=sms&size=200000"));
    body_writer.write(noise(100_000, 3)).await;
    body_writer.write(noise(100_000, 3)).await;
    assert!(
        eventually(|| gateway
            .sandbox
            .assets()
            .iter()
            .any(|asset| asset.received >= 100_000))
        .await
    );
    assert!(
        gateway
            .sandbox
            .assets()
            .iter()
            .all(|asset| asset.received < 200_000),
        "the end might still be wrong"
    );
    body_writer.write(*b"!").await;
    body_writer.end();
    assert_eq!(
        Refusal::of(answer.await.unwrap().unwrap()).await.kind(),
        (400, "length-mismatch")
    );
    assert_eq!(gateway.left_upstream(0).await, 0);
}
