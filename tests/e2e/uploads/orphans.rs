//! Assets that nobody keeps, and that can't be deleted at once.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;

use crate::support::gateway::{TestGateway, eventually};

/// So many uploads that storage refuses, each with its replay: twice as many orphans.
async fn leave_orphans(gateway: &TestGateway, uploads: u32) {
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .status(StatusCode::FORBIDDEN)
            .times(2 * uploads),
    );
    for _ in 0..uploads {
        let answer = gateway
            .post("/v1/assets?channel=sms")
            .body("text")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test]
async fn an_undeletable_orphan_delays_no_other() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::DeleteAsset)
            .status(StatusCode::INTERNAL_SERVER_ERROR)
            .times(1),
    );
    let began = Instant::now();
    leave_orphans(&gateway, 3).await;
    let deletes = || gateway.sandbox.stats().calls(SandboxOperation::DeleteAsset);
    assert!(
        eventually(|| deletes() == 6).await,
        "each one once: {}",
        deletes()
    );
    assert_eq!(gateway.left_upstream(1).await, 1);
    assert!(
        began.elapsed() < Duration::from_millis(1900),
        "before the first pause is over: {:?}",
        began.elapsed()
    );
    assert_eq!(gateway.left_upstream(0).await, 0);
    assert_eq!(deletes(), 7);
    assert!(
        gateway
            .counts("orphans_total{result=\"deleted\"}", 6.0)
            .await
    );
    assert_eq!(
        gateway.metric("orphans_total{result=\"failed\"}").await,
        0.0
    );
}

#[tokio::test]
async fn orphans_outlive_an_outage_longer_than_an_attempt() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.request_timeout", "100ms")])
        .start()
        .await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::DeleteAsset).stall().times(6));
    leave_orphans(&gateway, 2).await;
    for _ in 0..3 {
        if gateway.left_upstream(0).await == 0 {
            break;
        }
    }
    assert_eq!(gateway.left_upstream(0).await, 0);
    assert_eq!(
        gateway.metric("orphans_total{result=\"failed\"}").await,
        0.0
    );
}
