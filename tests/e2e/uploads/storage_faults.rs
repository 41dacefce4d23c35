//! Storage that refuses, stalls or breaks: tried once more while all bytes are here, else told and
//! cleaned up.

use std::time::Duration;

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;

use crate::support::gateway::{TestGateway, eventually, noise, receipt};
use crate::support::raw_client::{by_hand, in_chunks};
use crate::support::refusal::Refusal;

const LARGE: usize = 1_000_000;

fn calls(gateway: &TestGateway) -> (u64, u64) {
    let stats = gateway.sandbox.stats();
    (
        stats.calls(SandboxOperation::CreateAsset),
        stats.calls(SandboxOperation::Upload),
    )
}

async fn deleted(gateway: &TestGateway, assets: f64) -> bool {
    gateway
        .counts("orphans_total{result=\"deleted\"}", assets)
        .await
}

#[tokio::test]
async fn any_success_of_storage_is_one() {
    for status in [StatusCode::OK, StatusCode::CREATED, StatusCode::NO_CONTENT] {
        let config = SandboxConfig {
            upload_status: status,
            ..SandboxConfig::default()
        };
        let gateway = TestGateway::builder().sandbox(config).start().await;
        let file = noise(200_000, 1);
        let stored = gateway.upload("a.bin", file.clone()).await;
        assert!(
            gateway.stored(stored["id"].as_str().unwrap()) == file,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_small_file_refused_once_is_replayed_unseen() {
    for fault in [
        Fault::at(SandboxOperation::Upload).status(StatusCode::FORBIDDEN),
        Fault::at(SandboxOperation::Upload).status(StatusCode::SERVICE_UNAVAILABLE),
        Fault::at(SandboxOperation::Upload)
            .cut_after(1)
            .status(StatusCode::PAYLOAD_TOO_LARGE),
        Fault::at(SandboxOperation::Upload).cut_after(1),
        Fault::at(SandboxOperation::Upload).close(),
    ] {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(fault.once());
        let file = noise(20_000, 2);
        let stored = gateway.upload("a.bin", file.clone()).await;
        assert!(gateway.stored(stored["id"].as_str().unwrap()) == file);
        assert_eq!(calls(&gateway), (2, 2));
        assert!(deleted(&gateway, 1.0).await);
        assert_eq!(gateway.left_upstream(1).await, 1);
    }
}

#[tokio::test]
async fn a_large_file_within_its_look_ahead_is_replayed() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .cut_after(1)
            .status(StatusCode::FORBIDDEN)
            .once(),
    );
    let file = noise(LARGE, 9);
    let (mut body_writer, answer) =
        by_hand(gateway.post(&format!("/v1/assets?channel=sms&size={LARGE}&sha256=1")));
    body_writer.write(&file[..65_536]).await;
    assert!(eventually(|| calls(&gateway) == (2, 2)).await);
    body_writer.write(&file[65_536..]).await;
    body_writer.end();
    let stored = receipt(answer.await.unwrap().unwrap()).await;
    assert!(gateway.stored(stored["id"].as_str().unwrap()) == file);
    assert_eq!(gateway.left_upstream(1).await, 1);
}

#[tokio::test]
async fn a_spooled_file_is_replayed_from_memory_or_disk() {
    for spool_memory in ["10MiB", "1KiB"] {
        let gateway = TestGateway::builder()
            .settings(&[("limits.spool_memory", spool_memory)])
            .start()
            .await;
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::Upload)
                .cut_after(300_000)
                .once(),
        );
        let file = noise(LARGE, 3);
        let stored =
            receipt(in_chunks(gateway.post("/v1/assets?channel=sms&sha256=1"), &file).await).await;
        assert_eq!(stored["lengthSource"], "spooled");
        assert!(gateway.stored(stored["id"].as_str().unwrap()) == file);
        assert_eq!(calls(&gateway), (2, 2));
        assert_eq!(gateway.left_upstream(1).await, 1);
    }
}

#[tokio::test]
async fn a_file_that_is_refused_twice_is_given_up() {
    let gateway = TestGateway::start().await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).status(StatusCode::FORBIDDEN));
    let refusal = Refusal::of(
        gateway
            .post("/v1/assets?channel=sms")
            .body("text")
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(refusal.told(), (502, "upload-failed", "storage", "store"));
    assert!(refusal.retry_after.is_some() && refusal.retryable);
    assert_eq!(refusal.upstream["status"], 403);
    assert_eq!(calls(&gateway), (2, 2));
    assert!(deleted(&gateway, 2.0).await);
    assert_eq!(gateway.left_upstream(0).await, 0);
}

