//! `serve`, `config` and `sandbox` from outside.

use std::convert::Infallible;
use std::time::Duration;

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use bytes::Bytes;
use http_body_util::channel::Channel;
use reqwest::{Body, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::binary::{Running, on_free_ports, owned, program, run, settings};
use crate::support::client::Client;
use crate::support::gateway::{eventually, noise, receipt};

fn client() -> Client {
    Client::with(|builder| builder)
}

#[test]
fn serve_without_settings_lists_everything_missing() {
    let (output, out, err) = run(&["serve"], &[]);
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""));
    let keys: Vec<_> = err
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(keys, ["auth.mode", "egain.plan", "egain.token"], "{err}");
}

#[test]
fn serve_lists_every_mistake_by_its_written_name() {
    let variables = owned(&[
        ("SERVER__LISTEN", "here"),
        ("SERVER__NO_SUCH_KEY", "1"),
        ("EGAIN__BUDGET_WAIT", "5 parsecs"),
        ("EGAIN__CLIENT_SECRET", "hunter2"),
        ("PORT", "tcp://10.0.0.1:80"),
    ]);
    let (output, _, err) = run(&["serve"], &variables);
    assert_eq!(output.status.code(), Some(1));
    for key in [
        "SERVER__LISTEN",
        "SERVER__NO_SUCH_KEY",
        "EGAIN__BUDGET_WAIT",
    ] {
        assert_eq!(
            err.lines()
                .filter(|line| line.starts_with(&format!("ASSET_GATEWAY_{key}: ")))
                .count(),
            1,
            "{key}: {err}"
        );
    }
    assert!(
        !err.contains("ASSET_GATEWAY_PORT"),
        "what Kubernetes injects is none of ours: {err}"
    );
    assert!(!err.contains("hunter2"));
}

#[test]
fn serve_says_which_address_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let mut variables = on_free_ports();
    let more = [
        ("SERVER__ADMIN_LISTEN", addr.as_str()),
        ("EGAIN__TOKEN", "t"),
        ("EGAIN__PLAN", "basic"),
    ];
    variables.extend(owned(&more));
    let (output, _, err) = run(&["serve"], &variables);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err.lines()
            .any(|line| line.starts_with("server.admin_listen: ") && line.contains(&addr)),
        "{err}"
    );
}

