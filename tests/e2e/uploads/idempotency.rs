//! `Idempotency-Key`: one file, however often its upload is tried.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use http::StatusCode;
use reqwest::header::CONTENT_TYPE;

use crate::support::client::RequestBuilder;
use crate::support::gateway::{TestGateway, eventually, form, noise, problem, receipt};

fn upload(gateway: &TestGateway, key: &str, name: &str, file: Vec<u8>) -> RequestBuilder {
    gateway
        .post(&format!("/v1/assets?channel=sms&name={name}"))
        .header("idempotency-key", key)
        .body(file)
}

fn form_upload(gateway: &TestGateway, key: &str, file: &[u8]) -> RequestBuilder {
    let (content_type, body) = form(&[("channel", "sms")], "a.bin", file, "");
    gateway
        .post("/v1/assets")
        .header("idempotency-key", key)
        .header(CONTENT_TYPE, content_type)
        .body(body)
}

#[tokio::test]
async fn a_retry_repeats_the_first_response_without_second_asset() {
    let gateway = TestGateway::start().await;
    let file = noise(100_000, 1);
    let first = receipt(
        upload(&gateway, "k1", "a.bin", file.clone())
            .send()
            .await
            .unwrap(),
    )
    .await;
    let second = receipt(upload(&gateway, "k1", "a.bin", file).send().await.unwrap()).await;
    assert_eq!(first, second);
    let first = receipt(
        form_upload(&gateway, "k2", &noise(200_000, 2))
            .send()
            .await
            .unwrap(),
    )
    .await;
    let second = receipt(
        form_upload(&gateway, "k2", &noise(200_000, 2))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(first, second);
    assert_eq!(
        (
            gateway.sandbox.assets().len(),
            gateway.sandbox.stats().calls(SandboxOperation::CreateAsset)
        ),
        (2, 2)
    );
}

#[tokio::test]
async fn the_same_key_for_another_file_is_refused() {
    let gateway = TestGateway::start().await;
    receipt(
        upload(&gateway, "k", "a.bin", noise(1000, 1))
            .send()
            .await
            .unwrap(),
    )
    .await;
    for other in [
        upload(&gateway, "k", "b.bin", noise(1000, 1)),
        upload(&gateway, "k", "a.bin", noise(1001, 1)),
    ] {
        let refused = problem(other.send().await.unwrap()).await;
        assert_eq!(
            refused,
            (
                422,
                "idempotency-mismatch".into(),
                "caller".into(),
                "admit".into(),
                false
            )
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        1
    );
}

#[tokio::test]
async fn of_simultaneous_uploads_one_is_stored_others_get_409() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::CreateAsset)
            .once()
            .delay(Duration::from_millis(300)),
    );
    let all = (0..10).map(|_| upload(&gateway, "k", "a.bin", noise(1000, 1)).send());
    let answers = futures_util::future::join_all(all).await;
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.as_ref().unwrap().status() == status)
            .count()
    };
    assert_eq!(
        (count(StatusCode::CREATED), count(StatusCode::CONFLICT)),
        (1, 9)
    );
    assert_eq!(gateway.sandbox.assets().len(), 1);
}

#[tokio::test]
async fn a_failed_attempt_releases_its_key_at_once() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::CreateAsset)
            .once()
            .status(StatusCode::BAD_REQUEST),
    );
    let failed = upload(&gateway, "k", "a.bin", noise(1000, 1))
        .send()
        .await
        .unwrap();
    assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);
    receipt(
        upload(&gateway, "k", "a.bin", noise(1000, 1))
            .send()
            .await
            .unwrap(),
    )
    .await;
}

#[tokio::test]
async fn a_late_disconnect_keeps_the_file_of_a_key() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .once()
            .delay(Duration::from_millis(500)),
    );
    let left = upload(&gateway, "k", "a.bin", noise(1000, 1))
        .timeout(Duration::from_millis(200))
        .send()
        .await;
    assert!(left.is_err());
    let stored = || gateway.sandbox.assets().iter().any(|asset| asset.complete);
    assert!(eventually(stored).await);
    let mut again = upload(&gateway, "k", "a.bin", noise(1000, 1))
        .send()
        .await
        .unwrap();
    while again.status() == StatusCode::CONFLICT {
        again = upload(&gateway, "k", "a.bin", noise(1000, 1))
            .send()
            .await
            .unwrap();
    }
    receipt(again).await;
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        1
    );
}

#[tokio::test]
async fn another_file_of_unknown_size_is_an_idempotency_mismatch() {
    let gateway = TestGateway::start().await;
    for size in [1000, 100_000] {
        let (key, file) = (format!("k{size}"), noise(size, 3));
        let first = receipt(form_upload(&gateway, &key, &file).send().await.unwrap()).await;
        let mut last_byte = file.clone();
        *last_byte.last_mut().unwrap() ^= 1;
        for other in [
            last_byte,
            noise(size, 4),
            noise(size + 1, 3),
            noise(size - 1, 3),
        ] {
            let refused = problem(form_upload(&gateway, &key, &other).send().await.unwrap()).await;
            assert_eq!(
                refused,
                (
                    422,
                    "idempotency-mismatch".into(),
                    "caller".into(),
                    "admit".into(),
                    false
                )
            );
        }
        assert_eq!(
            receipt(form_upload(&gateway, &key, &file).send().await.unwrap()).await,
            first,
            "the key is still its own"
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        2
    );
}

#[tokio::test]
async fn another_declared_type_is_another_file() {
    let gateway = TestGateway::start().await;
    let send = |kind| {
        upload(&gateway, "k", "a.bin", noise(1000, 5))
            .header(CONTENT_TYPE, kind)
            .send()
    };
    receipt(send("image/jpeg").await.unwrap()).await;
    assert_eq!(problem(send("image/png").await.unwrap()).await.0, 422);
    receipt(send("image/jpeg").await.unwrap()).await;
}

#[tokio::test]
async fn a_retry_after_deletion_stores_the_file_again() {
    let gateway = TestGateway::start().await;
    let send = || upload(&gateway, "k", "a.bin", noise(1000, 6)).send();
    let first = receipt(send().await.unwrap()).await;
    let deleted = gateway
        .client
        .delete(gateway.url(&format!("/v1/assets/{}", first["id"].as_str().unwrap())));
    assert_eq!(
        deleted.send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    let second = receipt(send().await.unwrap()).await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(receipt(send().await.unwrap()).await, second);
}

#[tokio::test]
async fn a_retry_that_wants_a_digest_gets_it() {
    let gateway = TestGateway::start().await;
    let file = noise(1000, 7);
    let first = receipt(
        upload(&gateway, "k", "a.bin", file.clone())
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(first.get("sha256"), None);
    let wanting = upload(&gateway, "k", "a.bin", file.clone())
        .header("want-repr-digest", "sha-256=1")
        .send()
        .await
        .unwrap();
    let sum = receipt(wanting).await["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    let promised = gateway
        .post(&format!("/v1/assets?channel=sms&name=a.bin&sha256={sum}"))
        .header("idempotency-key", "k");
    assert_eq!(
        receipt(promised.body(file).send().await.unwrap()).await["sha256"],
        *sum
    );
}
