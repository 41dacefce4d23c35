//! Logs: JSON lines for machines, text for people.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing::Subscriber;
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::json_line::{JsonLine, JsonMembers};
use super::log_output::{self, LogGuard};
use super::traces::{self, TracesConfig, TracesGuard};

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

/// Keeps the log and the traces going. Dropping it writes what still waits, for a bounded time.
#[must_use = "log and traces end when this is dropped"]
#[derive(Debug)]
pub struct TelemetryGuard {
    /// First, as its end may be logged.
    _traces: Option<TracesGuard>,
    _log: LogGuard,
}

/// Libraries that would log requests, and with them signed URLs, below this level.
const QUIET: &str =
    "hyper=info,hyper_util=info,h2=info,reqwest=info,rustls=info,opentelemetry=warn";

/// Starts logging to standard error, of panics, too, and recording traces if they go anywhere. A
/// second call in one process has no effect.
///
/// `format` left open means text on a terminal and JSON elsewhere. `filter` is in the form of
/// `tracing_subscriber::EnvFilter`; an invalid one is an error that says where.
pub fn start(
    format: Option<LogFormat>,
    filter: &str,
    traces: Option<&TracesConfig>,
) -> Result<TelemetryGuard, String> {
    let filter =
        EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|e| format!("log.filter: {e}"))?;
    let format = match format {
        Some(format) => format,
        None if std::io::stderr().is_terminal() => LogFormat::Text,
        None => LogFormat::Json,
    };
    let (writer, log_guard) = log_output::open();
    let mut traces_guard = None;
    let started = match traces {
        None => {
            let log = log_layer(format, writer);
            tracing_subscriber::registry()
                .with(filter)
                .with(log)
                .try_init()
        }
        Some(config) => {
            let (layer, guard) =
                traces::layer(config).map_err(|error| format!("otel.endpoint: {error}"))?;
            traces_guard = Some(guard);
            // The log's filter must not take spans from the traces.
            let log = log_layer(format, writer).with_filter(filter);
            tracing_subscriber::registry()
                .with(layer)
                .with(log)
                .try_init()
        }
    };
    if started.is_err() {
        return Ok(TelemetryGuard {
            _traces: None,
            _log: LogGuard::none(),
        });
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(TelemetryGuard {
        _traces: traces_guard,
        _log: log_guard,
    })
}

fn log_layer<S>(format: LogFormat, writer: NonBlocking) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // What can't be formatted is left out: a word on it would go to standard error directly, which
    // may block.
    let layer = layer().log_internal_errors(false).with_writer(writer);
    match format {
        LogFormat::Json => Box::new(layer.fmt_fields(JsonMembers).event_format(JsonLine)),
        LogFormat::Text => Box::new(layer.with_target(false)),
    }
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
