//! The log says why a peer couldn't be reached, which no caller is told: an expired certificate, a
//! wrong CA, no such name and nobody who listens are four different things to mend.

use std::net::SocketAddr;

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use serde_json::Value;

use crate::connections::tls::{Identity, terminate};
use crate::support::binary::{Running, owned, program, settings};
use crate::support::client::Client;
use crate::support::gateway::noise;

/// What a gateway logs of an upload that fails: the access log's line, and that of the sign-in.
struct Told {
    exchange: Value,
    log: String,
}

async fn told(sandbox: &Sandbox, more: &[(&str, &str)], trusted: &Identity) -> Told {
    let mut variables = settings(sandbox);
    variables.retain(|(key, _)| more.iter().all(|(other, _)| key != other));
    variables.extend(owned(more));
    let mut serve = program(&["serve"], &variables);
    serve.env("SSL_CERT_FILE", trusted.path("cert"));
    let mut gateway = Running::start(serve);
    let (addr, _) = gateway.listens().await;
    let url = format!("http://{addr}/v1/assets?channel=sms&name=a.bin");
    let answer = Client::with(|builder| builder)
        .post(url)
        .body(noise(1000, 1))
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_server_error());
    let answer = answer.text().await.unwrap();
    gateway.signal("TERM");
    gateway.ending().await;
    let log = gateway.said();
    let exchange = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["status"].is_u64());
    let exchange = exchange.expect("each request has a line");
    let cause = exchange["cause"].as_str().unwrap_or_default();
    assert!(
        !cause.contains("://") && (cause.is_empty() || !answer.contains(cause)),
        "callers aren't told: {answer}"
    );
    Told { exchange, log }
}

fn https(front: SocketAddr, path: &str) -> String {
    format!("https://{front}{path}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_apart_why_egain_cant_be_reached() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let ((good, _), (stranger, _), expired) =
        (Identity::new(), Identity::new(), Identity::expired());
    let path = sandbox.base_url().path().to_owned();
    let (behind_good, behind_expired) = (
        terminate(&good, sandbox.addr()).await,
        terminate(&expired, sandbox.addr()).await,
    );
    for (base_url, trusted, cause) in [
        (https(behind_expired, &path), &expired, "expired"),
        (
            https(behind_good, &path),
            &stranger,
            "invalid peer certificate",
        ),
        (
            "https://nowhere.invalid/v3".to_owned(),
            &good,
            "failed to lookup address",
        ),
        ("http://127.0.0.1:1/v3".to_owned(), &good, "refused"),
    ] {
        let told = told(&sandbox, &[("EGAIN__BASE_URL", &base_url)], trusted)
            .await
            .exchange;
        let said = told["cause"].as_str().unwrap_or_default();
        assert!(
            said.to_lowercase().contains(&cause.to_lowercase()),
            "{base_url}: {told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_why_storage_or_sign_in_failed() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let ((good, _), (stranger, _)) = (Identity::new(), Identity::new());
    let front = terminate(&good, sandbox.addr()).await;
    for (url, cause) in [
        (https(front, "/up?s=x"), "invalid peer certificate"),
        ("http://127.0.0.1:1/up?s=x".to_owned(), "refused"),
        (
            "https://nowhere.invalid/up?s=x".to_owned(),
            "failed to lookup address",
        ),
    ] {
        sandbox.fault(Fault::at(SandboxOperation::CreateAsset).field("contentUrl", url.as_str()));
        let hosts = ("EGAIN__CONTENT_HOSTS", "127.0.0.1,nowhere.invalid");
        let told = told(&sandbox, &[hosts], &stranger).await.exchange;
        assert!(
            told["cause"]
                .as_str()
                .unwrap_or_default()
                .to_lowercase()
                .contains(cause),
            "{url}: {told}"
        );
        sandbox.reset();
    }
    for (url, cause) in [
        (https(front, "/token"), "invalid peer certificate"),
        ("http://127.0.0.1:1/token".to_owned(), "refused"),
    ] {
        let told = told(&sandbox, &[("EGAIN__TOKEN_URL", &url)], &stranger).await;
        let line = told
            .log
            .lines()
            .find(|line| line.contains("signing in at eGain failed"))
            .expect("it is logged")
            .to_lowercase();
        assert!(line.contains(cause), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_why_an_issuer_is_unreachable() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let ((good, _), (stranger, _)) = (Identity::new(), Identity::new());
    let front = terminate(&good, sandbox.addr()).await;
    for (url, cause) in [
        (https(front, "/jwks"), "invalid peer certificate"),
        ("http://127.0.0.1:1/jwks".to_owned(), "refused"),
        (
            "https://nowhere.invalid/jwks".to_owned(),
            "failed to lookup address",
        ),
    ] {
        let mut variables = settings(&sandbox);
        variables.retain(|(key, _)| key != "AUTH__MODE");
        let jwt = [
            ("AUTH__MODE", "jwt"),
            ("AUTH__JWT__ISSUER", "i"),
            ("AUTH__JWT__AUDIENCE", "a"),
            ("AUTH__JWT__JWKS_URL", &url),
        ];
        variables.extend(owned(&jwt));
        let mut serve = program(&["serve"], &variables);
        serve.env("SSL_CERT_FILE", stranger.path("cert"));
        let gateway = Running::start(serve);
        let line = gateway
            .line(|line| {
                line.contains("auth.jwt.jwks_url can't be")
                    .then(|| line.to_lowercase())
            })
            .await;
        assert!(line.contains(cause) && !line.contains("://"), "{line}");
    }
}
