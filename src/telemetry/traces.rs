//! Traces: a span for each request and its stages, exported by OTLP (http/protobuf) to a collector
//! if one is set (distributed tracing, OpenTelemetry).
//!
//! The spans of the log are used, and more of them, which the log doesn't have: [`stage_span!`].
//! W3C Trace Context is read from requests and handed on to eGain, never to a signed URL.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

/// Where traces go.
#[derive(Debug, Clone, PartialEq)]
pub struct TracesConfig {
    /// The collector's path for spans, such as `http://collector:4318/v1/traces`.
    pub endpoint: Url,
    /// The name that the spans have.
    pub service_name: String,
    /// How many of the requests that come without a trace begin one, 0 to 1; none leaves it to
    /// `OTEL_TRACES_SAMPLER`, which is all by default.
    pub sample_ratio: Option<f64>,
}

/// The longest `tracestate` in bytes that is handed on (W3C Trace Context, "tracestate Limits").
const LONGEST_STATE: usize = 512;

/// How long the last spans may take at the end.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// What spans for traces have as their target, so that the log doesn't have them.
pub(crate) const STAGES: &str = "asset_gateway::stage";

static ARE_ON: AtomicBool = AtomicBool::new(false);

/// A span that only traces have, for a stage of a request or a call to another service. Without
/// traces it costs a look at a flag.
macro_rules! stage_span {
    ($name:literal $(, $($field:tt)*)?) => {
        tracing::trace_span!(
            target: $crate::telemetry::traces::STAGES,
            $name,
            http.response.status_code = tracing::field::Empty,
            otel.status_code = tracing::field::Empty
            $(, $($field)*)?
        )
    };
}
pub(crate) use stage_span;

/// Exports what is recorded; the last of it when this is dropped.
#[derive(Debug)]
pub struct TracesGuard(SdkTracerProvider);

impl Drop for TracesGuard {
    fn drop(&mut self) {
        ARE_ON.store(false, Relaxed);
        // A collector that is gone isn't worth more than this: the spans are lost.
        let _lost = self.0.shutdown_with_timeout(LAST_EXPORT);
    }
}

/// The layer that records spans, and the guard that exports them.
///
/// # Errors
/// The exporter can't be made: the machine has no CA certificates, or a variable of OpenTelemetry's
/// has no meaning.
pub(super) fn layer<S>(
    config: &TracesConfig,
) -> Result<(impl Layer<S>, TracesGuard), ExporterBuildError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(config.endpoint.as_str())
        .build()?;
    let resource = Resource::builder()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let mut provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource);
    if let Some(ratio) = config.sample_ratio {
        let roots = Sampler::TraceIdRatioBased(ratio);
        provider = provider.with_sampler(Sampler::ParentBased(Box::new(roots)));
    }
    let provider = provider.build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("asset-gateway"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        // Events are the log's, and other crates' spans would be the exporter's own.
        .with_filter(filter_fn(|metadata| {
            metadata.is_span() && metadata.target().starts_with("asset_gateway")
        }));
    ARE_ON.store(true, Relaxed);
    Ok((layer, TracesGuard(provider)))
}

/// Whether spans are recorded.
fn are_on() -> bool {
    ARE_ON.load(Relaxed)
}

/// Makes `span` that of a request as OpenTelemetry names it, within the trace that the request's
/// headers name. Returns the trace's id.
///
/// `span` needs the fields `otel.name` and `otel.kind`, and must not have been entered.
pub fn begin_request(
    span: &Span,
    method: &str,
    route: &str,
    headers: &HeaderMap,
) -> Option<String> {
    if !are_on() {
        return None;
    }
    span.record("otel.name", format!("{method} {route}"));
    span.record("otel.kind", "server");
    span.set_attribute("http.request.method", method.to_owned());
    span.set_attribute("http.route", route.to_owned());
    let parent = TraceContextPropagator::new()
        .extract_with_context(&Context::new(), &TraceHeaders(HeaderExtractor(headers)));
    // Not without a layer for traces, which there is.
    let _set = span.set_parent(parent);
    let trace_id = span.context().span().span_context().trace_id();
    Some(trace_id.to_string())
}

/// A request's trace headers. A `tracestate` that is longer than every vendor must take isn't
/// handed on: eGain could refuse a call for a header that a caller has filled.
struct TraceHeaders<'h>(HeaderExtractor<'h>);

impl Extractor for TraceHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?;
        (value.len() <= LONGEST_STATE).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys()
    }
}

/// Records how a request ended, whose span this is.
pub fn end_request(span: &Span, status: StatusCode) {
    if !are_on() {
        return;
    }
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.set_status(opentelemetry::trace::Status::error(""));
    }
}

/// Records how a call ended, of which `span` is the [`stage_span!`]; none is without a response.
pub fn end_call(span: &Span, status: Option<StatusCode>) {
    if let Some(status) = status {
        span.record("http.response.status_code", status.as_u16());
    }
    if status.is_none_or(|status| status.is_client_error() || status.is_server_error()) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Writes the trace that `span` belongs to into the headers of a call (W3C Trace Context).
pub fn hand_on(span: &Span, headers: &mut HeaderMap) {
    if are_on() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut HeaderInjector(headers));
    }
}
