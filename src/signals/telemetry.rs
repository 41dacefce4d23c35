//! Logs: JSON lines for machines, text for people.

use std::fmt;
use std::io::{self, IsTerminal};

use jiff::Timestamp;
use serde::Serializer;
use serde::ser::SerializeMap;
use tracing::{Event, Subscriber};
use tracing_serde::{AsSerde, SerdeMapVisitor};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
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
        Format::Json => registry.with(layer().event_format(JsonLine).with_writer(std::io::stderr)).try_init(),
        Format::Text => registry.with(layer().with_target(false).with_writer(std::io::stderr)).try_init(),
    };
    Ok(())
}

/// One JSON object a line, made in one piece. tracing-subscriber's own hands it on in a hundred, each checked and copied,
/// which cost a look-up in the cache two fifths of its instructions.
struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let line = json(event).map_err(|_| fmt::Error)?;
        writer.write_str(&line)
    }
}

fn json(event: &Event<'_>) -> io::Result<String> {
    let mut line = Vec::with_capacity(512);
    let mut json = serde_json::Serializer::new(&mut line);
    let mut fields = json.serialize_map(None)?;
    fields.serialize_entry("timestamp", &format_args!("{:.6}", Timestamp::now()))?;
    fields.serialize_entry("level", &event.metadata().level().as_serde())?;
    let mut visitor = SerdeMapVisitor::new(fields);
    event.record(&mut visitor);
    let mut fields = visitor.take_serializer()?;
    fields.serialize_entry("target", event.metadata().target())?;
    fields.end()?;
    line.push(b'\n');
    String::from_utf8(line).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_line_is_one_flat_object() {
        let mut file = tempfile::tempfile().unwrap();
        let log =
            tracing_subscriber::registry().with(layer().event_format(JsonLine).with_writer(Arc::new(file.try_clone().unwrap())));
        tracing::subscriber::with_default(log, || {
            tracing::warn!(status = 503, code = "over\"load", none = None::<u8>, "exchange {}", 1)
        });
        let mut line = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut line).unwrap();
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        let said = fields.remove("timestamp").unwrap().as_str().unwrap().parse::<Timestamp>().unwrap();
        assert!(Timestamp::now().duration_since(said).as_secs() < 60);
        let rest = serde_json::json!({
            "level": "WARN", "status": 503, "code": "over\"load", "message": "exchange 1", "target": module_path!(),
        });
        assert_eq!((serde_json::Value::Object(fields), line.matches('\n').count()), (rest, 1));
    }
}
