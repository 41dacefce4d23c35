//! Orphans of a replica that was killed are deleted by another one.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::{Response, StatusCode};
use tokio::task::JoinHandle;

use super::Replicas;
use super::replica_process::ReplicaProcess;
use crate::support::client::RequestBuilder;
use crate::support::gateway::{eventually, noise};
use crate::support::raw_client::{BodyWriter, by_hand};

/// An upload of which a third is sent at first.
const UPLOAD: &str = "/v1/assets?channel=sms&name=a.bin&size=300000";

/// A replica that can be killed.
async fn victim(replicas: &Replicas) -> ReplicaProcess {
    ReplicaProcess::start(&replicas.sandbox, &replicas.redis.url(), &[]).await
}

/// Kills it. Another replica, which comes then, takes it for dead at once.
async fn kill(victim: ReplicaProcess, replicas: &mut Replicas) {
    victim.end().await;
    replace(replicas).await;
}

/// Starts another replica, which takes the only one before it for dead at once.
async fn replace(replicas: &mut Replicas) {
    let alive = replicas.redis.cli(&["KEYS", "*:replica:*"]);
    replicas.redis.cli(&["DEL", &alive]);
    replicas.add(&[]).await;
}

/// Waits until the only journal has these entries.
async fn written(replicas: &Replicas, entries: &str) -> bool {
    let count = || {
        let journal = replicas.redis.cli(&["KEYS", "*:orphans:*"]);
        replicas.redis.cli(&["HLEN", &journal])
    };
    eventually(|| count() == entries).await
}

/// As if the uploads in flight had begun long ago.
fn age_uploads(replicas: &Replicas) {
    let times = replicas.redis.cli(&["KEYS", "*:uncommitted:*"]);
    let names = replicas.redis.cli(&["ZRANGE", &times, "0", "-1"]);
    for name in names.lines() {
        replicas.redis.cli(&["ZADD", &times, "XX", "1", name]);
    }
}

/// Begins an upload, until a replica's journal has it. It goes on as long as the body's writer
/// lives.
async fn begin_upload(
    request: RequestBuilder,
    replicas: &Replicas,
) -> (BodyWriter, JoinHandle<reqwest::Result<Response>>) {
    let (mut body_writer, response) = by_hand(request);
    body_writer.write(noise(100_000, 1)).await;
    assert!(written(replicas, "1").await);
    (body_writer, response)
}

/// Waits until nothing is written down any more.
async fn nothing_written(replicas: &Replicas) -> bool {
    eventually(|| replicas.redis.cli(&["KEYS", "*:orphans:*"]).is_empty()).await
}

#[tokio::test]
async fn a_killed_replicas_orphans_are_deleted_by_another() {
    let mut replicas = Replicas::start(0).await;
    let victim = victim(&replicas).await;
    let refused = Fault::at(SandboxOperation::Upload).status(StatusCode::FORBIDDEN);
    replicas.sandbox.fault(refused.times(2));
    let failed = Fault::at(SandboxOperation::DeleteAsset).status(StatusCode::SERVICE_UNAVAILABLE);
    replicas.sandbox.fault(failed.times(2));
    let upload = victim.post("/v1/assets?channel=sms").body("text").send();
    assert_eq!(upload.await.unwrap().status(), StatusCode::BAD_GATEWAY);
    assert!(written(&replicas, "2").await, "the replay's, too");
    kill(victim, &mut replicas).await;
    assert!(eventually(|| replicas.sandbox.assets().is_empty()).await);
    assert!(nothing_written(&replicas).await);
}

#[tokio::test]
async fn an_upload_of_a_killed_replica_is_deleted_later() {
    let mut replicas = Replicas::start(0).await;
    let victim = victim(&replicas).await;
    let (_body_writer, response) = begin_upload(victim.post(UPLOAD), &replicas).await;
    age_uploads(&replicas);
    kill(victim, &mut replicas).await;
    assert!(response.await.unwrap().is_err());
    assert!(eventually(|| replicas.sandbox.assets().is_empty()).await);
    assert!(nothing_written(&replicas).await);
}

#[tokio::test]
async fn a_recent_upload_of_a_killed_replica_isnt_touched() {
    let mut replicas = Replicas::start(0).await;
    let victim = victim(&replicas).await;
    let (_body_writer, _response) = begin_upload(victim.post(UPLOAD), &replicas).await;
    kill(victim, &mut replicas).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let calls = replicas.sandbox.stats();
    assert_eq!(calls.calls(SandboxOperation::GetAsset), 0);
    assert_eq!(calls.calls(SandboxOperation::DeleteAsset), 0);
    assert!(written(&replicas, "1").await);
}

#[tokio::test]
async fn a_stored_asset_of_a_killed_replica_stays() {
    let mut replicas = Replicas::start(0).await;
    let victim = victim(&replicas).await;
    let (mut body_writer, response) = begin_upload(victim.post(UPLOAD), &replicas).await;
    age_uploads(&replicas);
    // Its end isn't written down any more.
    replicas.redis.signal("STOP");
    body_writer.write(noise(200_000, 2)).await;
    body_writer.end();
    let stored = response.await.unwrap().unwrap();
    assert_eq!(stored.status(), StatusCode::CREATED);
    victim.end().await;
    replicas.redis.signal("CONT");
    replace(&mut replicas).await;
    assert!(nothing_written(&replicas).await);
    assert_eq!(replicas.sandbox.assets().len(), 1);
}

#[tokio::test]
async fn a_journal_that_redis_lost_is_written_again() {
    let mut replicas = Replicas::start(1).await;
    let (mut body_writer, response) =
        begin_upload(replicas.gateways[0].post(UPLOAD), &replicas).await;
    replicas.redis.kill();
    replicas.all_see(false).await;
    replicas.redis.restart().await;
    replicas.all_see(true).await;
    assert!(written(&replicas, "1").await);
    body_writer.write(noise(200_000, 2)).await;
    body_writer.end();
    let stored = response.await.unwrap().unwrap();
    assert_eq!(stored.status(), StatusCode::CREATED);
    assert!(nothing_written(&replicas).await);
}

#[tokio::test]
async fn a_quick_upload_is_never_written_down() {
    let replicas = Replicas::start(1).await;
    for _ in 0..5 {
        replicas.upload(0).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let stats = replicas.redis.cli(&["INFO", "commandstats"]);
    for command in ["cmdstat_zadd", "cmdstat_zrem", "cmdstat_hdel"] {
        assert!(!stats.contains(command), "{stats}");
    }
}
