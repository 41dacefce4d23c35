//! One request in the access log and the metrics, until the last byte of its response.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{Method, StatusCode};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Span;
use tracing::field::Empty;

use super::request_id::RequestId;
use super::route::MatchedRoute;
use crate::body::BoxBody;
use crate::body::in_span::InSpan;
use crate::body::observed::{BodyObserver, ObservedBody};
use crate::net::server::InFlightGuard;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::AssetId;
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::fair_limit::FairShare;

/// What is logged for a client that disconnected before the end of its response; nginx has made
/// the number known.
const CALLER_LEFT: u16 = 499;

/// Bytes of a path that are logged; the longest of our own has 281.
const LONGEST_PATH: usize = 512;

/// A response's body; the access log is written when it has ended.
pub type LoggedResponse = ObservedBody<InSpan<BoxBody>, RequestLog>;

/// A request in flight. Dropped before its end was reported, its client has disconnected.
pub struct RequestLog {
    metrics: Arc<ServiceMetrics>,
    span: Span,
    method: Method,
    route: &'static str,
    path: String,
    began: Instant,
    status: StatusCode,
    sent: u64,
    fault: Option<Error>,
    ended: bool,
    seat: Option<FairShare>,
    running: Option<InFlightGuard>,
    client: Option<IpAddr>,
    _drain: TaskTrackerToken,
}

impl RequestLog {
    pub fn begin(
        metrics: &Arc<ServiceMetrics>,
        drain: TaskTrackerToken,
        head: &Parts,
        id: &RequestId,
        route: Option<&MatchedRoute>,
    ) -> Self {
        let asset = route.and_then(MatchedRoute::asset).map(AssetId::as_str);
        let route = route.map_or("unmatched", |route| route.template);
        // Of the highest level, so that whatever is logged has the fields of its request.
        let span = tracing::error_span!(
            "request",
            request_id = id.as_str(),
            route,
            caller = Empty,
            asset
        );
        Self {
            metrics: metrics.clone(),
            span,
            method: head.method.clone(),
            route,
            path: head.uri.path().to_owned(),
            began: Instant::now(),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            sent: 0,
            fault: None,
            ended: false,
            seat: None,
            running: head.extensions.get::<InFlightGuard>().cloned(),
            client: None,
            _drain: drain,
        }
    }

    /// It is known where it comes from.
    pub fn came_from(&mut self, client: Option<IpAddr>) {
        self.client = client;
    }

    /// It is known who calls.
    pub fn identified(&self, caller: &AuthenticatedCaller) {
        self.span.record("caller", caller.id.as_str());
    }

    /// It is known which asset it made.
    pub fn made(&self, id: &AssetId) {
        self.span.record("asset", id.as_str());
    }

    /// The span that all belongs to which is done for it.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Holds a seat until the answer's last byte.
    pub fn hold(&mut self, seat: FairShare) {
        self.seat = Some(seat);
    }

    /// It failed.
    pub fn failed(&mut self, fault: &Error) {
        if fault.is_refusal() {
            self.metrics
                .rejected
                .with_label_values(&[fault.code().name()])
                .inc();
        }
        self.fault = Some(fault.clone());
    }

    /// The answer's head is decided.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// Ended before its answer was, it was given up here, or its caller has left.
    fn settle(&mut self) {
        let cut = !self.ended
            && self.fault.is_none()
            && self
                .running
                .as_ref()
                .is_some_and(InFlightGuard::reader_given_up);
        if cut {
            let detail =
                "the client read nothing, or too little, of its response for too long, and was disconnected";
            self.fault = Some(Error::caller(
                ErrorCode::ClientTooSlow,
                Stage::Fetch,
                detail,
            ));
            self.status = StatusCode::REQUEST_TIMEOUT;
        }
    }

    fn outcome(&self) -> u16 {
        let left = self
            .fault
            .as_ref()
            .is_some_and(|fault| fault.code() == ErrorCode::CallerLeft);
        if left || !self.ended && self.fault.is_none() {
            CALLER_LEFT
        } else {
            self.status.as_u16()
        }
    }

    fn log(&self, status: u16) {
        let _in_request = self.span.enter();
        // What there isn't is left out of the line.
        let fault = self.fault.as_ref();
        // A macro, as the level of an event has to be a constant.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    client = self.client.map(tracing::field::display),
                    method = self.method.as_str(),
                    path = shortened(&self.path),
                    status,
                    duration_ms = self.began.elapsed().as_millis() as u64,
                    sent_bytes = self.sent,
                    code = fault.map(|fault| fault.code().name()),
                    blame = fault.map(|fault| fault.blame().name()),
                    stage = fault.map(|fault| fault.stage().name()),
                    upstream = fault.and_then(|fault| fault.upstream()?.status),
                    detail = fault.map(Error::detail),
                    cause = fault.and_then(Error::cause),
                    "request completed"
                )
            };
        }
        if fault.is_some() && status >= 500 {
            line!(warn)
        } else {
            line!(info)
        }
    }

    fn count(&self, status: u16) {
        let method = match self.method {
            Method::GET | Method::HEAD | Method::POST | Method::DELETE => self.method.as_str(),
            _ => "other",
        };
        let status = StatusCode::from_u16(status).unwrap_or(self.status);
        let labels = [self.route, method, status.as_str()];
        self.metrics.http_requests.with_label_values(&labels).inc();
        self.metrics
            .http_request_duration
            .with_label_values(&labels)
            .observe(self.began.elapsed().as_secs_f64());
    }
}

/// As much of a path as one line of the log needs: what waits to be written is counted by lines.
fn shortened(path: &str) -> &str {
    &path[..path.floor_char_boundary(LONGEST_PATH)]
}

impl BodyObserver for RequestLog {
    fn moved(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    fn ended(&mut self, fault: Option<&Error>) {
        self.ended = true;
        if let Some(fault) = fault {
            self.fault = Some(fault.clone());
        }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.settle();
        let status = self.outcome();
        self.count(status);
        self.log(status);
    }
}
