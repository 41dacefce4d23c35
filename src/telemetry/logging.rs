//! Logs: JSON lines for machines, text for people.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::json_line::{JsonLine, JsonMembers};
use super::log_output::{self, LogGuard};

/// How a line looks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Text,
}

/// Libraries that would log requests, and with them signed URLs, below this level.
const QUIET: &str = "hyper=info,hyper_util=info,h2=info,reqwest=info,rustls=info";

/// Starts logging to standard error, of panics, too. A second call in one process has no effect.
///
/// `format` left open means text on a terminal and JSON elsewhere. `filter` is in the form of
/// `tracing_subscriber::EnvFilter`; an invalid one is an error that says where.
pub fn start(format: Option<LogFormat>, filter: &str) -> Result<LogGuard, String> {
    let filter =
        EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|e| format!("log.filter: {e}"))?;
    let format = format.unwrap_or(if std::io::stderr().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let registry = tracing_subscriber::registry().with(filter);
    let (writer, guard) = log_output::open();
    // What can't be formatted is left out: a word on it would go to standard error directly, which
    // may block.
    let layer = layer().log_internal_errors(false).with_writer(writer);
    let started = match format {
        LogFormat::Json => registry
            .with(layer.fmt_fields(JsonMembers).event_format(JsonLine))
            .try_init(),
        LogFormat::Text => registry.with(layer.with_target(false)).try_init(),
    };
    if started.is_err() {
        return Ok(LogGuard::none());
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(guard)
}

/// The usual hook writes to standard error itself, and blocks where nobody reads that.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    tracing::error!(
        at = panic.location().map(tracing::field::display),
        thread = std::thread::current().name(),
        backtrace = (backtrace.status() == BacktraceStatus::Captured)
            .then(|| tracing::field::display(&backtrace)),
        "panicked: {}",
        panic.payload_as_str().unwrap_or("without a message")
    );
}
