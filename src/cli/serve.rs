//! `asset-gateway serve`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::runtime::{CommandResult, block_on};
use super::stop::StopSignals;
use crate::app;
use crate::config::Settings;
use crate::telemetry::logging;

/// Serves until a signal stops it. The exit code is 0 if nothing was cut.
pub(super) fn run(file: Option<&Path>) -> ExitCode {
    block_on(serve(file))
}

async fn serve(file: Option<&Path>) -> CommandResult {
    let settings = Settings::load_for_serve(file)?;
    let _log = logging::start(
        settings.log.format,
        &settings.log.filter,
        settings.otel.traces().as_ref(),
    )?;
    let bound = app::bind(&settings)?;
    let signals = Arc::new(Mutex::new(StopSignals::listen()?));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = env!("ASSET_GATEWAY_COMMIT"),
        listen = %bound.addr()?,
        admin = %bound.admin_addr()?,
        max_connections = bound.max_connections(),
        "serving"
    );
    let first = signals.clone();
    let second = signals;
    let ending = bound
        .run(async move { first.lock().await.next().await }, async move {
            second.lock().await.next().await
        })
        .await;
    tracing::info!(cut = ending.cut, "stopped");
    Ok(if ending.cut == 0 && !ending.failed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
