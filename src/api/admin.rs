//! The admin listener: for probes, scrapers and operators, outside the limits that it reports on.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
use serde_json::json;

use super::response::{full, json as json_response};
use crate::body::BoxBody;
use crate::egain::{EgainClient, OrphanQueue};
use crate::lifecycle::shutdown::{Shutdown, ShutdownPhase};
use crate::shared_store::SharedStore;
use crate::telemetry::metrics::ServiceMetrics;

/// The admin listener's service.
#[derive(Clone)]
pub struct AdminService {
    metrics: Arc<ServiceMetrics>,
    shutdown: Shutdown,
    egain: EgainClient,
    orphans: OrphanQueue,
    shared_store: Option<SharedStore>,
}

impl AdminService {
    /// A service that reports on these.
    pub fn new(
        metrics: Arc<ServiceMetrics>,
        shutdown: Shutdown,
        egain: EgainClient,
        orphans: OrphanQueue,
        shared_store: Option<SharedStore>,
    ) -> Self {
        Self {
            metrics,
            shutdown,
            egain,
            orphans,
            shared_store,
        }
    }

    fn respond(&self, request: &Request<Incoming>) -> Response<BoxBody> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = bare(StatusCode::METHOD_NOT_ALLOWED);
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/livez" => json_response(StatusCode::OK, &json!({ "status": "alive" })),
            "/readyz" => self.readiness(),
            "/metrics" => self.metrics(),
            "/orphans" => json_response(StatusCode::OK, &json!({ "orphans": self.orphans.list() })),
            _ => bare(StatusCode::NOT_FOUND),
        }
    }

    /// Never false because eGain, storage or the shared store is down: taking the gateway out of
    /// service would help nobody.
    fn readiness(&self) -> Response<BoxBody> {
        let (status, word) = match self.shutdown.phase() {
            ShutdownPhase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
            ShutdownPhase::Serving => (StatusCode::OK, "ready"),
            ShutdownPhase::NotReady | ShutdownPhase::Draining => {
                (StatusCode::SERVICE_UNAVAILABLE, "draining")
            }
        };
        let egain = if self.egain.is_signed_in() {
            "signed in"
        } else {
            "not signed in"
        };
        let mut detail = json!({ "status": word, "egain": egain });
        if let Some(store) = &self.shared_store {
            let store = if store.is_up() { "up" } else { "down" };
            detail["sharedStore"] = store.into();
        }
        json_response(status, &detail)
    }

    fn metrics(&self) -> Response<BoxBody> {
        let mut response = Response::new(full(self.metrics.render()));
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static(prometheus::TEXT_FORMAT),
        );
        response
    }
}

fn bare(status: StatusCode) -> Response<BoxBody> {
    let mut response = Response::new(full(bytes::Bytes::new()));
    *response.status_mut() = status;
    response
}

impl Service<Request<Incoming>> for AdminService {
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        ready(Ok(self.respond(&request)))
    }
}
