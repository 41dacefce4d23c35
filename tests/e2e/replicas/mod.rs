//! Several replicas of the gateway with one Redis and one eGain.

mod budget;
mod deletions;
mod idempotency;
mod month;
mod orphans;
mod outages;
mod program;
mod replica_process;
mod signed_urls;

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use serde_json::Value;

use crate::support::gateway::TestGateway;
use crate::support::redis::{RedisServer, SEAL_KEY};

/// Gateways that share a Redis and a stand-in for eGain.
pub(crate) struct Replicas {
    pub redis: RedisServer,
    pub sandbox: Sandbox,
    pub gateways: Vec<TestGateway>,
}

impl Replicas {
    pub(crate) async fn start(count: usize) -> Self {
        Self::start_with(count, SandboxConfig::default(), &[]).await
    }

    pub(crate) async fn start_with(
        count: usize,
        sandbox: SandboxConfig,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut replicas = Self {
            redis: RedisServer::start().await,
            sandbox: Sandbox::start(sandbox).expect("loopback has free ports"),
            gateways: Vec::new(),
        };
        for _ in 0..count {
            replicas.add(settings).await;
        }
        replicas
    }

    /// Starts one more.
    pub(crate) async fn add(&mut self, settings: &[(&str, &str)]) {
        let redis_url = self.redis.url();
        let gateway = start_gateway(&self.sandbox, &redis_url, settings).await;
        assert!(gateway.counts("shared_store_up", 1.0).await);
        self.gateways.push(gateway);
    }

    /// Uploads a file at one of them, and returns its id.
    pub(crate) async fn upload(&self, at: usize) -> String {
        let stored: Value = self.gateways[at].upload("a.txt", b"hello".to_vec()).await;
        stored["id"].as_str().unwrap().to_owned()
    }

    /// Waits until all of them see Redis up, or down.
    pub(crate) async fn all_see(&self, up: bool) {
        for gateway in &self.gateways {
            let value = f64::from(u8::from(up));
            let seen = gateway.counts("shared_store_up", value).await;
            // The longest pause between two attempts to connect is longer than one such wait.
            assert!(seen || gateway.counts("shared_store_up", value).await);
        }
    }
}

/// A gateway in front of this stand-in.
pub(crate) async fn start_gateway(
    sandbox: &Sandbox,
    redis_url: &str,
    settings: &[(&str, &str)],
) -> TestGateway {
    let (base, token) = (
        sandbox.base_url().to_string(),
        sandbox.token_url().to_string(),
    );
    let host = sandbox.addr().to_string();
    let shared = [
        ("egain.base_url", base.as_str()),
        ("egain.token_url", token.as_str()),
        ("egain.content_hosts", host.as_str()),
        ("cache.redis_url", redis_url),
        ("cache.seal_key", SEAL_KEY),
    ];
    let all: Vec<_> = shared.iter().chain(settings).copied().collect();
    TestGateway::builder().settings(&all).start().await
}
