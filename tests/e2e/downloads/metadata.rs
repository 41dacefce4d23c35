//! `GET /v1/assets/{id}`: what is asked of eGain, and what is remembered.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use futures_util::future::join_all;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};

use crate::support::gateway::{TestGateway, eventually, noise, problem};

/// The path of a new asset's metadata.
async fn stored(gateway: &TestGateway) -> String {
    let receipt = gateway.upload("photo.bin", noise(100, 1)).await;
    format!("/v1/assets/{}", receipt["id"].as_str().unwrap())
}

fn calls(gateway: &TestGateway) -> u64 {
    gateway.sandbox.stats().calls(SandboxOperation::GetAsset)
}

pub(crate) fn max_age(headers: &HeaderMap) -> u64 {
    let control = headers[CACHE_CONTROL].to_str().unwrap();
    control
        .strip_prefix("private, max-age=")
        .unwrap_or_else(|| panic!("{control}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn metadata_equals_egains_and_its_url_serves_the_file() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    let answer = gateway.get(&path).send().await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()[CONTENT_TYPE]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    assert!(
        (86_360..=86_370).contains(&max_age(answer.headers())),
        "a day less 30 s: {:?}",
        answer.headers()
    );
    let body: Value = answer.json().await.unwrap();
    assert_eq!(format!("/v1/assets/{}", body["id"].as_str().unwrap()), path);
    let expected =
        json!({"name": "photo.bin", "contentType": "application/octet-stream", "size": 100});
    for field in ["name", "contentType", "size"] {
        assert_eq!(body[field], expected[field]);
    }
    assert!(
        body["contentUrlExpiry"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    let url: Url = body["contentUrl"].as_str().unwrap().parse().unwrap();
    assert!(
        gateway
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            == noise(100, 1)
    );
}

#[tokio::test]
async fn one_call_gives_a_url_for_many_requests() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    let mut bodies = Vec::new();
    for _ in 0..5 {
        bodies.push(
            gateway
                .get(&path)
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap(),
        );
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(calls(&gateway), 1);
    assert_eq!(
        gateway
            .metric("url_cache_requests_total{result=\"hit\"}")
            .await,
        4.0
    );
    assert_eq!(
        gateway
            .metric("url_cache_requests_total{result=\"miss\"}")
            .await,
        1.0
    );
}

#[tokio::test]
async fn a_no_cache_request_refreshes_the_url_for_all() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    let old = gateway
        .get(&path)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let fresh = gateway
        .get(&path)
        .header(CACHE_CONTROL, "no-cache")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let next = gateway
        .get(&path)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(old != fresh && fresh == next);
    assert_eq!(calls(&gateway), 2);
}

#[tokio::test]
async fn a_failed_forced_refresh_retains_the_cached_url() {
    let gateway = TestGateway::builder()
        .settings(&[("cache.negative_ttl", "200ms")])
        .start()
        .await;
    let path = stored(&gateway).await;
    let old = gateway.get(&path).send().await.unwrap();
    let (age, old) = (max_age(old.headers()), old.text().await.unwrap());
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::GetAsset).status(StatusCode::INTERNAL_SERVER_ERROR));
    let kept = gateway
        .get(&path)
        .header(CACHE_CONTROL, "no-cache")
        .send()
        .await
        .unwrap();
    assert!(
        kept.status() == StatusCode::OK
            && max_age(kept.headers()) <= age
            && max_age(kept.headers()) + 10 > age
    );
    assert_eq!(kept.text().await.unwrap(), old);
    assert_eq!(
        gateway
            .get(&path)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        old
    );
    let content = gateway
        .get(&format!("{path}/content"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        content.status(),
        StatusCode::OK,
        "and everybody else is served"
    );
}

#[tokio::test]
async fn a_forced_refresh_of_a_deleted_asset_is_remembered() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    gateway.get(&path).send().await.unwrap();
    gateway.sandbox.reset();
    let gone = gateway
        .get(&path)
        .header(CACHE_CONTROL, "no-cache")
        .send()
        .await
        .unwrap();
    assert_eq!(problem(gone).await.0, 404);
    assert_eq!(
        problem(gateway.get(&path).send().await.unwrap()).await.0,
        404
    );
}

