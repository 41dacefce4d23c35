//! What only the real program shows: its log, and the certificates that it trusts.

use asset_gateway::sandbox::Sandbox;
use reqwest::StatusCode;

use super::replica_process::ReplicaProcess;
use crate::support::gateway::eventually;
use crate::support::redis::RedisServer;

async fn upload(replica: &ReplicaProcess) -> StatusCode {
    let request = replica.post("/v1/assets?channel=sms&name=a.txt");
    request.body("hello").send().await.unwrap().status()
}

#[tokio::test]
async fn a_loss_of_redis_is_logged_once() {
    let mut redis = RedisServer::start().await;
    let sandbox = Sandbox::start(Default::default()).unwrap();
    let replica = ReplicaProcess::start(&sandbox, &redis.url(), &[]).await;
    let (lost, back) = (
        "shared store lost, using local state",
        "shared store is back",
    );
    assert!(eventually(|| replica.logged("shared store connected") == 1).await);
    redis.kill();
    assert!(eventually(|| replica.logged(lost) == 1).await);
    for _ in 0..20 {
        assert_eq!(upload(&replica).await, StatusCode::CREATED);
    }
    assert_eq!((replica.logged(lost), replica.logged(back)), (1, 0));
    redis.restart().await;
    assert!(eventually(|| replica.logged(back) == 1).await);
    assert_eq!(upload(&replica).await, StatusCode::CREATED);
    replica.end().await;
}

#[tokio::test]
async fn redis_over_tls_needs_a_trusted_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("cert"), made.cert.pem()).unwrap();
    std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (path("cert"), path("key"));
    let (redis, port) = RedisServer::start_with_tls(&cert, &key, "secret").await;
    let sandbox = Sandbox::start(Default::default()).unwrap();
    let url = format!("rediss://:secret@localhost:{port}");
    let trusting = [("SSL_CERT_FILE", cert.as_str())];
    let replica = ReplicaProcess::start(&sandbox, &url, &trusting).await;
    let connected = eventually(|| replica.logged("shared store connected") == 1).await;
    assert!(connected, "{}", replica.running.said());
    assert_eq!(upload(&replica).await, StatusCode::CREATED);
    replica.end().await;
    let replica = ReplicaProcess::start(&sandbox, &url, &[]).await;
    let distrusted = "shared store can't be used, using local state";
    assert!(eventually(|| replica.logged(distrusted) == 1).await);
    assert_eq!(upload(&replica).await, StatusCode::CREATED);
    let log = replica.running.said();
    assert!(
        log.contains("certificate") && !log.contains("secret@"),
        "{log}"
    );
    replica.end().await;
    drop(redis);
}
