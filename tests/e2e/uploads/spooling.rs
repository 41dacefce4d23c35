//! The spool: memory first, then an unlinked file, all under one cap.

use std::path::Path;

use crate::support::gateway::{TestGateway, eventually, noise, receipt};
use crate::support::raw_client::{by_hand, in_chunks};
use crate::support::refusal::Refusal;

/// How many unlinked files of this folder the process holds open.
fn unlinked_in(folder: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets
        .filter(|target| {
            target.starts_with(folder) && target.to_string_lossy().ends_with("(deleted)")
        })
        .count()
}

#[tokio::test]
async fn a_file_beyond_spool_memory_uses_an_unlinked_file() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("limits.spool_memory", "100KiB"),
        ("limits.spool_dir", folder.path().to_str().unwrap()),
    ];
    let gateway = TestGateway::builder().settings(&settings).start().await;
    let file = noise(300_000, 1);
    let (mut body_writer, answer) = by_hand(gateway.post("/v1/assets?channel=sms"));
    body_writer.write(&file[..70_000]).await;
    body_writer.write(&file[70_000..90_000]).await;
    assert!(gateway.counts("spool_bytes", 90_000.0).await);
    assert_eq!(unlinked_in(folder.path()), 0, "it still fits in memory");
    body_writer.write(&file[90_000..200_000]).await;
    assert!(eventually(|| unlinked_in(folder.path()) == 1).await);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nobody else can see it"
    );
    body_writer.write(&file[200_000..]).await;
    body_writer.end();
    let stored = receipt(answer.await.unwrap().unwrap()).await;
    assert!(gateway.stored(stored["id"].as_str().unwrap()) == file);
    assert!(gateway.counts("spool_bytes", 0.0).await);
    assert!(eventually(|| unlinked_in(folder.path()) == 0).await);
}

#[tokio::test]
async fn the_spools_cap_is_shared_and_given_back() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("limits.spool_memory", "64KiB"),
            ("limits.spool_total", "256KiB"),
        ])
        .start()
        .await;
    let (large, small) = (noise(200_000, 2), noise(100_000, 3));
    let (mut body_writer, answer) = by_hand(gateway.post("/v1/assets?channel=sms"));
    body_writer.write(&large[..100_000]).await;
    body_writer.write(&large[100_000..]).await;
    assert!(gateway.counts("spool_bytes", 200_000.0).await);
    let refusal =
        Refusal::of(in_chunks(gateway.post("/v1/assets?channel=sms"), &small).await).await;
    assert_eq!(refusal.told(), (503, "overloaded", "gateway", "read"));
    assert!(refusal.retry_after.is_some());
    let declared = gateway.upload("declared.bin", small.clone()).await;
    assert_eq!(
        declared["lengthSource"], "declared",
        "who declares the length needs no spool"
    );
    body_writer.end();
    assert_eq!(
        receipt(answer.await.unwrap().unwrap()).await["lengthSource"],
        "spooled"
    );
    assert!(gateway.counts("spool_bytes", 0.0).await);
    let alone =
        Refusal::of(in_chunks(gateway.post("/v1/assets?channel=sms"), &noise(300_000, 4)).await)
            .await;
    assert_eq!(
        (alone.kind(), alone.retry_after),
        ((411, "length-required"), None),
        "it would never fit"
    );
    let again = receipt(in_chunks(gateway.post("/v1/assets?channel=sms"), &small).await).await;
    assert_eq!(again["lengthSource"], "spooled");
    assert_eq!(gateway.left_upstream(3).await, 3);
}

#[tokio::test]
async fn a_disconnect_gives_the_spools_space_back() {
    let gateway = TestGateway::start().await;
    let (mut body_writer, answer) = by_hand(gateway.post("/v1/assets?channel=sms"));
    body_writer.write(noise(200_000, 4)).await;
    body_writer.write(noise(200_000, 5)).await;
    assert!(gateway.counts("spool_bytes", 400_000.0).await);
    answer.abort();
    drop(body_writer);
    assert!(gateway.counts("spool_bytes", 0.0).await);
    assert!(
        gateway
            .counts(
                "uploads_total{length_source=\"unknown\",outcome=\"caller-left\"}",
                1.0
            )
            .await
    );
}