#[tokio::test]
async fn a_refusal_midway_reaches_a_caller_still_sending() {
    for (fault, status) in [
        (
            Fault::at(SandboxOperation::Upload)
                .cut_after(200_000)
                .status(StatusCode::FORBIDDEN),
            Some(403),
        ),
        (Fault::at(SandboxOperation::Upload).cut_after(200_000), None),
    ] {
        let gateway = TestGateway::start().await;
        gateway.sandbox.fault(fault.once());
        let (mut body_writer, answer) =
            by_hand(gateway.post(&format!("/v1/assets?channel=sms&size={LARGE}")));
        // The rest is never sent: the answer doesn't wait for it.
        body_writer.write(noise(LARGE / 2, 4)).await;
        let refusal = Refusal::of(answer.await.unwrap().unwrap()).await;
        assert_eq!(refusal.told(), (502, "upload-failed", "storage", "store"));
        assert!(refusal.retry_after.is_some(), "it may be sent again");
        assert_eq!(refusal.upstream["status"].as_u64(), status);
        assert_eq!(calls(&gateway), (1, 1), "what was sent can't be sent again");
        assert!(deleted(&gateway, 1.0).await);
        assert_eq!(gateway.left_upstream(0).await, 0);
    }
}

#[tokio::test]
async fn a_refusal_at_the_end_is_reported_and_deleted() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .status(StatusCode::INTERNAL_SERVER_ERROR)
            .once(),
    );
    let refusal = Refusal::of(
        gateway
            .post("/v1/assets?channel=sms")
            .body(noise(LARGE, 5))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(refusal.told(), (502, "upload-failed", "storage", "store"));
    assert_eq!(
        (
            refusal.upstream["status"].as_u64(),
            refusal.retry_after.is_some()
        ),
        (Some(500), true)
    );
    assert_eq!(gateway.left_upstream(0).await, 0);
}

#[tokio::test]
async fn storage_that_confirms_too_early_isnt_believed() {
    let gateway = TestGateway::start().await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .cut_after(200_000)
            .status(StatusCode::CREATED)
            .once(),
    );
    let (mut body_writer, answer) =
        by_hand(gateway.post(&format!("/v1/assets?channel=sms&size={LARGE}")));
    body_writer.write(noise(LARGE / 2, 6)).await;
    let refusal = Refusal::of(answer.await.unwrap().unwrap()).await;
    assert_eq!(refusal.told(), (502, "upload-failed", "storage", "store"));
    assert_eq!(gateway.left_upstream(0).await, 0);
}

#[tokio::test]
async fn storage_that_stalls_is_abandoned_after_its_idle_timeout() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.transfer_idle_timeout", "300ms")])
        .start()
        .await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).stall());
    for size in [1000, 8 * LARGE] {
        let refusal = Refusal::of(
            gateway
                .post("/v1/assets?channel=sms")
                .body(noise(size, 7))
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(
            refusal.told(),
            (504, "upstream-timeout", "storage", "store"),
            "{size}"
        );
        assert!(refusal.retry_after.is_some(), "{size}");
    }
    assert_eq!(gateway.left_upstream(0).await, 0);
}

#[tokio::test]
async fn a_callers_pause_is_no_storage_stall() {
    let gateway = TestGateway::builder()
        .settings(&[("egain.transfer_idle_timeout", "500ms")])
        .start()
        .await;
    let file = noise(LARGE, 8);
    let (mut body_writer, answer) =
        by_hand(gateway.post(&format!("/v1/assets?channel=sms&size={LARGE}")));
    body_writer.write(&file[..LARGE / 2]).await;
    assert!(
        eventually(|| gateway
            .sandbox
            .assets()
            .iter()
            .any(|asset| asset.received > 0))
        .await
    );
    // Time has to pass here: that it passes is what is tested.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    body_writer.write(&file[LARGE / 2..]).await;
    body_writer.end();
    receipt(answer.await.unwrap().unwrap()).await;
}
