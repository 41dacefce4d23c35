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
use crate::telemetry::traces;
use crate::types::asset::AssetId;
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::fair_limit::FairShare;

/// What is logged for a client that disconnected before the end of its response; nginx has made
/// the number known.
const CLIENT_DISCONNECTED: u16 = 499;

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
    error: Option<Error>,
    ended: bool,
    permit: Option<FairShare>,
    running: Option<InFlightGuard>,
    client: Option<IpAddr>,
    _shutdown_token: TaskTrackerToken,
}

impl RequestLog {
    pub fn begin(
        metrics: &Arc<ServiceMetrics>,
        shutdown_token: TaskTrackerToken,
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
            asset,
            trace_id = Empty,
            otel.name = Empty,
            otel.kind = Empty
        );
        if let Some(trace) =
            traces::begin_request(&span, head.method.as_str(), route, &head.headers)
        {
            span.record("trace_id", trace);
        }
        Self {
            metrics: metrics.clone(),
            span,
            method: head.method.clone(),
            route,
            path: head.uri.path().to_owned(),
            began: Instant::now(),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            sent: 0,
            error: None,
            ended: false,
            permit: None,
            running: head.extensions.get::<InFlightGuard>().cloned(),
            client: None,
            _shutdown_token: shutdown_token,
        }
    }

    /// When its head had come.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// It is known where it comes from.
    pub fn came_from(&mut self, client: Option<IpAddr>) {
        self.client = client;
    }

    /// It is known who calls.
    pub fn identified(&self, caller: &AuthenticatedCaller) {
        self.span.record("caller", caller.id.as_str());
    }

    /// It is known which asset it created.
    pub fn created(&self, id: &AssetId) {
        self.span.record("asset", id.as_str());
    }

    /// The span of everything that is done for it.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Holds a permit until the response's last byte.
    pub fn hold_permit(&mut self, permit: FairShare) {
        self.permit = Some(permit);
    }

    /// It failed.
    pub fn failed(&mut self, error: &Error) {
        if error.is_refusal() {
            self.metrics
                .rejected
                .with_label_values(&[error.code().name()])
                .inc();
        }
        self.error = Some(error.clone());
    }

    /// The response's head is decided.
    pub fn responded(&mut self, status: StatusCode) {
        self.status = status;
        traces::end_request(&self.span, status);
    }

    /// A request that ended before its response was cut off here, or its client has disconnected.
    fn note_cut_off(&mut self) {
        if self.ended || self.error.is_some() {
            return;
        }
        let Some(running) = &self.running else {
            return;
        };
        if running.reader_given_up() {
            let detail = "the client read nothing, or too little, of its response for too long, \
                          and was disconnected";
            self.error = Some(Error::caller(
                ErrorCode::ClientTooSlow,
                Stage::Fetch,
                detail,
            ));
            self.status = StatusCode::REQUEST_TIMEOUT;
        }
    }

    fn outcome(&self) -> u16 {
        match &self.error {
            Some(error) if error.code() == ErrorCode::CallerLeft => CLIENT_DISCONNECTED,
            None if !self.ended => CLIENT_DISCONNECTED,
            _ => self.status.as_u16(),
        }
    }

    fn log(&self, status: u16) {
        let _in_request = self.span.enter();
        // A field without a value is omitted from the line.
        let error = self.error.as_ref();
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
                    code = error.map(|error| error.code().name()),
                    blame = error.map(|error| error.blame().name()),
                    stage = error.map(|error| error.stage().name()),
                    upstream = error.and_then(|error| error.upstream()?.status),
                    detail = error.map(Error::detail),
                    cause = error.and_then(Error::cause),
                    "request completed"
                )
            };
        }
        if error.is_some() && status >= 500 {
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

    fn ended(&mut self, error: Option<&Error>) {
        self.ended = true;
        if let Some(error) = error {
            self.error = Some(error.clone());
        }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.note_cut_off();
        let status = self.outcome();
        self.count(status);
        self.log(status);
    }
}
