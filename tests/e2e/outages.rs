//! eGain that fails: what it may have done isn't asked for again, and an outage costs a call now
//! and then.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use futures_util::future::join_all;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use reqwest::{Method, StatusCode};

use crate::fake_storage::Storage;
use crate::house::House;
use crate::late_egain::LateEgain;
use crate::refusal::Refusal;

fn create() -> Fault {
    Fault::at(SandboxOperation::CreateAsset)
}

async fn upload(house: &House) -> reqwest::Response {
    house
        .post("/v1/assets?channel=sms")
        .body("text")
        .send()
        .await
        .unwrap()
}

fn created(house: &House) -> u64 {
    house.sandbox.stats().calls(SandboxOperation::CreateAsset)
}

#[tokio::test]
async fn what_egain_may_have_done_is_never_asked_for_again() {
    let failures = [
        create()
            .done()
            .status(StatusCode::GATEWAY_TIMEOUT)
            .body("<html>"),
        create().done().status(StatusCode::INTERNAL_SERVER_ERROR),
        create().done().status(StatusCode::SERVICE_UNAVAILABLE),
        create().done().close(),
    ];
    join_all(failures.map(async |fault| {
        let house = House::open().await;
        house.sandbox.fault(fault.clone());
        let refusal = Refusal::of(upload(&house).await).await;
        assert!(refusal.retryable, "{refusal:?}");
        assert_eq!(
            (created(&house), house.sandbox.assets().len()),
            (1, 1),
            "one that can't be named, and not three: {fault:?}"
        );
    }))
    .await;
}

#[tokio::test]
async fn reads_and_deletions_are_repeated_freely() {
    let failures = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY]
        .map(|status| Fault::at(SandboxOperation::GetAsset).status(status));
    for fault in failures
        .into_iter()
        .chain([Fault::at(SandboxOperation::GetAsset).close()])
    {
        let house = House::open().await;
        let stored = house.upload("a.txt", b"text".to_vec()).await;
        let path = format!("/v1/assets/{}", stored["id"].as_str().unwrap());
        house.sandbox.fault(fault.clone().times(2));
        assert_eq!(
            house.get(&path).send().await.unwrap().status(),
            StatusCode::OK,
            "{fault:?}"
        );
        house.sandbox.fault(
            Fault {
                at: SandboxOperation::DeleteAsset,
                ..fault
            }
            .times(2),
        );
        let deleted = house
            .client
            .request(Method::DELETE, house.url(&path))
            .send()
            .await
            .unwrap();
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn an_upload_that_never_reached_egain_is_asked_for_again() {
    let egain = LateEgain::absent().await;
    let house = House::set(&[("egain.base_url", &egain.base_url())]).await;
    let arrives = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        egain.arrive(house.sandbox.addr()).await;
    };
    let (answer, ()) = tokio::join!(upload(&house), arrives);
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(created(&house), 1);
}

