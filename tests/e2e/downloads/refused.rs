//! Signed URLs that die before their time.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use futures_util::future::join_all;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

use crate::downloads::content::stored;
use crate::support::gateway::{TestGateway, noise, problem};

async fn asked(gateway: &TestGateway) -> (u64, u64, f64) {
    let (stats, early) = (
        gateway.sandbox.stats(),
        gateway.metric("url_early_death_total").await,
    );
    (
        stats.calls(SandboxOperation::GetAsset),
        stats.calls(SandboxOperation::Download),
        early,
    )
}

#[tokio::test]
async fn a_refused_url_is_replaced_once_unseen_by_callers() {
    for (count, status) in [401, 403, 404, 410].into_iter().enumerate() {
        let gateway = TestGateway::start().await;
        let path = stored(&gateway, "a.bin", noise(100, 1)).await;
        gateway.download(path.split('/').nth(3).unwrap()).await;
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::Download)
                .status(StatusCode::from_u16(status).unwrap())
                .once(),
        );
        let answer = gateway.get(&path).send().await.unwrap();
        assert!(
            answer.bytes().await.unwrap() == noise(100, 1),
            "round {count}"
        );
        assert_eq!(asked(&gateway).await, (2, 3, 1.0), "{status}");
        gateway.get(&path).send().await.unwrap();
        assert_eq!(asked(&gateway).await, (2, 4, 1.0), "the fresh URL is kept");
    }
}

#[tokio::test]
async fn one_call_replaces_a_dead_url_for_many_callers() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.bin", noise(100, 1)).await;
    gateway.download(path.split('/').nth(3).unwrap()).await;
    let slow = Fault::at(SandboxOperation::Download).delay(Duration::from_millis(200));
    gateway
        .sandbox
        .fault(slow.status(StatusCode::FORBIDDEN).times(50));
    let answers = join_all((0..50).map(|_| gateway.get(&path).send())).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().status() == StatusCode::OK)
    );
    assert_eq!(asked(&gateway).await, (2, 101, 50.0));
}

#[tokio::test]
async fn a_url_that_is_refused_twice_is_storages_fault() {
    let gateway = TestGateway::builder()
        .settings(&[("cache.negative_ttl", "200ms")])
        .start()
        .await;
    let path = stored(&gateway, "a.bin", noise(100, 1)).await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Download)
            .status(StatusCode::FORBIDDEN)
            .body("<Signature>abc</Signature>")
            .times(2),
    );
    let answer = gateway.get(&path).send().await.unwrap();
    assert_eq!(
        problem(answer).await,
        (
            502,
            "upstream-error".into(),
            "storage".into(),
            "fetch".into(),
            true
        )
    );
    assert_eq!(asked(&gateway).await, (2, 2, 1.0));
    let refusal = gateway.get(&path).send().await.unwrap();
    assert!(refusal.headers().contains_key(RETRY_AFTER));
    assert_eq!(
        (problem(refusal).await.0, asked(&gateway).await),
        (502, (2, 2, 1.0)),
        "it is remembered for a while"
    );
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(
        gateway.get(&path).send().await.unwrap().status(),
        StatusCode::OK,
        "and then tried with the URL that is there"
    );
    assert_eq!(asked(&gateway).await, (2, 3, 1.0));
}

#[tokio::test]
async fn an_asset_with_lost_bytes_costs_few_calls() {
    let gateway = TestGateway::builder()
        .settings(&[("cache.negative_ttl", "200ms")])
        .start()
        .await;
    for status in [401, 403, 404, 410] {
        let path = stored(&gateway, "a.bin", noise(100, 1)).await;
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::Download).status(StatusCode::from_u16(status).unwrap()),
        );
        let before = asked(&gateway).await;
        let (began, mut downloads) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_millis(1500) {
            let answer = gateway.get(&path).send().await.unwrap();
            assert_eq!(
                problem(answer).await,
                (
                    502,
                    "upstream-error".into(),
                    "storage".into(),
                    "fetch".into(),
                    true
                )
            );
            downloads += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let after = asked(&gateway).await;
        assert!(
            downloads > 10 && after.0 - before.0 <= 2,
            "{} calls for {downloads} downloads",
            after.0 - before.0
        );
        assert!(
            after.1 - before.1 <= 6,
            "and {} requests to storage",
            after.1 - before.1
        );
        gateway.sandbox.reset();
    }
}

#[tokio::test]
async fn a_storage_refusing_everything_costs_few_calls() {
    let gateway = TestGateway::start().await;
    let mut paths = Vec::new();
    for number in 0..40 {
        paths.push(stored(&gateway, &format!("{number}.bin"), noise(100, number)).await);
        gateway
            .download(paths[number as usize].split('/').nth(3).unwrap())
            .await;
    }
    let before = asked(&gateway).await.0;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Download)
            .status(StatusCode::FORBIDDEN)
            .times(80),
    );
    for path in &paths {
        assert_eq!(
            problem(gateway.get(path).send().await.unwrap()).await.0,
            502
        );
    }
    let calls = asked(&gateway).await.0 - before;
    assert!(
        (1..=12).contains(&calls),
        "{calls} calls for {} assets",
        paths.len()
    );
    assert!(gateway.metric("url_early_death_total").await >= 40.0);
    while gateway.sandbox.stats().calls(SandboxOperation::Download) < 120 {
        gateway.get(&paths[39]).send().await.unwrap();
    }
    assert_eq!(
        gateway.get(&paths[39]).send().await.unwrap().status(),
        StatusCode::OK,
        "its URL is good again"
    );
    assert_eq!(asked(&gateway).await.0 - before, calls);
}

#[tokio::test]
async fn any_other_failure_of_storage_costs_no_call() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.bin", noise(100, 1)).await;
    for status in [500, 503, 302, 204] {
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::Download)
                .status(StatusCode::from_u16(status).unwrap())
                .once(),
        );
        let answer = gateway.get(&path).send().await.unwrap();
        assert_eq!(
            problem(answer).await,
            (
                502,
                "upstream-error".into(),
                "storage".into(),
                "fetch".into(),
                true
            ),
            "{status}"
        );
    }
    assert_eq!(asked(&gateway).await, (1, 4, 0.0));
}

#[tokio::test]
async fn an_asset_deleted_elsewhere_is_404_despite_its_url() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.bin", noise(100, 1)).await;
    let id = path.split('/').nth(3).unwrap();
    gateway.download(id).await;
    gateway.sandbox.reset();
    assert_eq!(
        problem(gateway.get(&path).send().await.unwrap()).await.1,
        "not-found"
    );
}

#[tokio::test]
async fn a_url_that_names_another_host_is_never_asked() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.bin", noise(100, 1)).await;
    for url in [
        "http://169.254.169.254/latest",
        "http://user:pass@127.0.0.1/",
        "file:///etc/passwd",
        "no url",
    ] {
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::GetAsset)
                .field("contentUrl", url)
                .once(),
        );
        let (status, code, _, stage, _) = problem(gateway.get(&path).send().await.unwrap()).await;
        assert_eq!(
            (status, code.as_str(), stage.as_str()),
            (502, "upstream-error", "sign"),
            "{url}"
        );
    }
    assert_eq!(asked(&gateway).await.1, 0);
}
