//! Storage breaks in the middle: what can be taken up again is, and nothing else ever looks whole.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderValue, RANGE};

use crate::downloads::content::stored;
use crate::support::fake_storage::Storage;
use crate::support::gateway::{TestGateway, noise, problem};

const SIZE: usize = 300_000;

fn cut(after: u64) -> Fault {
    Fault::at(SandboxOperation::Download)
        .cut_after(after)
        .once()
}

async fn shelf() -> (TestGateway, String) {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.bin", noise(SIZE, 5)).await;
    (gateway, path)
}

#[tokio::test]
async fn a_broken_stream_resumes_where_it_stopped() {
    let (gateway, path) = shelf().await;
    for after in [1, 65_536, 200_000, SIZE as u64 - 1] {
        gateway.sandbox.fault(cut(after));
        let answer = gateway.get(&path).send().await.unwrap();
        assert_eq!(answer.content_length(), Some(SIZE as u64));
        assert!(
            answer.bytes().await.unwrap() == noise(SIZE, 5),
            "cut after {after}"
        );
    }
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::Download), 8);
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::GetAsset), 1);
    let failures =
        "transfer_failures_total{blame=\"storage\",direction=\"download\",stage=\"fetch\"}";
    assert_eq!(gateway.metric(failures).await, 0.0);
}

#[tokio::test]
async fn a_stream_that_breaks_repeatedly_still_completes() {
    let (gateway, path) = shelf().await;
    (0..10).for_each(|_| gateway.sandbox.fault(cut(20_000)));
    assert!(
        gateway
            .get(&path)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            == noise(SIZE, 5)
    );
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::Download),
        11
    );
}

#[tokio::test]
async fn a_range_that_breaks_is_taken_up_within_itself() {
    let (gateway, path) = shelf().await;
    gateway.sandbox.fault(cut(50_000));
    gateway.sandbox.fault(cut(10_000));
    let answer = gateway
        .get(&path)
        .header(RANGE, "bytes=100000-199999")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        answer.headers()[CONTENT_RANGE],
        "bytes 100000-199999/300000"
    );
    assert!(answer.bytes().await.unwrap() == noise(SIZE, 5)[100_000..200_000]);
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::Download), 3);
}

#[tokio::test]
async fn a_broken_stream_with_expired_url_resumes_with_another() {
    let config = SandboxConfig {
        download_life: Duration::from_secs(2),
        ..SandboxConfig::default()
    };
    let gateway = TestGateway::builder().sandbox(config).start().await;
    let path = stored(&gateway, "a.bin", noise(SIZE, 5)).await;
    gateway.sandbox.fault(cut(1000));
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Download)
            .status(StatusCode::FORBIDDEN)
            .once(),
    );
    assert!(
        gateway
            .get(&path)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            == noise(SIZE, 5)
    );
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::GetAsset), 2);
}

#[tokio::test]
async fn a_break_without_strong_validator_reaches_the_caller() {
    let (gateway, path) = shelf().await;
    for fault in [
        cut(100_000).no_etag(),
        cut(100_000).header(ETAG, HeaderValue::from_static("W/\"weak\"")),
    ] {
        gateway.sandbox.fault(fault);
        let answer = gateway.get(&path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(
            answer.bytes().await.is_err(),
            "a short body never ends as if it were whole"
        );
    }
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::Download), 2);
    let failures =
        "transfer_failures_total{blame=\"storage\",direction=\"download\",stage=\"fetch\"}";
    assert_eq!(gateway.metric(failures).await, 2.0);
}

#[tokio::test]
async fn a_break_without_length_reaches_the_caller() {
    let chunked = b"HTTP/1.1 200 OK\r\netag: \"e\"\r\ntransfer-encoding: chunked\r\n\r\n5\r\n\
                    hello\r\nnonsense\r\n"
        .to_vec();
    let gateway = Storage::that_says(vec![chunked]).await.gateway(&[]).await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    assert!(
        gateway
            .get(&path)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_stream_never_resumes_with_another_files_bytes() {
    let first =
        b"HTTP/1.1 200 OK\r\netag: \"one\"\r\ncontent-length: 10\r\nconnection: close\r\n\r\n01234"
            .to_vec();
    let other =
        b"HTTP/1.1 200 OK\r\netag: \"two\"\r\ncontent-length: 10\r\n\r\nabcdefghij".to_vec();
    let part = b"HTTP/1.1 206 Part\r\netag: \"two\"\r\ncontent-range: bytes 5-9/10\r\n\
                 content-length: 5\r\n\r\nfghij"
        .to_vec();
    for second in [other, part] {
        let storage = Storage::that_says(vec![first.clone(), second]).await;
        let gateway = storage
            .gateway(&[("egain.transfer_idle_timeout", "300ms")])
            .await;
        let path = stored(&gateway, "a.bin", noise(10, 5)).await;
        assert!(
            gateway
                .get(&path)
                .send()
                .await
                .unwrap()
                .bytes()
                .await
                .is_err()
        );
        let again = &storage.heads()[1];
        assert!(
            again.contains("\r\nrange: bytes=5-9\r\n")
                && again.contains("\r\nif-range: \"one\"\r\n"),
            "{again}"
        );
    }
}

#[tokio::test]
async fn a_storage_that_stalls_midway_cuts_the_download() {
    let silent = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234".to_vec();
    let gateway = Storage::that_says(vec![silent])
        .await
        .gateway(&[("egain.transfer_idle_timeout", "400ms")])
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    let began = Instant::now();
    let answer = gateway.get(&path).send().await.unwrap();
    assert!(answer.bytes().await.is_err());
    assert!(
        (0.4..3.0).contains(&began.elapsed().as_secs_f64()),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_storage_that_never_answers_is_a_timeout() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.transfer_idle_timeout", "500ms")])
        .start()
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Download).stall());
    let answer = gateway.get(&path).send().await.unwrap();
    assert_eq!(
        problem(answer).await,
        (
            504,
            "upstream-timeout".into(),
            "storage".into(),
            "fetch".into(),
            true
        )
    );
}

#[tokio::test]
async fn a_storage_that_is_down_is_storages_fault() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.content_hosts", "127.0.0.1")])
        .start()
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Download).close().once());
    let closed = gateway.get(&path).send().await.unwrap();
    assert_eq!(
        problem(closed).await,
        (
            502,
            "upstream-error".into(),
            "storage".into(),
            "fetch".into(),
            true
        )
    );
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::GetAsset).field("contentUrl", "http://127.0.0.1:1/file"),
    );
    let fresh = gateway
        .get(path.trim_end_matches("/content"))
        .header("cache-control", "no-cache")
        .send()
        .await
        .unwrap();
    assert_eq!(fresh.status(), StatusCode::OK);
    let nobody = gateway.get(&path).send().await.unwrap();
    assert_eq!(
        problem(nobody).await,
        (
            502,
            "upstream-error".into(),
            "storage".into(),
            "fetch".into(),
            true
        )
    );
}