#[tokio::test]
async fn an_outage_costs_five_calls_and_then_one_at_each_probe() {
    let house = House::open().await;
    house.sandbox.fault(
        create()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .delay(Duration::from_millis(30)),
    );
    for _ in 0..20 {
        let refusal = Refusal::of(upload(&house).await).await;
        assert_eq!(
            refusal.told(),
            (503, "upstream-unavailable", "egain", "sign")
        );
        assert!(
            refusal
                .retry_after
                .is_some_and(|wait| (1..=5).contains(&wait)),
            "{refusal:?}"
        );
    }
    assert_eq!(created(&house), 5);
    assert!(
        house
            .metric("upstream_pause_seconds{routes=\"assets\"}")
            .await
            > 0.0
    );
    let read = house.get("/v1/assets/a1").send().await.unwrap();
    assert_eq!(
        Refusal::of(read).await.kind(),
        (503, "upstream-unavailable"),
        "a call of the same kind of routes"
    );
    assert_eq!(house.sandbox.stats().calls(SandboxOperation::GetAsset), 0);
    let deleted = house
        .client
        .request(Method::DELETE, house.url("/v1/assets/a1"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        deleted.status(),
        StatusCode::NOT_FOUND,
        "the other kind goes on"
    );
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let crowd = join_all((0..8).map(|_| upload(&house))).await;
    assert!(
        crowd
            .iter()
            .all(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE)
    );
    assert_eq!(created(&house), 6, "one of eight probes");
    house.sandbox.reset();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    for _ in 0..2 {
        assert_eq!(upload(&house).await.status(), StatusCode::CREATED);
    }
    assert_eq!(
        house
            .metric("upstream_pause_seconds{routes=\"assets\"}")
            .await,
        0.0
    );
}

#[tokio::test]
async fn an_outage_lasts_as_long_as_a_503_asks_for_at_least() {
    let house = House::set(&[("egain.max_pause", "3s")]).await;
    let busy = create()
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .header(RETRY_AFTER, HeaderValue::from_static("120"));
    house.sandbox.fault(busy.times(5));
    for _ in 0..6 {
        let refusal = Refusal::of(upload(&house).await).await;
        assert!(
            refusal
                .retry_after
                .is_some_and(|wait| (1..=3).contains(&wait)),
            "what is heeded, not 120: {refusal:?}"
        );
    }
    let began = Instant::now();
    while upload(&house).await.status() != StatusCode::CREATED {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        (2000..5000).contains(&began.elapsed().as_millis()),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(created(&house), 6);
}

#[tokio::test]
async fn calls_that_egain_never_saw_dont_count_in_the_month() {
    let egain = LateEgain::absent().await;
    let quota = [
        ("egain.monthly_quota", "2"),
        ("egain.enforce_quota", "true"),
    ];
    let house = House::set(&[
        ("egain.base_url", egain.base_url().as_str()),
        quota[0],
        quota[1],
    ])
    .await;
    for _ in 0..4 {
        assert_eq!(
            Refusal::of(upload(&house).await).await.kind(),
            (503, "upstream-unavailable")
        );
    }
    assert_eq!(
        house
            .metric("upstream_quota_used_ratio{routes=\"assets\"}")
            .await,
        0.0
    );
    egain.arrive(house.sandbox.addr()).await;
    let began = Instant::now();
    while upload(&house).await.status() != StatusCode::CREATED {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        house
            .metric("upstream_quota_used_ratio{routes=\"assets\"}")
            .await,
        0.5
    );
    assert_eq!(upload(&house).await.status(), StatusCode::CREATED);
    assert_eq!(
        Refusal::of(upload(&house).await).await.kind(),
        (503, "upstream-quota")
    );
}

#[tokio::test]
async fn calls_that_were_not_answered_in_time_count_in_the_month() {
    let house = House::set(&[
        ("egain.monthly_quota", "10"),
        ("egain.request_timeout", "300ms"),
    ])
    .await;
    house.sandbox.fault(create().stall());
    assert_eq!(
        Refusal::of(upload(&house).await).await.kind(),
        (504, "upstream-timeout")
    );
    assert_eq!(
        house
            .metric("upstream_quota_used_ratio{routes=\"assets\"}")
            .await,
        0.1
    );
}

#[tokio::test]
async fn no_more_than_a_burst_of_calls_are_in_flight() {
    let house = House::set(&[
        ("egain.burst", "2"),
        ("egain.other_burst", "1"),
        ("egain.budget_wait", "60s"),
    ])
    .await;
    // Longer than the bucket alone would hold a call's place.
    let slow = |operation| Fault::at(operation).delay(Duration::from_millis(1200));
    house.sandbox.fault(slow(SandboxOperation::CreateAsset));
    house.sandbox.fault(slow(SandboxOperation::DeleteAsset));
    let uploads = join_all((0..4).map(|_| upload(&house))).await;
    assert!(
        uploads
            .iter()
            .all(|answer| answer.status() == StatusCode::CREATED)
    );
    let ids: Vec<String> = house
        .sandbox
        .assets()
        .into_iter()
        .map(|asset| asset.id)
        .collect();
    let delete = async |id: &String| {
        house
            .client
            .request(Method::DELETE, house.url(&format!("/v1/assets/{id}")))
            .send()
            .await
    };
    for deleted in join_all(ids.iter().take(2).map(delete)).await {
        assert_eq!(deleted.unwrap().status(), StatusCode::NO_CONTENT);
    }
    let calls = house.sandbox.stats().operations;
    assert_eq!(calls[&SandboxOperation::CreateAsset].most_at_once, 2);
    assert_eq!(calls[&SandboxOperation::DeleteAsset].most_at_once, 1);
}

#[tokio::test]
async fn what_could_be_asked_is_reckoned_when_it_is_scraped() {
    let house = House::with(
        SandboxConfig::default(),
        &[("egain.rate", "5"), ("egain.burst", "3")],
    )
    .await;
    for _ in 0..3 {
        assert_eq!(upload(&house).await.status(), StatusCode::CREATED);
    }
    let spent = house
        .metric("upstream_budget_tokens{routes=\"assets\"}")
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let later = house
        .metric("upstream_budget_tokens{routes=\"assets\"}")
        .await;
    assert!(later >= (spent + 1.0).min(3.0), "{spent}, then {later}");
}

#[tokio::test]
async fn every_call_says_which_language_and_form_it_takes() {
    let answer = b"HTTP/1.1 500 Sorry\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
    let (signs_in, api) = (
        Storage::that_says(vec![answer.clone()]).await,
        Storage::that_says(vec![answer]).await,
    );
    let token_url = format!("http://{}/token", signs_in.addr());
    let house = House::set(&[("egain.token_url", &token_url)]).await;
    upload(&house).await;
    let base_url = format!("http://{}/v3", api.addr());
    let house_of_api = House::set(&[("egain.base_url", &base_url)]).await;
    upload(&house_of_api).await;
    for head in [signs_in.heads().remove(0), api.heads().remove(0)] {
        let head = head.to_ascii_lowercase();
        assert!(head.contains("\r\naccept: application/json\r\n"), "{head}");
        assert!(head.contains("\r\naccept-language: en-us\r\n"), "{head}");
    }
}
