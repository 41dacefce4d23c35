//! `check` from outside: a deployment that works, and misconfigurations that it names.

use std::net::SocketAddr;

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::limits::Plan;
use jiff::SignedDuration;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::connections::tls::{Identity, terminate};
use crate::support::binary::{owned, program, settings};
use crate::support::gateway::TestGateway;
use crate::support::secret_canary::search;

/// The verdicts of `check`, and its exit code.
struct Checked {
    code: i32,
    verdicts: Vec<Value>,
}

impl Checked {
    /// Details of this check, where it failed.
    fn failed(&self, check: &str) -> Vec<&str> {
        let failed = |verdict: &&Value| verdict["check"] == check && verdict["result"] == "failed";
        let failed = self.verdicts.iter().filter(failed);
        failed
            .map(|verdict| verdict["detail"].as_str().unwrap())
            .collect()
    }

    fn assert_names(&self, check: &str, words: &str) {
        assert_eq!(self.code, 1);
        let details = self.failed(check);
        let named = details.iter().any(|detail| detail.contains(words));
        assert!(named, "{check}: {words}: {:#?}", self.verdicts);
    }
}

async fn check(sandbox: &Sandbox, changed: &[(&str, &str)], more: &[&str]) -> Checked {
    let mut variables = settings(sandbox);
    variables.retain(|(key, _)| changed.iter().all(|(changed, _)| key != changed));
    variables.extend(
        owned(changed)
            .into_iter()
            .filter(|(_, value)| !value.is_empty()),
    );
    let arguments = [&["check", "--json"][..], more].concat();
    let mut command = program(&arguments, &variables);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    search("what check printed", &out);
    search("what check said", &err);
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let code = output.status.code().unwrap();
    assert_eq!(report["ok"], code == 0);
    Checked {
        code,
        verdicts: report["checks"].as_array().unwrap().clone(),
    }
}

fn sandbox(config: SandboxConfig) -> Sandbox {
    Sandbox::start(config).unwrap()
}

#[tokio::test]
async fn a_working_deployment_passes_and_leaves_nothing() {
    let sandbox = sandbox(SandboxConfig::default());
    let checked = check(&sandbox, &[], &[]).await;
    assert_eq!(checked.code, 0, "{:#?}", checked.verdicts);
    let ok = |check: &str| {
        let verdicts = checked.verdicts.iter();
        verdicts
            .filter(|v| v["check"] == check && v["result"] == "ok")
            .count()
            > 0
    };
    for name in ["settings", "spool", "dns", "token", "clock", "plan"] {
        assert!(ok(name), "{name}: {:#?}", checked.verdicts);
    }
    assert!(ok("upload") && ok("download") && ok("clean-up"));
    assert_eq!(sandbox.assets().len(), 0);
}

#[tokio::test]
async fn a_wrong_secret_or_scope_is_named() {
    let sandbox = sandbox(SandboxConfig::default());
    let wrong = [("EGAIN__CLIENT_SECRET", "sandbox-secret-of-yesterday")];
    let checked = check(&sandbox, &wrong, &[]).await;
    checked.assert_names("token", "wrong secret");
    let wrong = [("EGAIN__SCOPE", "https://api.egain.cloud/auth/other")];
    let checked = check(&sandbox, &wrong, &[]).await;
    checked.assert_names("token", "wrong scope");
}

#[tokio::test]
async fn a_client_without_the_role_is_named() {
    let may_read = "app.conversation.conversationmgr.interaction.read".to_owned();
    let sandbox = sandbox(SandboxConfig {
        scopes: vec![may_read],
        ..SandboxConfig::default()
    });
    let checked = check(&sandbox, &[], &[]).await;
    checked.assert_names("upload", "missing role");
}

#[tokio::test]
async fn a_clock_ten_minutes_off_is_named() {
    let sandbox = sandbox(SandboxConfig {
        clock_skew: SignedDuration::from_mins(10),
        ..SandboxConfig::default()
    });
    let checked = check(&sandbox, &[], &[]).await;
    checked.assert_names("clock", "s behind eGain's");
}