#[test]
fn config_prints_reloadable_toml_without_secrets() {
    let mut variables = on_free_ports();
    variables.extend(owned(&[
        ("EGAIN__TOKEN", "hunter2"),
        ("EGAIN__PLAN", "basic"),
        ("LIMITS__MAX_ASSET_SIZE", "3MiB"),
    ]));
    let (output, out, err) = run(&["config"], &variables);
    assert!(output.status.success(), "{err}");
    let shown: toml::Table = out.parse().unwrap();
    assert_eq!(shown["egain"]["token"].as_str(), Some("[hidden]"));
    assert_eq!(shown["egain"]["plan"].as_str(), Some("basic"));
    assert!(!out.contains("hunter2") && !err.contains("hunter2"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, &out).unwrap();
    let (_, again, err) = run(&["config", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(again, out);
    assert!(
        err.starts_with("egain.token: "),
        "what is hidden can't be served with: {err}"
    );
}

#[tokio::test]
async fn serve_runs_with_the_settings_the_sandbox_prints() {
    let mut sandbox = Running::start(program(&["sandbox", "--listen", "127.0.0.1:0"], &[]));
    sandbox
        .line(|line| line.starts_with("# Faults").then_some(()))
        .await;
    let exports = sandbox.said();
    let exports = exports
        .lines()
        .filter_map(|line| line.strip_prefix("export ASSET_GATEWAY_")?.split_once('='));
    let mut variables: Vec<_> = exports
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    assert!(variables.len() > 5);
    variables.extend(on_free_ports());
    let mut gateway = Running::start(program(&["serve"], &variables));
    let (addr, admin) = gateway.listens().await;
    let url = format!("http://{addr}/v1/assets?channel=sms&name=a.bin");
    let stored = receipt(
        client()
            .post(url)
            .body(noise(1000, 1))
            .send()
            .await
            .unwrap(),
    )
    .await;
    let url = format!(
        "http://{addr}/v1/assets/{}/content",
        stored["id"].as_str().unwrap()
    );
    assert!(
        client()
            .get(url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            == noise(1000, 1)
    );
    let alive = client()
        .get(format!("http://{admin}/livez"))
        .send()
        .await
        .unwrap();
    assert_eq!(alive.status(), StatusCode::OK);
    for running in [&mut gateway, &mut sandbox] {
        running.signal("INT");
    }
    assert_eq!(
        (gateway.ending().await.code(), sandbox.ending().await.code()),
        (Some(0), Some(0))
    );
}

/// A gateway with an upload of 400 kB half done.
async fn half_done(sandbox: &Sandbox, more: &[(&str, &str)]) -> (Running, HalfDone) {
    let mut variables = settings(sandbox);
    variables.extend(owned(more));
    let gateway = Running::start(program(&["serve"], &variables));
    let (addr, _) = gateway.listens().await;
    let (mut body, channel) = Channel::<Bytes, Infallible>::new(1);
    let url = format!("http://{addr}/v1/assets?channel=sms&name=a.bin&size=400000");
    let answer = tokio::spawn(client().post(url).body(Body::wrap(channel)).send());
    body.send_data(noise(200_000, 1).into()).await.unwrap();
    assert!(eventually(|| sandbox.assets().iter().any(|asset| asset.received > 0)).await);
    (gateway, HalfDone { body, answer })
}

struct HalfDone {
    body: http_body_util::channel::Sender<Bytes, Infallible>,
    answer: tokio::task::JoinHandle<reqwest::Result<reqwest::Response>>,
}

#[tokio::test]
async fn sigterm_lets_a_running_upload_finish_and_ends_well() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let (mut gateway, mut upload) = half_done(&sandbox, &[("SERVER__DRAIN_DELAY", "100ms")]).await;
    gateway.signal("TERM");
    gateway
        .line(|line| {
            line.contains("draining: refusing new uploads")
                .then_some(())
        })
        .await;
    upload
        .body
        .send_data(noise(200_000, 2).into())
        .await
        .unwrap();
    drop(upload.body);
    receipt(upload.answer.await.unwrap().unwrap()).await;
    assert_eq!(gateway.ending().await.code(), Some(0));
    assert!(sandbox.assets().iter().all(|asset| asset.complete));
}

#[tokio::test]
async fn a_second_signal_aborts_and_sets_the_exit_code() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let (mut gateway, upload) = half_done(&sandbox, &[("SERVER__DRAIN_DELAY", "1m")]).await;
    gateway.signal("TERM");
    gateway
        .line(|line| line.contains("still accepting requests").then_some(()))
        .await;
    gateway.signal("TERM");
    assert_eq!(gateway.ending().await.code(), Some(1));
    assert!(upload.answer.await.unwrap().is_err());
    tokio::time::timeout(Duration::from_secs(1), async {
        while !sandbox.assets().is_empty() {}
    })
    .await
    .expect("it was deleted");
}

#[tokio::test]
async fn an_undeleted_orphan_is_logged_at_exit() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    sandbox.fault(Fault::at(SandboxOperation::DeleteAsset).stall());
    let (mut gateway, upload) = half_done(&sandbox, &[("SERVER__SHUTDOWN_GRACE", "0s")]).await;
    gateway.signal("TERM");
    assert_eq!(gateway.ending().await.code(), Some(1));
    assert!(upload.answer.await.unwrap().is_err());
    let id = sandbox.assets()[0].id.clone();
    let named = |line: &str| {
        (line.contains(&id) && line.contains("orphaned asset was not deleted")).then_some(())
    };
    gateway.line(named).await;
}

#[tokio::test]
async fn a_caller_that_left_is_in_the_log() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let gateway = Running::start(program(&["serve"], &settings(&sandbox)));
    let (addr, _) = gateway.listens().await;
    sandbox.fault(Fault::at(SandboxOperation::GetAsset).stall());
    let request = client()
        .get(format!("http://{addr}/v1/assets/a-1"))
        .header("x-request-id", "who-left");
    let caller = tokio::spawn(request.send());
    assert!(eventually(|| sandbox.stats().calls(SandboxOperation::GetAsset) == 1).await);
    caller.abort();
    let logged = gateway
        .line(|line| {
            serde_json::from_str(line)
                .ok()
                .filter(|line: &Value| line["status"] == 499)
        })
        .await;
    assert_eq!(
        (&logged["request_id"], &logged["path"]),
        (&"who-left".into(), &"/v1/assets/a-1".into())
    );
}

