//! Logs: JSON lines for machines, text for people.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Text,
}

/// Libraries that would log requests, and with them signed URLs, below this level.
const QUIET: &str = "hyper=info,hyper_util=info,h2=info,reqwest=info,rustls=info";

/// Starts logging to standard error. A second call in one process has no effect.
///
/// `format` left open means text on a terminal and JSON elsewhere. `filter` is in the form of
/// `tracing_subscriber::EnvFilter`; an invalid one is an error that says where.
pub fn start(format: Option<Format>, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|e| format!("log.filter: {e}"))?;
    let format = format.unwrap_or(if std::io::stderr().is_terminal() { Format::Text } else { Format::Json });
    let registry = tracing_subscriber::registry().with(filter);
    let _already_started = match format {
        Format::Json => registry.with(layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init(),
        Format::Text => registry.with(layer().with_target(false).with_writer(std::io::stderr)).try_init(),
    };
    Ok(())
}
