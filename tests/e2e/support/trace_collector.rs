//! A collector of traces: takes OTLP as http/protobuf and decodes it with the protocol's own crate.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;

use crate::support::secret_canary;

/// A collector on loopback.
pub(crate) struct TraceCollector {
    pub(crate) addr: SocketAddr,
    received: Arc<Mutex<Vec<(String, ExportTraceServiceRequest)>>>,
}

impl TraceCollector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<_>>>::default();
        let all = received.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let all = all.clone();
                let service = service_fn(move |request| receive(request, all.clone()));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service);
                tokio::spawn(serving);
            }
        });
        Self { addr, received }
    }

    /// The paths that were posted to.
    pub(crate) fn paths(&self) -> Vec<String> {
        let received = self.received.lock();
        received.iter().map(|(path, _)| path.clone()).collect()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (_, request) in &*self.received.lock() {
            for resource in &request.resource_spans {
                for scope in &resource.scope_spans {
                    spans.extend(scope.spans.iter().cloned());
                }
            }
        }
        spans
    }

    /// The names that spans came under as their service.
    pub(crate) fn services(&self) -> Vec<String> {
        let received = self.received.lock();
        let resources = received
            .iter()
            .flat_map(|(_, request)| &request.resource_spans)
            .filter_map(|spans| spans.resource.as_ref());
        resources
            .flat_map(|resource| &resource.attributes)
            .filter(|attribute| attribute.key == "service.name")
            .map(|attribute| {
                text(
                    attribute
                        .value
                        .as_ref()
                        .and_then(|value| value.value.as_ref()),
                )
            })
            .collect()
    }
}

async fn receive(
    request: Request<Incoming>,
    all: Arc<Mutex<Vec<(String, ExportTraceServiceRequest)>>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    secret_canary::search("a trace", &String::from_utf8_lossy(&body));
    let decoded = ExportTraceServiceRequest::decode(body).unwrap();
    all.lock().push((path, decoded));
    Ok(Response::new(Empty::new()))
}

/// An attribute of a span, as text; empty without.
pub(crate) fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|found| found.key == key);
    text(found.and_then(|found| found.value.as_ref()?.value.as_ref()))
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}
