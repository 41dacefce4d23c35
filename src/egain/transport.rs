//! The HTTP transport to eGain: sends one request and reads its whole response in time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use tokio::time::timeout;
use tracing::Instrument;

use super::response::ApiResponse;
use crate::body::BoxBody;
use crate::net::client::{ClientConfig, HttpClient, SendError};
use crate::net::egress_proxy::EgressProxy;
use crate::telemetry::metrics::ServiceMetrics;
use crate::telemetry::traces::{self, stage_span};
use crate::telemetry::upstream::UpstreamOutcome;
use crate::types::dual_instant::DualInstant;
use crate::types::error::{Error, ErrorCode, Stage};

/// The longest response that is read, in bytes; an asset's is under 2 KiB.
const LONGEST_RESPONSE: usize = 256 * 1024;

/// How long an idle connection waits for the next call: a handshake takes as long as a call.
/// Usual load balancers close idle connections after a minute, and a call that is sent at that
/// moment is lost.
const IDLE: Duration = Duration::from_secs(50);

/// More connections than a burst of calls uses: a connection that is made for one call and then
/// closed costs more than the call.
const IDLE_CONNECTIONS: usize = 64;

/// Connections to eGain and to its token endpoint. Their addresses aren't restricted: they come
/// from the settings.
#[derive(Clone)]
pub(super) struct Transport {
    http: HttpClient<GaiResolver>,
    /// From sending a request to the end of its response.
    limit: Duration,
    metrics: Arc<ServiceMetrics>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    /// It took longer than the time limit.
    #[error("it takes too long")]
    Late,
    /// No response head came.
    #[error(transparent)]
    Unanswered(#[from] SendError),
    /// The response body broke off.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl Transport {
    /// # Errors
    /// The machine has no CA certificates.
    pub(super) fn new(
        connect_timeout: Duration,
        limit: Duration,
        proxy: EgressProxy,
        metrics: Arc<ServiceMetrics>,
    ) -> io::Result<Self> {
        let config = ClientConfig {
            connect_timeout,
            idle_timeout: IDLE,
            max_idle: IDLE_CONNECTIONS,
            proxy,
        };
        Ok(Self {
            http: HttpClient::new(config, GaiResolver::new())?,
            limit,
            metrics,
        })
    }

    /// Sends a request and reads the whole response, whatever its status. A sister API refuses
    /// calls without `Accept` and `Accept-Language`, and eGain's own client sends both with every
    /// call, also to sign in.
    pub(super) async fn exchange(
        &self,
        operation: &str,
        stage: Stage,
        request: Request<Bytes>,
    ) -> Result<ApiResponse, Error> {
        self.send(operation, request)
            .await
            .map_err(|error| error.explain(stage))
    }

    /// The same with the reason why there is no response.
    pub(super) async fn send(
        &self,
        operation: &str,
        mut request: Request<Bytes>,
    ) -> Result<ApiResponse, TransportError> {
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("application/json"));
        request
            .headers_mut()
            .insert(ACCEPT_LANGUAGE, HeaderValue::from_static("en-us"));
        let span = stage_span!("call eGain", otel.name = operation, otel.kind = "client");
        traces::hand_on(&span, request.headers_mut());
        let began = tokio::time::Instant::now();
        let result = timeout(self.limit, self.receive(request))
            .instrument(span.clone())
            .await
            .unwrap_or(Err(TransportError::Late));
        traces::end_call(&span, result.as_ref().ok().map(|response| response.status));
        self.metrics.record_upstream(
            operation,
            began,
            match &result {
                Ok(response) => UpstreamOutcome::Responded(response.status),
                Err(error) if error.is_timeout() => UpstreamOutcome::TimedOut,
                Err(_) => UpstreamOutcome::Failed,
            },
        );
        result
    }

    async fn receive(&self, request: Request<Bytes>) -> Result<ApiResponse, TransportError> {
        let request =
            request.map(|body| BoxBody::new(Full::new(body).map_err(|never| match never {})));
        let response = self.http.send(request).await?;
        let received = DualInstant::now();
        let (head, body) = response.into_parts();
        let (body, is_cut) = read(body).await?;
        Ok(ApiResponse {
            status: head.status,
            headers: head.headers,
            body,
            received,
            is_cut,
        })
    }

    /// The metrics that requests are counted in.
    pub(super) fn metrics(&self) -> &ServiceMetrics {
        &self.metrics
    }
}

/// Reads the body up to [`LONGEST_RESPONSE`]. Returns also whether there was more.
async fn read(mut body: Incoming) -> Result<(Bytes, bool), hyper::Error> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let room = LONGEST_RESPONSE - all.len();
        all.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((all.freeze(), true));
        }
    }
    Ok((all.freeze(), false))
}

impl TransportError {
    /// Whether no connection was made: the peer hasn't seen anything of the request.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(self, Self::Unanswered(error) if error.is_connect())
    }

    /// Whether it took too long.
    pub(super) fn is_timeout(&self) -> bool {
        match self {
            Self::Late => true,
            Self::Unanswered(error) => error.is_timeout(),
            Self::Broken(_) => false,
        }
    }

    /// What it means for the client.
    pub(super) fn explain(&self, stage: Stage) -> Error {
        if self.is_timeout() && !self.is_unsent() {
            return Error::egain(
                ErrorCode::UpstreamTimeout,
                stage,
                "eGain didn't respond in time: try again",
            )
            .because(self);
        }
        let detail = "eGain can't be reached: try again; if it lasts, an operator must check \
                      egain.base_url, egain.token_url and the network";
        Error::egain(ErrorCode::UpstreamUnavailable, stage, detail)
            .with_retry_after(Duration::from_secs(5))
            .because(self)
    }
}
