//! From "told to stop" to stopped: first unready but serving, then no new uploads, then the end.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::header::{CONNECTION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::content::stored;
use crate::fake_storage::Storage;
use crate::house::{House, eventually, noise, problem};
use crate::leaving::SlowUpload;
use crate::wire::Wire;

const SIZE: usize = 400_000;

async fn readiness(house: &House) -> (StatusCode, String) {
    let answer = house
        .client
        .get(format!("http://{}/readyz", house.admin))
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    (status, body["status"].as_str().unwrap().to_owned())
}

/// Uploads, which tells one phase from the next.
async fn upload(house: &House) -> Response {
    house
        .post("/v1/assets?channel=sms&name=a.bin")
        .body(noise(10, 1))
        .send()
        .await
        .unwrap()
}

async fn until_unready(house: &House) {
    let began = Instant::now();
    while readiness(house).await.0 == StatusCode::OK {
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "it is unready at once"
        );
    }
}

#[tokio::test]
async fn a_gateway_that_leaves_serves_everything_and_closes_behind_each_answer() {
    let house = House::set(&[("server.drain_delay", "1s")]).await;
    let path = stored(&house, "a.bin", noise(10, 5)).await;
    assert!(!upload(&house).await.headers().contains_key(CONNECTION));
    house.stop();
    until_unready(&house).await;
    assert_eq!(
        readiness(&house).await,
        (StatusCode::SERVICE_UNAVAILABLE, "draining".to_owned())
    );
    assert_eq!(house.metric("draining").await, 1.0);
    let answers = [
        house.get(&path).send().await.unwrap(),
        house.get("/nowhere").send().await.unwrap(),
        upload(&house).await,
    ];
    for (answer, status) in answers.into_iter().zip([200, 404, 201]) {
        assert_eq!(
            (
                answer.status().as_u16(),
                answer.headers()[CONNECTION].to_str().unwrap()
            ),
            (status, "close")
        );
    }
    assert_eq!(house.ending().await.cut, 0);
}

#[tokio::test]
async fn a_gateway_that_drains_takes_no_new_uploads_and_finishes_the_running_ones() {
    let house = House::set(&[("server.drain_delay", "300ms")]).await;
    let path = stored(&house, "a.bin", noise(10, 5)).await;
    let running = SlowUpload::begin(&house, SIZE).await;
    house.stop();
    let began = Instant::now();
    let mut refused = upload(&house).await;
    while refused.status() == StatusCode::CREATED {
        refused = upload(&house).await;
    }
    assert!(
        began.elapsed() > Duration::from_millis(250),
        "uploads were taken for the whole delay"
    );
    assert!(refused.headers().contains_key(RETRY_AFTER));
    assert_eq!(
        problem(refused).await,
        (
            503,
            "draining".into(),
            "gateway".into(),
            "admit".into(),
            true
        )
    );
    assert_eq!(
        house.get(&path).send().await.unwrap().status(),
        StatusCode::OK,
        "what is cheap is still served"
    );
    assert_eq!(
        running.finish(SIZE).await.unwrap().status(),
        StatusCode::CREATED
    );
    let addr = house.addr;
    let ended = timeout(Duration::from_secs(2), house.ending())
        .await
        .expect("nothing is left to wait for");
    assert_eq!(ended.cut, 0);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_stuck_is_cut_after_the_grace_time_and_its_asset_deleted() {
    let house = House::set(&[("server.shutdown_grace", "500ms")]).await;
    let running = SlowUpload::begin(&house, SIZE).await;
    assert_eq!(house.sandbox.assets().len(), 1);
    house.stop();
    let began = Instant::now();
    let (sandbox, ended) = house.ending_and_sandbox().await;
    assert!(
        (0.5..2.5).contains(&began.elapsed().as_secs_f64()),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(ended.cut, 1);
    assert!(sandbox.assets().is_empty(), "{:?}", sandbox.assets());
    assert!(running.answer.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_word_stops_at_once_and_still_deletes_what_was_cut() {
    let house = House::set(&[
        ("server.drain_delay", "1m"),
        ("server.shutdown_grace", "1m"),
    ])
    .await;
    let _running = SlowUpload::begin(&house, SIZE).await;
    house.stop();
    until_unready(&house).await;
    let began = Instant::now();
    house.abort();
    let (sandbox, ended) = house.ending_and_sandbox().await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(ended.cut, 1);
    assert!(sandbox.assets().is_empty(), "{:?}", sandbox.assets());
}

#[tokio::test]
async fn orphans_that_wait_for_their_deletion_at_the_end_are_deleted() {
    let house = House::open().await;
    house
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).status(StatusCode::FORBIDDEN));
    house.sandbox.fault(
        Fault::at(SandboxOperation::DeleteAsset)
            .status(StatusCode::INTERNAL_SERVER_ERROR)
            .times(4),
    );
    assert_eq!(upload(&house).await.status(), StatusCode::BAD_GATEWAY);
    assert!(
        eventually(|| house.sandbox.stats().calls(SandboxOperation::DeleteAsset) == 4).await,
        "each one was tried twice"
    );
    assert!(!house.sandbox.assets().is_empty());
    house.stop();
    let (sandbox, ended) = house.ending_and_sandbox().await;
    assert_eq!((ended.cut, sandbox.assets()), (0, Vec::new()));
}

#[tokio::test]
async fn a_running_download_is_finished() {
    let (first, second) = (noise(1000, 1), noise(1000, 2));
    let (storage, release) = Storage::in_two_parts(first.clone(), second.clone()).await;
    let house = storage.house(&[]).await;
    let path = stored(&house, "a.bin", noise(10, 5)).await;
    let mut caller = Wire::to(house.addr).await;
    caller
        .send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
        .await;
    assert!(caller.head().await.contains("content-length: 2000"));
    assert!(caller.bytes(1000).await == first);
    house.stop();
    until_unready(&house).await;
    release.send(()).unwrap();
    assert!(caller.bytes(1000).await == second);
    assert!(
        caller.rest().await.is_empty(),
        "and then the connection closes"
    );
    assert_eq!(house.ending().await.cut, 0);
}

#[tokio::test]
async fn idle_connections_dont_hold_the_end_up() {
    let house = House::set(&[("server.shutdown_grace", "1m")]).await;
    let mut idle = Wire::to(house.addr).await;
    idle.send("GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.head().await;
    let silent = Wire::to(house.addr).await;
    house.stop();
    let ended = timeout(Duration::from_secs(2), house.ending())
        .await
        .expect("nobody waits for them");
    assert_eq!(ended.cut, 0);
    drop((idle, silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_keep_coming_dont_keep_it_from_stopping() {
    let house = House::set(&[("server.shutdown_grace", "1m")]).await;
    let path = stored(&house, "a.bin", noise(10, 5)).await;
    house
        .sandbox
        .fault(Fault::at(SandboxOperation::Download).delay(Duration::from_millis(400)));
    let (client, url) = (house.client.clone(), house.url(&path));
    let callers = tokio::spawn(async move {
        loop {
            tokio::spawn(client.get(&url).send());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(eventually(|| house.sandbox.stats().calls(SandboxOperation::Download) > 5).await);
    house.stop();
    let ended = timeout(Duration::from_secs(5), house.ending())
        .await
        .expect("late ones aren't waited for");
    assert_eq!(ended.cut, 0);
    callers.abort();
}
