//! `otel.endpoint`: spans by OTLP, and W3C Trace Context in and out.

use std::time::Duration;

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use crate::support::binary::{Running, owned, program, settings};
use crate::support::client::Client;
use crate::support::gateway::{eventually, noise, receipt};
use crate::support::trace_collector::{TraceCollector, attribute};
use crate::support::wiretap::Wiretap;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

struct Traced {
    sandbox: Sandbox,
    gateway: Running,
    collector: TraceCollector,
    egain: Wiretap,
    storage: Wiretap,
    base: String,
}

impl Traced {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let (egain, egains) = Wiretap::bind().await;
        let (storage, storages) = Wiretap::bind().await;
        let sandbox = Sandbox::start(SandboxConfig {
            public_base: Some(format!("http://{}", storage.addr).parse().unwrap()),
            ..SandboxConfig::default()
        })
        .unwrap();
        egain.forward(egains, sandbox.addr());
        storage.forward(storages, sandbox.addr());
        let collector = TraceCollector::start().await;
        let mut own = settings(&sandbox);
        let base_url = format!("http://{}{}", egain.addr, sandbox.base_url().path());
        let hosts = storage.addr.to_string();
        own.extend(owned(&[
            ("EGAIN__BASE_URL", &base_url),
            ("EGAIN__TOKEN_URL", &format!("http://{}/token", egain.addr)),
            ("EGAIN__CONTENT_HOSTS", &hosts),
        ]));
        let mut serve = program(&["serve"], &own);
        serve
            .env(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", collector.addr),
            )
            .env("OTEL_BSP_SCHEDULE_DELAY", "100");
        for (name, value) in variables {
            serve.env(name, value);
        }
        let gateway = Running::start(serve);
        let base = format!("http://{}/v1/assets", gateway.listens().await.0);
        Self {
            sandbox,
            gateway,
            collector,
            egain,
            storage,
            base,
        }
    }

    async fn upload(&self, traceparent: Option<&str>) -> Response {
        let url = format!("{}?channel=sms&name=a.bin", self.base);
        let mut request = Client::with(|builder| builder)
            .post(url)
            .body(noise(100_000, 1));
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        request.send().await.unwrap()
    }

    /// The span with this name, once it has come.
    async fn span(&self, name: &str) -> Span {
        let find = || {
            let mut spans = self.collector.spans().into_iter();
            spans.find(|span| span.name == name)
        };
        assert!(eventually(|| find().is_some()).await, "no {name}");
        find().unwrap()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_one_trace_from_caller_to_egain() {
    let traced = Traced::start(&[("OTEL_SERVICE_NAME", "media")]).await;
    let response = traced
        .upload(Some(&format!("00-{TRACE}-{PARENT}-01")))
        .await;
    let request_id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let asset = receipt(response).await["id"].as_str().unwrap().to_owned();
    let request = traced.span("POST /v1/assets").await;
    assert_eq!(hex(&request.trace_id), TRACE);
    assert_eq!(hex(&request.parent_span_id), PARENT);
    assert_eq!(request.kind(), SpanKind::Server);
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/assets"),
        ("http.response.status_code", "201"),
        ("request_id", &*request_id),
        ("asset", &*asset),
    ] {
        assert_eq!(attribute(&request, key), value, "{key}");
    }
    for (name, kind, status) in [
        ("read", SpanKind::Internal, ""),
        ("budget", SpanKind::Internal, ""),
        ("create_asset", SpanKind::Client, "200"),
        ("send to storage", SpanKind::Client, "201"),
    ] {
        let stage = traced.span(name).await;
        assert_eq!(hex(&stage.trace_id), TRACE, "{name}");
        assert_eq!(hex(&stage.parent_span_id), hex(&request.span_id), "{name}");
        assert_eq!(stage.kind(), kind, "{name}");
        assert_eq!(
            attribute(&stage, "http.response.status_code"),
            status,
            "{name}"
        );
        assert!(
            stage.end_time_unix_nano <= request.end_time_unix_nano,
            "{name}"
        );
    }
    assert!(
        traced
            .collector
            .services()
            .iter()
            .all(|name| name == "media")
    );
    assert!(
        traced
            .collector
            .paths()
            .iter()
            .all(|path| path == "/v1/traces")
    );
    // eGain's call names its own span; a signed URL gets no header that wasn't signed for.
    let call = traced.span("create_asset").await;
    let sent = format!("traceparent: 00-{TRACE}-{}-01\r\n", hex(&call.span_id));
    assert!(traced.egain.sent().contains(&sent));
    assert!(!traced.storage.sent().contains("traceparent"));
    // The log can be searched by the trace, and has nothing else of it.
    let line = |line: &str| line.contains(&request_id).then(|| line.to_owned());
    let line: Value = serde_json::from_str(&traced.gateway.line(line).await).unwrap();
    assert_eq!(line["trace_id"], TRACE);
    assert!(
        line.as_object()
            .unwrap()
            .keys()
            .all(|key| !key.contains('.'))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_marked_as_an_error() {
    let traced = Traced::start(&[]).await;
    traced.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .status(StatusCode::FORBIDDEN)
            .times(10),
    );
    let response = traced.upload(None).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let request = traced.span("POST /v1/assets").await;
    assert_eq!(request.parent_span_id, [0; 0]);
    assert_eq!(attribute(&request, "http.response.status_code"), "502");
    assert_eq!(request.status.as_ref().unwrap().code, 2, "an error");
    let call = traced.span("send to storage").await;
    assert_eq!(call.trace_id, request.trace_id);
    assert_eq!(attribute(&call, "http.response.status_code"), "403");
    assert_eq!(call.status.unwrap().code, 2, "an error");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_isnt_sampled_isnt_exported() {
    let traced = Traced::start(&[("ASSET_GATEWAY_OTEL__SAMPLE_RATIO", "0")]).await;
    for traceparent in [
        None,
        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
    ] {
        assert_eq!(
            traced.upload(traceparent).await.status(),
            StatusCode::CREATED
        );
    }
    // Of three the last is sampled by its caller.
    let sampled = "00-11111111111111111111111111111111-2222222222222222-01";
    assert_eq!(
        traced.upload(Some(sampled)).await.status(),
        StatusCode::CREATED
    );
    let request = traced.span("POST /v1/assets").await;
    assert_eq!(hex(&request.trace_id), "1".repeat(32));
    let traces = traced
        .collector
        .spans()
        .into_iter()
        .map(|span| span.trace_id);
    assert!(traces.into_iter().all(|trace| trace == request.trace_id));
    // The decision goes on to eGain.
    assert!(traced.egain.sent().contains("-00\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_traceparent_begins_a_new_trace() {
    let traced = Traced::start(&[]).await;
    for traceparent in ["nonsense", "00-0-0-01", "00-zz-11-01", ""] {
        let response = traced.upload(Some(traceparent)).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{traceparent}");
    }
    let request = traced.span("POST /v1/assets").await;
    assert_eq!(request.parent_span_id, [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_tracestate_is_handed_on_within_bounds() {
    let traced = Traced::start(&[]).await;
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    let url = format!("{}?channel=sms&name=a.bin", traced.base);
    for (state, is_sent) in [
        ("vendor=short".to_owned(), true),
        ("v=".to_owned() + &"x".repeat(600), false),
    ] {
        let request = Client::with(|builder| builder)
            .post(&url)
            .body(noise(1000, 1));
        let request = request
            .header("traceparent", &sampled)
            .header("tracestate", &state);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(traced.egain.sent().contains(&state), is_sent, "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_exported_at_the_end() {
    let mut traced = Traced::start(&[("OTEL_BSP_SCHEDULE_DELAY", "60000")]).await;
    traced.upload(None).await;
    assert_eq!(traced.collector.spans(), []);
    traced.gateway.signal("TERM");
    assert!(traced.gateway.ending().await.success());
    traced.span("POST /v1/assets").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_collector_costs_no_request() {
    let nobody = [(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "http://127.0.0.1:1/v1/traces",
    )];
    let mut traced = Traced::start(&nobody).await;
    for _ in 0..3 {
        assert_eq!(traced.upload(None).await.status(), StatusCode::CREATED);
    }
    let began = Instant::now();
    traced.gateway.signal("TERM");
    assert!(traced.gateway.ending().await.success());
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_nothing_is_handed_on() {
    let traced = Traced::start(&[("OTEL_SDK_DISABLED", "true")]).await;
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    assert_eq!(
        traced.upload(Some(&sampled)).await.status(),
        StatusCode::CREATED
    );
    assert!(!traced.egain.sent().contains("traceparent"));
    assert_eq!(traced.collector.paths(), [""; 0]);
}
