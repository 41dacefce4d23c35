//! A line of the log as one flat JSON object: the event's own fields, and those of the spans that
//! it happened in.

use std::fmt;
use std::io;

use jiff::Timestamp;
use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::{Map, Value};
use tracing::span::Record;
use tracing::{Event, Metadata, Subscriber};
use tracing_serde::{AsSerde, SerdeMapVisitor};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// Makes a line in one piece. tracing-subscriber's own hands it on in a hundred, each checked and
/// copied, which cost a look-up in the cache two fifths of its instructions.
pub(super) struct JsonLine;

/// A span's fields as the members of a JSON object, without its braces: made once, copied into
/// every line.
///
/// A field must be recorded at most once, or its name is twice in the line.
pub(super) struct JsonMembers;

impl<'w> FormatFields<'w> for JsonMembers {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        writer.write_str(&members(fields).map_err(|_| fmt::Error)?)
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let more = members(fields).map_err(|_| fmt::Error)?;
        // Recorded one by one, for traces only.
        if more.starts_with(r#""otel."#) {
            return Ok(());
        }
        if !current.fields.is_empty() && !more.is_empty() {
            current.fields.push(',');
        }
        current.fields.push_str(&more);
        Ok(())
    }
}

impl<S> FormatEvent<S, JsonMembers> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, JsonMembers>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = json(event).map_err(|_| fmt::Error)?;
        for span in ctx.event_scope().into_iter().flatten() {
            append(&mut line, &span, event.metadata());
        }
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// The event's own fields, the object still open.
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
    line.pop();
    String::from_utf8(line).map_err(io::Error::other)
}

fn members(fields: impl RecordFields) -> io::Result<String> {
    let mut object = Vec::with_capacity(128);
    let mut json = serde_json::Serializer::new(&mut object);
    let mut visitor = SerdeMapVisitor::new(json.serialize_map(None)?);
    fields.record(&mut visitor);
    visitor.take_serializer()?.end()?;
    object.pop();
    object.remove(0);
    String::from_utf8(object).map_err(io::Error::other)
}

/// The span's fields, less those that the event has, too: of an asset that isn't the request's,
/// say.
fn append<'s, S: LookupSpan<'s>>(line: &mut String, span: &SpanRef<'s, S>, event: &Metadata<'_>) {
    let extensions = span.extensions();
    let Some(members) = extensions
        .get::<FormattedFields<JsonMembers>>()
        .filter(|members| !members.fields.is_empty())
    else {
        return;
    };
    if event
        .fields()
        .iter()
        .all(|field| span.metadata().fields().field(field.name()).is_none())
    {
        line.push(',');
        line.push_str(&members.fields);
        return;
    }
    let Ok(mut rest) =
        serde_json::from_str::<Map<String, Value>>(&format!("{{{}}}", members.fields))
    else {
        return;
    };
    rest.retain(|name, _| event.fields().field(name).is_none());
    for (name, value) in rest {
        line.push_str(&format!(",{}:{value}", Value::String(name)));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::sync::Arc;

    use serde_json::json;
    use tracing_subscriber::fmt::layer;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What is written while `work` is done, a line each, without their times.
    fn log(work: impl FnOnce()) -> Vec<Value> {
        let mut file = tempfile::tempfile().unwrap();
        let layer = layer()
            .fmt_fields(JsonMembers)
            .event_format(JsonLine)
            .with_writer(Arc::new(file.try_clone().unwrap()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        let line = |line: &str| {
            assert_eq!(
                line.matches("\"asset\":").count().max(1),
                1,
                "each name once: {line}"
            );
            let mut fields: Map<String, Value> = serde_json::from_str(line).unwrap();
            let time: Timestamp = fields
                .remove("timestamp")
                .unwrap()
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!(Timestamp::now().duration_since(time).as_secs() < 60);
            fields.into()
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn a_line_is_one_flat_object() {
        let lines = log(|| {
            tracing::warn!(
                status = 503,
                code = "over\"load",
                none = None::<u8>,
                "request {}",
                1
            )
        });
        let line = json!({
            "level": "WARN",
            "status": 503,
            "code": "over\"load",
            "message": "request 1",
            "target": module_path!(),
        });
        assert_eq!(lines, [line]);
    }

    #[test]
    fn a_line_has_the_fields_of_its_spans() {
        let lines = log(|| {
            let request = tracing::error_span!(
                "request",
                request_id = "a\"b",
                asset = tracing::field::Empty
            );
            let _in_request = request.enter();
            tracing::info!("first");
            request.record("asset", "x1");
            tracing::info!(size = 7, "second");
            tracing::error_span!("call", operation = "get_asset")
                .in_scope(|| tracing::info!("third"));
            tracing::error_span!("bare").in_scope(|| tracing::info!("fourth"));
        });
        let line = |message: &str, more: Value| {
            let mut line = json!({
                "level": "INFO",
                "message": message,
                "target": module_path!(),
                "request_id": "a\"b",
                "asset": "x1",
            });
            line.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            line
        };
        let mut first = line("first", json!({}));
        first.as_object_mut().unwrap().remove("asset");
        let (second, third) = (
            line("second", json!({ "size": 7 })),
            line("third", json!({ "operation": "get_asset" })),
        );
        assert_eq!(lines, [first, second, third, line("fourth", json!({}))]);
    }

    #[test]
    fn an_events_own_field_wins_over_its_spans() {
        let lines = log(|| {
            tracing::error_span!("request", request_id = "r", asset = "kept")
                .in_scope(|| tracing::info!(asset = "other", "gone"));
        });
        assert_eq!(
            (&lines[0]["asset"], &lines[0]["request_id"]),
            (&json!("other"), &json!("r"))
        );
    }
}
