//! The admin listener, and what keeps it apart from the data listener.

use std::collections::BTreeSet;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use asset_gateway::telemetry::metrics::TABLE;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::support::gateway::{TestGateway, eventually, noise};

async fn admin(gateway: &TestGateway, path: &str) -> Response {
    gateway
        .client
        .get(format!("http://{}{path}", gateway.admin))
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn probes_are_answered() {
    let gateway = TestGateway::start().await;
    assert_eq!(admin(&gateway, "/livez").await.status(), StatusCode::OK);
    gateway.upload("a.bin", noise(10, 1)).await;
    let ready = admin(&gateway, "/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    assert_eq!(
        ready.json::<Value>().await.unwrap(),
        json!({"status": "ready", "egain": "signed in"})
    );
    assert_eq!(
        admin(&gateway, "/orphans")
            .await
            .json::<Value>()
            .await
            .unwrap(),
        json!({"orphans": []})
    );
    let head = gateway
        .client
        .head(format!("http://{}/readyz", gateway.admin))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_gateway_is_ready_and_reports_egains_outage() {
    let gateway = TestGateway::start().await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Token).status(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(
        gateway.get("/v1/assets/a").send().await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    let ready = admin(&gateway, "/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    assert_eq!(
        ready.json::<Value>().await.unwrap()["egain"],
        "not signed in"
    );
}

#[tokio::test]
async fn data_and_admin_listeners_share_no_routes() {
    let gateway = TestGateway::start().await;
    for path in [
        "/metrics",
        "/livez",
        "/readyz",
        "/orphans",
        "/openapi.json",
        "/docs",
    ] {
        assert_eq!(
            gateway.get(path).send().await.unwrap().status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let id = gateway.upload("a.bin", noise(10, 1)).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        "/v1/assets".to_owned(),
        format!("/v1/assets/{id}"),
        format!("/v1/assets/{id}/content"),
    ] {
        assert_eq!(
            admin(&gateway, &path).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let posted = gateway
        .client
        .post(format!("http://{}/livez", gateway.admin))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (posted.status(), &posted.headers()["allow"]),
        (
            StatusCode::METHOD_NOT_ALLOWED,
            &"GET, HEAD".parse().unwrap()
        )
    );
}

#[tokio::test]
async fn an_undeletable_asset_is_reported_to_the_operator() {
    let gateway = TestGateway::start().await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).status(StatusCode::FORBIDDEN));
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::DeleteAsset).status(StatusCode::FORBIDDEN));
    let failed = gateway
        .post("/v1/assets?channel=sms&name=a.bin")
        .body(noise(10, 1))
        .send()
        .await
        .unwrap();
    assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);
    let created = gateway.sandbox.stats().calls(SandboxOperation::CreateAsset);
    let deletes = || {
        gateway
            .sandbox
            .stats()
            .answers(SandboxOperation::DeleteAsset, StatusCode::FORBIDDEN)
    };
    assert!(eventually(|| deletes() == created).await);
    let mut told = Vec::new();
    for _ in 0..100 {
        let list: Value = admin(&gateway, "/orphans").await.json().await.unwrap();
        told = list["orphans"].as_array().unwrap().clone();
        if told.len() as u64 == created {
            break;
        }
    }
    let ids = |ids: Vec<String>| ids.into_iter().collect::<BTreeSet<_>>();
    let upstream = gateway
        .sandbox
        .assets()
        .into_iter()
        .map(|asset| asset.id)
        .collect();
    let of_told = told
        .iter()
        .map(|orphan| orphan["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids(of_told), ids(upstream));
    assert!(
        told.iter()
            .all(|orphan| orphan["reason"] == "upstream-error" && orphan["since"].is_string()),
        "{told:?}"
    );
    assert_eq!(
        gateway.metric("orphans_total{result=\"failed\"}").await,
        created as f64
    );
}

#[tokio::test]
async fn metrics_are_readable_by_scrapers_and_complete() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.monthly_quota", "1000")])
        .start()
        .await;
    let id = gateway.upload("a.bin", noise(10, 1)).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    gateway.download(&id).await;
    gateway.get("/nowhere").send().await.unwrap();
    let answer = admin(&gateway, "/metrics").await;
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; version=0.0.4"
    );
    let text = answer.text().await.unwrap();
    assert!(text.ends_with('\n'));
    let mut declared = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(
                declared.insert(rest.split(' ').next().unwrap().to_owned()),
                "declared twice: {line}"
            );
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            assert!(
                declared.contains(family) || declared.contains(name),
                "not declared: {line}"
            );
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    // What nothing of this test can have touched has no labels yet, and so isn't printed.
    let untouched = ["orphans_total", "transfer_failures_total"];
    for row in TABLE.iter().filter(|row| !untouched.contains(&row.name)) {
        assert!(
            declared.contains(&format!("asset_gateway_{}", row.name)),
            "{} is missing",
            row.name
        );
    }
    assert!(declared.contains("process_open_fds"));
}

#[tokio::test]
async fn only_what_was_refused_counts_as_rejected() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("limits.max_asset_size", "1KiB"),
            ("egain.request_timeout", "100ms"),
        ])
        .start()
        .await;
    let upload = async |length| {
        gateway
            .post("/v1/assets?channel=sms")
            .body(noise(length, 1))
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(upload(2000).await, 413);
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::CreateAsset).stall());
    assert_eq!(upload(10).await, 504);
    gateway.sandbox.reset();
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).status(StatusCode::FORBIDDEN));
    assert_eq!(upload(10).await, 502);
    let metrics = admin(&gateway, "/metrics").await.text().await.unwrap();
    let counted: Vec<_> = metrics
        .lines()
        .filter(|line| line.starts_with("asset_gateway_rejected_total") && !line.ends_with(" 0"))
        .collect();
    assert_eq!(
        counted,
        ["asset_gateway_rejected_total{code=\"too-large\"} 1"]
    );
    assert_eq!(
        gateway
            .metric(
                "transfer_failures_total{blame=\"storage\",direction=\"upload\",stage=\"store\"}"
            )
            .await,
        1.0
    );
}

#[tokio::test]
async fn the_caches_size_is_told_as_of_now() {
    let gateway = TestGateway::start().await;
    for number in 0..3 {
        let stored = gateway
            .upload("a.txt", format!("text {number}").into_bytes())
            .await;
        gateway
            .get(&format!("/v1/assets/{}", stored["id"].as_str().unwrap()))
            .send()
            .await
            .unwrap();
        assert_eq!(
            gateway.metric("url_cache_entries").await,
            f64::from(number + 1)
        );
    }
}

#[tokio::test]
async fn what_egain_refuses_isnt_counted_as_a_refused_caller() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::GetAsset)
            .status(StatusCode::FORBIDDEN)
            .once(),
    );
    assert_eq!(
        gateway.get("/v1/assets/a1").send().await.unwrap().status(),
        StatusCode::BAD_GATEWAY
    );
    assert_eq!(
        gateway
            .metric("rejected_total{code=\"upstream-error\"}")
            .await,
        0.0
    );
    gateway.get("/v1/nowhere").send().await.unwrap();
    assert_eq!(
        gateway.metric("rejected_total{code=\"not-found\"}").await,
        1.0
    );
}
