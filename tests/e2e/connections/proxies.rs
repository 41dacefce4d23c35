//! The client's address in the log, when proxies stand between, and what a caller can't make of it.

use std::net::SocketAddr;

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use serde_json::Value;

use crate::support::binary::{Running, owned, program, run, settings};
use crate::support::raw_client::ask;

struct Logged {
    gateway: Running,
    addr: SocketAddr,
    _sandbox: Sandbox,
}

impl Logged {
    async fn trusting(proxies: &str) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
        let mut variables = settings(&sandbox);
        variables.extend(owned(&[("SERVER__TRUSTED_PROXIES", proxies)]));
        let gateway = Running::start(program(&["serve"], &variables));
        let (addr, _) = gateway.listens().await;
        Self {
            gateway,
            addr,
            _sandbox: sandbox,
        }
    }

    /// What the log says of a request with these headers, which each have an end of line.
    async fn client(&self, id: &str, headers: &str) -> String {
        let answer = ask(
            self.addr,
            "GET /v1/assets/a/b",
            &format!("x-request-id: {id}\r\n{headers}"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        let said = |line: &str| {
            let line: Value = serde_json::from_str(line)
                .ok()
                .filter(|line: &Value| line["request_id"] == id)?;
            line["client"].as_str().map(str::to_owned)
        };
        self.gateway.line(said).await
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_client_is() {
    let logged = Logged::trusting("127.0.0.0/8, 10.0.0.1").await;
    for (id, headers, client) in [
        ("none", "", "127.0.0.1"),
        ("one", "X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"),
        (
            "chain",
            "X-Forwarded-For: 1.1.1.1, 203.0.113.7:4711, 10.0.0.1\r\n",
            "203.0.113.7",
        ),
        (
            "lines",
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2001:db8::7\r\n",
            "2001:db8::7",
        ),
        (
            "standard",
            "Forwarded: for=1.1.1.1\r\nForwarded: For=\"[2001:db8::7]:4711\";proto=https, \
             for=10.0.0.1\r\n",
            "2001:db8::7",
        ),
        (
            "both",
            "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 203.0.113.7\r\n",
            "127.0.0.1",
        ),
        (
            "nonsense",
            "X-Forwarded-For: <script>\r\nForwarded: \u{ff}\"\r\n",
            "127.0.0.1",
        ),
    ] {
        assert_eq!(logged.client(id, headers).await, client, "{id}");
    }
}

#[tokio::test]
async fn nobody_else_is_believed() {
    for proxies in ["", "10.0.0.0/8,::1"] {
        let logged = Logged::trusting(proxies).await;
        let headers = "X-Forwarded-For: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\n";
        assert_eq!(
            logged.client("spoofed", headers).await,
            "127.0.0.1",
            "{proxies:?}"
        );
    }
}

#[test]
fn a_proxy_that_is_no_address_stops_the_start() {
    let (_, _, said) = run(
        &["serve"],
        &owned(&[("SERVER__TRUSTED_PROXIES", "10.0.0.0/8,ingress")]),
    );
    let expected = "ASSET_GATEWAY_SERVER__TRUSTED_PROXIES: expected an IP address or a range such \
                    as 10.0.0.0/8, found \"ingress\"";
    assert!(said.lines().any(|line| line == expected), "{said}");
}
