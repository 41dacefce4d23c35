//! `asset-gateway sandbox`.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::runtime::{CommandResult, block_on};
use super::stop::StopSignals;
use crate::sandbox::Sandbox;
use crate::sandbox::config::SandboxConfig;
use crate::sandbox::limits::Plan;
use crate::telemetry::logging;

#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// The tenant's plan, with its real limits: developer, basic or enterprise. Without it there
    /// are none.
    #[arg(long, value_parser = plan)]
    plan: Option<Plan>,
    /// The URL under which callers reach it, if not the one it listens on.
    #[arg(long)]
    public_url: Option<url::Url>,
}

fn plan(name: &str) -> Result<Plan, String> {
    match Plan::named(name) {
        Some(plan) => Ok(plan),
        None => Err("expected developer, basic or enterprise".to_owned()),
    }
}

/// Serves until a signal stops it.
pub(super) fn run(stand: &SandboxArgs) -> ExitCode {
    block_on(serve(stand))
}

async fn serve(stand: &SandboxArgs) -> CommandResult {
    let _log = logging::start(None, "info", None)?;
    let config = SandboxConfig {
        listen: stand.listen,
        plan: stand.plan,
        public_base: stand.public_url.clone(),
        ..SandboxConfig::default()
    };
    let sandbox = match Sandbox::start(config) {
        Ok(sandbox) => sandbox,
        Err(error) => return Err(format!("--listen {}: {error}", stand.listen).into()),
    };
    println!("# The eGain stand-in, for a gateway's settings:");
    for (key, value) in settings(&sandbox) {
        println!("export ASSET_GATEWAY_{key}={value}");
    }
    println!(
        "# Faults: POST http://{0}/_sandbox/faults, counts: GET http://{0}/_sandbox/stats",
        sandbox.addr()
    );
    StopSignals::listen()?.next().await;
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// What a gateway needs to use this stand-in, less the prefix `ASSET_GATEWAY_`. Nothing here is a
/// secret to anybody.
pub(super) fn settings(sandbox: &Sandbox) -> [(&'static str, String); 8] {
    [
        ("EGAIN__BASE_URL", sandbox.base_url().to_string()),
        ("EGAIN__TOKEN_URL", sandbox.token_url().to_string()),
        ("EGAIN__CLIENT_ID", sandbox.client_id().to_owned()),
        ("EGAIN__CLIENT_SECRET", sandbox.client_secret().to_owned()),
        ("EGAIN__CONTENT_HOSTS", sandbox.addr().to_string()),
        ("EGAIN__ALLOW_HTTP_CONTENT_URLS", "true".to_owned()),
        ("EGAIN__RATE", "1000".to_owned()),
        ("EGAIN__BURST", "1000".to_owned()),
    ]
}
