//! `asset-gateway health`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::Client;

use super::runtime::block_on;
use crate::config::Settings;

/// Longer than a service takes that isn't stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks `/livez` where the same settings have the admin listener. The exit code is 0 if it answers
/// well.
pub(super) fn run(file: Option<&Path>) -> ExitCode {
    block_on(ask(file))
}

async fn ask(file: Option<&Path>) -> Result<ExitCode, String> {
    let settings = Settings::load(file).map_err(|mistakes| mistakes.to_string())?;
    let addr = reachable(settings.server.admin_listen);
    let client = Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .map_err(|error| error.to_string())?;
    let answer = client.get(format!("http://{addr}/livez")).send().await;
    let status = answer
        .map_err(|error| format!("{addr} can't be reached: {}", error.without_url()))?
        .status();
    if status.is_success() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(format!("{addr} responds with {status}"))
    }
}

/// Nothing can be asked of `0.0.0.0`; what listens there listens on loopback, too.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port()))
    } else {
        listen
    }
}
