//! `asset-gateway health`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::Client;

use super::runtime::{CommandResult, block_on};
use crate::config::Settings;

/// Longer than a service takes that isn't stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// Requests `/livez` where the same settings have the admin listener. The exit code is 0 if the
/// response is a success.
pub(super) fn run(file: Option<&Path>) -> ExitCode {
    block_on(check(file))
}

async fn check(file: Option<&Path>) -> CommandResult {
    let settings = Settings::load(file)?;
    let addr = reachable(settings.server.admin_listen);
    let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
    match client.get(format!("http://{addr}/livez")).send().await {
        Ok(response) if response.status().is_success() => Ok(ExitCode::SUCCESS),
        Ok(response) => Err(format!("{addr} responds with {}", response.status()).into()),
        Err(error) => Err(format!("{addr} can't be reached: {}", error.without_url()).into()),
    }
}

/// No request can be sent to `0.0.0.0`; a listener there listens on loopback, too.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port()))
    } else {
        listen
    }
}
