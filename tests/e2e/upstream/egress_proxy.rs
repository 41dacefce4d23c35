//! `egain.proxy`, `HTTPS_PROXY` and `NO_PROXY`: tenants whose only way out is a proxy.

use std::time::Duration;

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use reqwest::StatusCode;
use tokio::time::Instant;

use crate::connections::tls::{Identity, terminate};
use crate::support::binary::{Running, owned, program, settings};
use crate::support::client::Client;
use crate::support::connect_proxy::{ConnectProxy, ProxyAnswer};
use crate::support::gateway::{noise, receipt};

/// A name that only the proxy can resolve.
const HOST: &str = "api.egain.test";

/// A sandbox behind TLS, under that name, for its API and its storage.
struct Upstream {
    sandbox: Sandbox,
    identity: Identity,
    proxy: ConnectProxy,
}

impl Upstream {
    async fn start() -> Self {
        let public_base = Some(format!("https://{HOST}").parse().unwrap());
        let config = SandboxConfig {
            public_base,
            ..SandboxConfig::default()
        };
        let sandbox = Sandbox::start(config).unwrap();
        let identity = Identity::of(HOST);
        let server = terminate(&identity, sandbox.addr()).await;
        let proxy = ConnectProxy::start(ProxyAnswer::LeadTo(server)).await;
        Self {
            sandbox,
            identity,
            proxy,
        }
    }

    /// A gateway that reaches it with these variables.
    fn gateway(&self, variables: &[(&str, &str)]) -> Running {
        let mut settings = settings(&self.sandbox);
        settings.extend(owned(&[("EGAIN__CONTENT_HOSTS", HOST)]));
        let mut serve = program(&["serve"], &settings);
        serve.env("SSL_CERT_FILE", self.identity.path("cert"));
        for (name, value) in variables {
            serve.env(name, value);
        }
        Running::start(serve)
    }
}

/// Uploads a file; the gateway's data address and the response.
async fn upload(gateway: &Running, bytes: Vec<u8>) -> (String, reqwest::Response) {
    let (addr, _) = gateway.listens().await;
    let url = format!("http://{addr}/v1/assets?channel=sms&name=a.bin");
    let request = Client::with(|builder| builder).post(url).body(bytes);
    (addr.to_string(), request.send().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_downloads_pass_through_an_egress_proxy() {
    let upstream = Upstream::start().await;
    let addr = upstream.proxy.addr;
    let with_password = format!("http://gateway:s3cr%20et@{addr}");
    let (bare, ambient) = (addr.to_string(), format!("http://{addr}/"));
    for (name, value, credentials) in [
        ("ASSET_GATEWAY_EGAIN__PROXY", &with_password, true),
        ("HTTPS_PROXY", &ambient, false),
        ("https_proxy", &bare, false),
    ] {
        let gateway = upstream.gateway(&[(name, value)]);
        let bytes = noise(700_000, 1);
        let (addr, response) = upload(&gateway, bytes.clone()).await;
        let id = receipt(response).await["id"].as_str().unwrap().to_owned();
        let url = format!("http://{addr}/v1/assets/{id}/content");
        let content = Client::with(|builder| builder).get(url).send().await;
        assert!(content.unwrap().bytes().await.unwrap() == bytes);
        let heads = upstream.proxy.heads();
        let last = heads.last().unwrap();
        assert!(last.starts_with(&format!("CONNECT {HOST}:443 ")), "{last}");
        // "gateway:s3cr et" in Base64.
        let sent = last.contains("Proxy-Authorization: Basic Z2F0ZXdheTpzM2NyIGV0\r\n");
        assert_eq!(sent, credentials, "{last}");
        assert!(!gateway.said().contains("s3cr"), "{}", gateway.said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_setting_goes_before_the_environments_convention() {
    let upstream = Upstream::start().await;
    let right = format!("http://{}", upstream.proxy.addr);
    let gateway = upstream.gateway(&[
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ("NO_PROXY", "egain.test"),
        ("ASSET_GATEWAY_EGAIN__PROXY", &right),
        ("ASSET_GATEWAY_EGAIN__NO_PROXY", "other.test"),
    ]);
    let (_, response) = upload(&gateway, noise(1000, 1)).await;
    assert_eq!(response.status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn exempt_hosts_never_reach_the_proxy() {
    let upstream = Upstream::start().await;
    let proxy = format!("http://{}", upstream.proxy.addr);
    let gateway = upstream.gateway(&[("HTTPS_PROXY", &proxy), ("no_proxy", ".egain.test")]);
    let (_, response) = upload(&gateway, noise(1000, 1)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(upstream.proxy.heads(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_goes_directly() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let mut serve = program(&["serve"], &settings(&sandbox));
    serve.env("HTTPS_PROXY", "http://127.0.0.1:1");
    let gateway = Running::start(serve);
    let (_, response) = upload(&gateway, noise(1000, 1)).await;
    assert_eq!(response.status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_or_hanging_proxy_is_logged() {
    let mut upstream = Upstream::start().await;
    for (answer, cause) in [
        (
            ProxyAnswer::Say("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
            "authorization",
        ),
        (
            ProxyAnswer::Say("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
            "egress proxy",
        ),
        (ProxyAnswer::Say("220 mail.test ESMTP\r\n"), "egress proxy"),
        (ProxyAnswer::Say(""), "egress proxy"),
        (ProxyAnswer::Hang, "timed out"),
    ] {
        let shown = format!("{answer:?}");
        upstream.proxy = ConnectProxy::start(answer).await;
        let proxy = format!("http://user:s3cret@{}", upstream.proxy.addr);
        let gateway = upstream.gateway(&[
            ("HTTPS_PROXY", &proxy),
            ("ASSET_GATEWAY_EGAIN__CONNECT_TIMEOUT", "1s"),
        ]);
        let began = Instant::now();
        let (_, response) = upload(&gateway, noise(1000, 1)).await;
        assert!(response.status().is_server_error(), "{shown}");
        assert!(began.elapsed() < Duration::from_secs(15), "{shown}");
        let body = response.text().await.unwrap();
        let said = gateway.said();
        assert!(said.contains(cause), "{shown}: {said}");
        assert!(!said.contains("s3cret") && !body.contains("s3cret"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disallowed_host_stays_disallowed_behind_a_proxy() {
    let upstream = Upstream::start().await;
    let proxy = format!("http://{}", upstream.proxy.addr);
    let gateway = upstream.gateway(&[
        ("HTTPS_PROXY", &proxy),
        ("ASSET_GATEWAY_EGAIN__CONTENT_HOSTS", "*.other.test"),
    ]);
    let (_, response) = upload(&gateway, noise(1000, 1)).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert!(
        response
            .text()
            .await
            .unwrap()
            .contains("egain.content_hosts")
    );
}