#[tokio::test]
async fn a_content_host_that_isnt_allowed_is_named() {
    let sandbox = sandbox(SandboxConfig::default());
    let wrong = [("EGAIN__CONTENT_HOSTS", "files.example.com")];
    let checked = check(&sandbox, &wrong, &[]).await;
    checked.assert_names("upload", "content host not allowed");
    assert_eq!(sandbox.assets().len(), 0, "what was created is deleted");
}

#[tokio::test]
async fn a_plan_above_the_tenants_is_named() {
    let sandbox = sandbox(SandboxConfig {
        plan: Some(Plan::DEVELOPER),
        ..SandboxConfig::default()
    });
    let wrong = [("EGAIN__RATE", ""), ("EGAIN__PLAN", "enterprise")];
    let checked = check(&sandbox, &wrong, &[]).await;
    checked.assert_names("plan", "plan too high: eGain refused call 2 of 15");
}

#[tokio::test]
async fn a_spool_that_cant_be_written_is_named() {
    let sandbox = sandbox(SandboxConfig::default());
    let checked = check(&sandbox, &[("LIMITS__SPOOL_DIR", "/proc")], &[]).await;
    checked.assert_names("spool", "the spool folder /proc can't be written");
    assert!(
        checked.failed("upload").is_empty(),
        "the rest is checked, too"
    );
}

#[tokio::test]
async fn a_redis_that_is_down_is_named() {
    let sandbox = sandbox(SandboxConfig::default());
    let seal_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let nobody_listens = "redis://127.0.0.1:1/0";
    let wrong = [
        ("CACHE__REDIS_URL", nobody_listens),
        ("CACHE__SEAL_KEY", seal_key),
    ];
    let checked = check(&sandbox, &wrong, &[]).await;
    checked.assert_names("redis", "Redis is down");
    assert!(checked.failed("upload").is_empty(), "it is a helper only");
}

#[tokio::test]
async fn mistakes_in_settings_are_all_listed() {
    let sandbox = sandbox(SandboxConfig::default());
    let wrong = [("EGAIN__BUDGET_WAIT", "5 parsecs"), ("AUTH__MODE", "")];
    let checked = check(&sandbox, &wrong, &[]).await;
    checked.assert_names("settings", "ASSET_GATEWAY_EGAIN__BUDGET_WAIT");
    checked.assert_names("settings", "auth.mode");
}

#[tokio::test]
async fn an_expired_certificate_is_named() {
    let sandbox = sandbox(SandboxConfig::default());
    let identity = Identity::expired();
    let addr = terminate(&identity, sandbox.addr()).await;
    let url = format!("https://{addr}/v3");
    let checked = check(&sandbox, &[("EGAIN__BASE_URL", &url)], &[]).await;
    checked.assert_names("tls", "the certificate expired");
    let (cert, key) = (identity.path("cert"), identity.path("key"));
    let own = [
        ("SERVER__TLS_CERT", cert.as_str()),
        ("SERVER__TLS_KEY", &key),
    ];
    let checked = check(&sandbox, &own, &[]).await;
    checked.assert_names("own tls", "server.tls_cert: the certificate expired");
}

#[tokio::test]
async fn an_ingress_that_buffers_is_named() {
    let gateway = TestGateway::start().await;
    let ingress = buffering_proxy(gateway.addr).await;
    let url = format!("http://{ingress}");
    let checked = check(&gateway.sandbox, &[], &["--url", &url]).await;
    checked.assert_names("ingress", "buffered: ");
}

/// Passes a request on only once it has all of it.
async fn buffering_proxy(upstream: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass_on_whole(stream, upstream));
        }
    });
    addr
}

async fn pass_on_whole(mut client: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(&request).await?;
    let (mut read, mut write) = client.split();
    let (mut from, mut to) = server.split();
    let _ended = tokio::join!(
        tokio::io::copy(&mut read, &mut to),
        tokio::io::copy(&mut from, &mut write)
    );
    Ok(())
}

/// Whether head and body are there, by `Content-Length` or the last chunk.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let body = &request[end + 4..];
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => body.len() >= length.parse().unwrap(),
        None => !head.contains("chunked") || body.ends_with(b"0\r\n\r\n"),
    }
}
