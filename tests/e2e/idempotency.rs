//! `Idempotency-Key`: one file, however often its upload is tried.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, Operation};
use http::StatusCode;
use reqwest::header::CONTENT_TYPE;

use crate::client::RequestBuilder;
use crate::house::{House, eventually, form, noise, problem, receipt};

fn upload(house: &House, key: &str, name: &str, file: Vec<u8>) -> RequestBuilder {
    house.post(&format!("/v1/assets?channel=sms&name={name}")).header("idempotency-key", key).body(file)
}

fn form_upload(house: &House, key: &str, file: &[u8]) -> RequestBuilder {
    let (content_type, body) = form(&[("channel", "sms")], "a.bin", file, "");
    house.post("/v1/assets").header("idempotency-key", key).header(CONTENT_TYPE, content_type).body(body)
}

#[tokio::test]
async fn a_retry_is_answered_as_the_first_time_without_a_second_asset() {
    let house = House::open().await;
    let file = noise(100_000, 1);
    let first = receipt(upload(&house, "k1", "a.bin", file.clone()).send().await.unwrap()).await;
    let second = receipt(upload(&house, "k1", "a.bin", file).send().await.unwrap()).await;
    assert_eq!(first, second);
    let first = receipt(form_upload(&house, "k2", &noise(200_000, 2)).send().await.unwrap()).await;
    let second = receipt(form_upload(&house, "k2", &noise(200_000, 2)).send().await.unwrap()).await;
    assert_eq!(first, second);
    assert_eq!((house.sandbox.assets().len(), house.sandbox.stats().calls(Operation::CreateAsset)), (2, 2));
}

#[tokio::test]
async fn the_same_key_for_another_file_is_refused() {
    let house = House::open().await;
    receipt(upload(&house, "k", "a.bin", noise(1000, 1)).send().await.unwrap()).await;
    for other in [upload(&house, "k", "b.bin", noise(1000, 1)), upload(&house, "k", "a.bin", noise(1001, 1))] {
        let refused = problem(other.send().await.unwrap()).await;
        assert_eq!(refused, (422, "idempotency-mismatch".into(), "caller".into(), "admit".into(), false));
    }
    assert_eq!(house.sandbox.stats().calls(Operation::CreateAsset), 1);
}

#[tokio::test]
async fn of_many_at_one_time_one_is_stored_and_the_others_are_told_to_wait() {
    let house = House::open().await;
    house.sandbox.fault(Fault::at(Operation::CreateAsset).once().delay(Duration::from_millis(300)));
    let all = (0..10).map(|_| upload(&house, "k", "a.bin", noise(1000, 1)).send());
    let answers = futures_util::future::join_all(all).await;
    let count = |status| answers.iter().filter(|answer| answer.as_ref().unwrap().status() == status).count();
    assert_eq!((count(StatusCode::CREATED), count(StatusCode::CONFLICT)), (1, 9));
    assert_eq!(house.sandbox.assets().len(), 1);
}

#[tokio::test]
async fn a_failed_attempt_releases_its_key_at_once() {
    let house = House::open().await;
    house.sandbox.fault(Fault::at(Operation::CreateAsset).once().status(StatusCode::BAD_REQUEST));
    let failed = upload(&house, "k", "a.bin", noise(1000, 1)).send().await.unwrap();
    assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);
    receipt(upload(&house, "k", "a.bin", noise(1000, 1)).send().await.unwrap()).await;
}

#[tokio::test]
async fn a_file_with_a_key_is_kept_when_its_caller_leaves_after_the_last_byte() {
    let house = House::open().await;
    house.sandbox.fault(Fault::at(Operation::Upload).once().delay(Duration::from_millis(500)));
    let left = upload(&house, "k", "a.bin", noise(1000, 1)).timeout(Duration::from_millis(200)).send().await;
    assert!(left.is_err());
    let stored = || house.sandbox.assets().iter().any(|asset| asset.complete);
    assert!(eventually(stored).await);
    let mut again = upload(&house, "k", "a.bin", noise(1000, 1)).send().await.unwrap();
    while again.status() == StatusCode::CONFLICT {
        again = upload(&house, "k", "a.bin", noise(1000, 1)).send().await.unwrap();
    }
    receipt(again).await;
    assert_eq!(house.sandbox.stats().calls(Operation::CreateAsset), 1);
}