#[tokio::test]
async fn forced_refreshes_of_one_id_are_rate_limited() {
    let gateway = TestGateway::builder()
        .settings(&[("cache.negative_ttl", "1s")])
        .start()
        .await;
    let path = stored(&gateway).await;
    for id in [path.as_str(), "/v1/assets/unknown"] {
        gateway.get(id).send().await.unwrap();
        let before = calls(&gateway);
        let fresh = || gateway.get(id).header(CACHE_CONTROL, "no-cache").send();
        join_all((0..30).map(|_| fresh()))
            .await
            .into_iter()
            .for_each(|answer| drop(answer.unwrap()));
        for _ in 0..5 {
            fresh().await.unwrap();
        }
        assert_eq!(calls(&gateway) - before, 1, "{id}");
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let before = calls(&gateway);
    gateway
        .get(&path)
        .header(CACHE_CONTROL, "no-cache")
        .send()
        .await
        .unwrap();
    assert_eq!(calls(&gateway) - before, 1);
}

#[tokio::test]
async fn a_hundred_callers_of_one_id_share_one_call() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::GetAsset).delay(Duration::from_millis(200)));
    let answers = join_all((0..100).map(|_| gateway.get(&path).send())).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().status() == StatusCode::OK)
    );
    assert_eq!(calls(&gateway), 1);
    assert_eq!(
        gateway
            .metric("url_cache_requests_total{result=\"miss\"}")
            .await,
        1.0
    );
}

#[tokio::test]
async fn uncacheable_responses_also_share_one_call() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    let slow = || {
        Fault::at(SandboxOperation::GetAsset)
            .delay(Duration::from_millis(200))
            .once()
    };
    gateway
        .sandbox
        .fault(slow().missing_field("contentUrlExpiry"));
    let answers = join_all((0..100).map(|_| gateway.get(&path).send())).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().status() == StatusCode::OK)
    );
    assert_eq!(calls(&gateway), 1);
    gateway.sandbox.fault(slow());
    let answers = join_all((0..100).map(|_| gateway.get("/v1/assets/unknown").send())).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().status() == StatusCode::NOT_FOUND)
    );
    assert_eq!(calls(&gateway), 2);
}

#[tokio::test]
async fn a_disconnected_leader_costs_its_followers_no_call() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::GetAsset).delay(Duration::from_millis(300)));
    let leader = tokio::spawn(gateway.get(&path).send());
    assert!(eventually(|| calls(&gateway) == 1).await);
    let follower = tokio::spawn(gateway.get(&path).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    leader.abort();
    assert_eq!(follower.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(calls(&gateway), 1);
}

#[tokio::test]
async fn not_found_is_cached_for_a_limited_time() {
    let gateway = TestGateway::builder()
        .settings(&[("cache.negative_ttl", "500ms")])
        .start()
        .await;
    for _ in 0..3 {
        let answer = gateway.get("/v1/assets/unknown").send().await.unwrap();
        assert_eq!(
            problem(answer).await,
            (
                404,
                "not-found".into(),
                "caller".into(),
                "sign".into(),
                false
            )
        );
    }
    assert_eq!(calls(&gateway), 1);
    tokio::time::sleep(Duration::from_millis(600)).await;
    gateway.get("/v1/assets/unknown").send().await.unwrap();
    assert_eq!(calls(&gateway), 2);
}

#[tokio::test]
async fn a_failure_of_egain_is_not_remembered() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::GetAsset)
            .status(StatusCode::BAD_REQUEST)
            .body(json!({"code": "400-152"}))
            .once(),
    );
    assert_eq!(
        problem(gateway.get(&path).send().await.unwrap()).await.1,
        "upstream-error"
    );
    assert_eq!(
        gateway.get(&path).send().await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_head_request_for_metadata_is_logged_and_counted() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    let whole = gateway.get(&path).send().await.unwrap();
    let head = gateway
        .client
        .head(gateway.url(&path))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (head.status(), &head.headers()["content-length"]),
        (StatusCode::OK, &whole.headers()["content-length"])
    );
    let counted = "http_requests_total{method=\"HEAD\",route=\"/v1/assets/{id}\",status=\"200\"}";
    assert_eq!(gateway.metric(counted).await, 1.0, "nobody has left");
}
