//! Storage that refuses, stalls or breaks: tried once more while all bytes are here, else told and
//! cleaned up.

use std::time::Duration;

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;

use crate::house::{House, eventually, noise, receipt};
use crate::refusal::Refusal;
use crate::wire::{by_hand, in_chunks};

const LARGE: usize = 1_000_000;

fn calls(house: &House) -> (u64, u64) {
    let stats = house.sandbox.stats();
    (
        stats.calls(SandboxOperation::CreateAsset),
        stats.calls(SandboxOperation::Upload),
    )
}

async fn deleted(house: &House, assets: f64) -> bool {
    house
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
        let house = House::with(config, &[]).await;
        let file = noise(200_000, 1);
        let stored = house.upload("a.bin", file.clone()).await;
        assert!(
            house.stored(stored["id"].as_str().unwrap()) == file,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_small_file_that_was_refused_once_is_sent_again_unseen() {
    for fault in [
        Fault::at(SandboxOperation::Upload).status(StatusCode::FORBIDDEN),
        Fault::at(SandboxOperation::Upload).status(StatusCode::SERVICE_UNAVAILABLE),
        Fault::at(SandboxOperation::Upload)
            .cut_after(1)
            .status(StatusCode::PAYLOAD_TOO_LARGE),
        Fault::at(SandboxOperation::Upload).cut_after(1),
        Fault::at(SandboxOperation::Upload).close(),
    ] {
        let house = House::open().await;
        house.sandbox.fault(fault.once());
        let file = noise(20_000, 2);
        let stored = house.upload("a.bin", file.clone()).await;
        assert!(house.stored(stored["id"].as_str().unwrap()) == file);
        assert_eq!(calls(&house), (2, 2));
        assert!(deleted(&house, 1.0).await);
        assert_eq!(house.left_upstream(1).await, 1);
    }
}

#[tokio::test]
async fn a_large_file_is_sent_again_while_all_that_came_of_it_lies_in_the_look_ahead() {
    let house = House::open().await;
    house.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .cut_after(1)
            .status(StatusCode::FORBIDDEN)
            .once(),
    );
    let file = noise(LARGE, 9);
    let (mut pen, answer) =
        by_hand(house.post(&format!("/v1/assets?channel=sms&size={LARGE}&sha256=1")));
    pen.write(&file[..65_536]).await;
    assert!(eventually(|| calls(&house) == (2, 2)).await);
    pen.write(&file[65_536..]).await;
    pen.end();
    let stored = receipt(answer.await.unwrap().unwrap()).await;
    assert!(house.stored(stored["id"].as_str().unwrap()) == file);
    assert_eq!(house.left_upstream(1).await, 1);
}

#[tokio::test]
async fn a_spooled_file_is_sent_again_from_memory_and_from_disk() {
    for spool_memory in ["10MiB", "1KiB"] {
        let house = House::set(&[("limits.spool_memory", spool_memory)]).await;
        house.sandbox.fault(
            Fault::at(SandboxOperation::Upload)
                .cut_after(300_000)
                .once(),
        );
        let file = noise(LARGE, 3);
        let stored =
            receipt(in_chunks(house.post("/v1/assets?channel=sms&sha256=1"), &file).await).await;
        assert_eq!(stored["lengthSource"], "spooled");
        assert!(house.stored(stored["id"].as_str().unwrap()) == file);
        assert_eq!(calls(&house), (2, 2));
        assert_eq!(house.left_upstream(1).await, 1);
    }
}

#[tokio::test]
async fn a_file_that_is_refused_twice_is_given_up() {
    let house = House::open().await;
    house
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).status(StatusCode::FORBIDDEN));
    let refusal = Refusal::of(
        house
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
    assert_eq!(calls(&house), (2, 2));
    assert!(deleted(&house, 2.0).await);
    assert_eq!(house.left_upstream(0).await, 0);
}

#[tokio::test]
async fn a_large_file_that_is_refused_on_the_way_is_told_while_the_caller_still_sends() {
    for (fault, status) in [
        (
            Fault::at(SandboxOperation::Upload)
                .cut_after(200_000)
                .status(StatusCode::FORBIDDEN),
            Some(403),
        ),
        (Fault::at(SandboxOperation::Upload).cut_after(200_000), None),
    ] {
        let house = House::open().await;
        house.sandbox.fault(fault.once());
        let (mut pen, answer) =
            by_hand(house.post(&format!("/v1/assets?channel=sms&size={LARGE}")));
        // The rest is never sent: the answer doesn't wait for it.
        pen.write(noise(LARGE / 2, 4)).await;
        let refusal = Refusal::of(answer.await.unwrap().unwrap()).await;
        assert_eq!(refusal.told(), (502, "upload-failed", "storage", "store"));
        assert!(refusal.retry_after.is_some(), "it may be sent again");
        assert_eq!(refusal.upstream["status"].as_u64(), status);
        assert_eq!(calls(&house), (1, 1), "what was sent can't be sent again");
        assert!(deleted(&house, 1.0).await);
        assert_eq!(house.left_upstream(0).await, 0);
    }
}

#[tokio::test]
async fn a_large_file_that_is_refused_at_its_end_is_told_and_deleted() {
    let house = House::open().await;
    house.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .status(StatusCode::INTERNAL_SERVER_ERROR)
            .once(),
    );
    let refusal = Refusal::of(
        house
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
    assert_eq!(house.left_upstream(0).await, 0);
}

#[tokio::test]
async fn storage_that_confirms_before_it_has_the_whole_file_isnt_believed() {
    let house = House::open().await;
    house.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .cut_after(200_000)
            .status(StatusCode::CREATED)
            .once(),
    );
    let (mut pen, answer) = by_hand(house.post(&format!("/v1/assets?channel=sms&size={LARGE}")));
    pen.write(noise(LARGE / 2, 6)).await;
    let refusal = Refusal::of(answer.await.unwrap().unwrap()).await;
    assert_eq!(refusal.told(), (502, "upload-failed", "storage", "store"));
    assert_eq!(house.left_upstream(0).await, 0);
}

#[tokio::test]
async fn storage_that_stalls_is_given_up_after_its_idle_time() {
    let house = House::set(&[("egain.transfer_idle_timeout", "300ms")]).await;
    house
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).stall());
    for size in [1000, 8 * LARGE] {
        let refusal = Refusal::of(
            house
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
    assert_eq!(house.left_upstream(0).await, 0);
}

#[tokio::test]
async fn a_caller_that_pauses_isnt_taken_for_a_storage_that_stalls() {
    let house = House::set(&[("egain.transfer_idle_timeout", "500ms")]).await;
    let file = noise(LARGE, 8);
    let (mut pen, answer) = by_hand(house.post(&format!("/v1/assets?channel=sms&size={LARGE}")));
    pen.write(&file[..LARGE / 2]).await;
    assert!(
        eventually(|| house
            .sandbox
            .assets()
            .iter()
            .any(|asset| asset.received > 0))
        .await
    );
    // Time has to pass here: that it passes is what is tested.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    pen.write(&file[LARGE / 2..]).await;
    pen.end();
    receipt(answer.await.unwrap().unwrap()).await;
}