#[test]
fn new_key_prints_a_loadable_entry_with_its_hash() {
    let (_, text, _) = run(&["key", "new", "--id", "sms"], &[]);
    let key = text.lines().find(|line| line.starts_with("agw_")).unwrap();
    let sum: String = Sha256::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(text.contains(&sum));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &text[text.find("[[auth.keys]]").unwrap()..]).unwrap();
    let (_, shown, _) = run(
        &["config", "--config", file.path().to_str().unwrap()],
        &owned(&[("AUTH__MODE", "keys")]),
    );
    assert!(shown.contains(&sum));
}

#[tokio::test]
async fn health_asks_the_service_of_the_same_settings() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let gateway = Running::start(program(&["serve"], &settings(&sandbox)));
    let (_, admin) = gateway.listens().await;
    let health = async |listen: String| {
        let variables = owned(&[("SERVER__ADMIN_LISTEN", &listen)]);
        tokio::task::spawn_blocking(move || run(&["health"], &variables))
            .await
            .unwrap()
    };
    let (alive, ..) = health(format!("0.0.0.0:{}", admin.port())).await;
    assert_eq!(alive.status.code(), Some(0));
    let (dead, _, said) = health("127.0.0.1:1".to_owned()).await;
    assert_eq!(
        (dead.status.code(), said.trim()),
        (
            Some(1),
            "127.0.0.1:1 can't be reached: error sending request"
        )
    );
}

#[tokio::test]
async fn few_descriptors_are_logged_and_still_serve_transfers() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let mut limited = std::process::Command::new("sh");
    limited
        .args([
            "-c",
            "ulimit -n 300; exec \"$0\" serve",
            env!("CARGO_BIN_EXE_asset-gateway"),
        ])
        .env_clear();
    limited.envs(
        settings(&sandbox)
            .into_iter()
            .map(|(key, value)| (format!("ASSET_GATEWAY_{key}"), value)),
    );
    let gateway = Running::start(limited);
    let (addr, admin) = gateway.listens().await;
    let most = gateway
        .line(|line| serde_json::from_str::<Value>(line).ok()?["max_connections"].as_u64())
        .await;
    assert!((10..100).contains(&most), "{most}");
    assert!(
        gateway
            .said()
            .contains("too few file descriptors for server.max_connections"),
        "{}",
        gateway.said()
    );
    let connect = || std::net::TcpStream::connect(addr);
    let client = client();
    let upload = || {
        client
            .post(format!("http://{addr}/v1/assets?channel=sms&name=a.bin"))
            .body(noise(1000, 1))
            .send()
    };
    assert_eq!(upload().await.unwrap().status(), StatusCode::CREATED);
    let _all: Vec<_> = (0..280).map_while(|_| connect().ok()).collect();
    for _ in 0..5 {
        let alive = client
            .get(format!("http://{admin}/livez"))
            .timeout(Duration::from_secs(5))
            .send()
            .await
            .unwrap();
        assert_eq!(alive.status(), StatusCode::OK);
        assert_eq!(
            upload().await.unwrap().status(),
            StatusCode::CREATED,
            "on the connection that is open"
        );
    }
    assert!(
        !gateway.said().contains("can't accept"),
        "{}",
        gateway.said()
    );
}
