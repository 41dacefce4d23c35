//! HTTP in. The only layer that knows which status an error has.

mod access_log;
mod accounts;
mod admin;
mod assets;
mod auth;
mod buffering;
mod cache_freshness;
mod client_ip;
mod config;
mod content;
mod cors;
mod head_checks;
mod jwt;
mod limits;
mod page;
mod probe;
mod problem;
mod rate_limit;
mod request_id;
mod response;
mod route;
mod state;
mod try_page;

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use http::header::{CONNECTION, EXPECT, HeaderValue, SERVER};
use http::request::Parts;
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use tracing::Instrument;

use crate::accounts::AccountService;
use crate::body::BoxBody;
use crate::body::in_span::InSpan;
use crate::body::observed::ObservedBody;
use crate::body::request_body::{ReadProgress, RequestBody};
use crate::download::DownloadService;
use crate::lifecycle::shutdown::{Shutdown, ShutdownPhase};
use crate::net::server::InFlightGuard;
use crate::shared_store::{AssetDeletion, DeletionFeed};
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::error::{Error, ErrorCode, Stage};
use crate::upload::UploadService;
pub use access_log::LoggedResponse;
use access_log::RequestLog;
pub use admin::AdminService;
use auth::Authenticator;
pub use auth::{ApiKey, AuthConfig};
use buffering::BufferingDetector;
use cache_freshness::CacheFreshness;
pub use client_ip::IpRange;
use client_ip::TrustedProxies;
pub use config::{ApiConfig, DownloadMode};
pub use cors::CorsOrigin;
use cors::{CorsPolicy, RequestInitiator};
pub use jwt::{ClaimNames, JwtConfig};
use problem::ErrorResponse;
pub use problem::{PROBLEM_TYPES, status};
use request_id::RequestId;
use response::drop_body_for_head;
pub use route::routes;
use route::{ApiOperation, ApiRouter};
use state::{ApiState, permits};
pub use try_page::{PageFile, SandboxControl, TryPage};

/// The data listener's service.
#[derive(Clone)]
pub struct ApiService(Arc<ApiState>);

impl ApiService {
    /// The service over the paths.
    ///
    /// # Errors
    /// No HTTPS client can be made to fetch the keys of callers' tokens.
    pub fn new(
        config: &ApiConfig,
        upload: UploadService,
        download: DownloadService,
        accounts: AccountService,
        shutdown: Shutdown,
        metrics: Arc<ServiceMetrics>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self(Arc::new(ApiState {
            router: ApiRouter::new(config.page.is_some()),
            authenticator: Authenticator::new(&config.auth, &metrics)?,
            proxies: TrustedProxies::new(config.trusted_proxies.clone()),
            cors: CorsPolicy::new(config.cors_origins.clone()),
            scheme: config.scheme,
            upload,
            download,
            accounts,
            uploads: permits(&config.auth, config.max_uploads),
            downloads: permits(&config.auth, config.max_downloads),
            min_rate: config.min_rate,
            buffering: BufferingDetector::new(&metrics),
            download_mode: config.download_mode,
            content_freshness: CacheFreshness::new(config.download_max_age),
            page: config.page.clone(),
            shutdown,
            metrics,
        })))
    }

    /// Refreshes the issuer's keys, where callers have tokens.
    pub async fn keep_callers_fresh(self) {
        self.0.authenticator.keep_fresh().await;
    }

    /// Follows what other replicas have deleted. Never returns.
    pub async fn follow_deletions(self, mut feed: DeletionFeed) {
        loop {
            let AssetDeletion { id, is_certain } = feed.next().await;
            self.0.download.forget(&id).await;
            if is_certain {
                self.0.upload.forget(&id);
            }
        }
    }

    /// Puts these callers' keys in place of all others, from the next request on. Whether that
    /// changes anything.
    pub fn replace_keys(&self, keys: &[ApiKey]) -> bool {
        self.0.authenticator.replace_keys(keys)
    }

    /// One request: it gets an id, is checked, routed and responded to, and is observed until its
    /// last byte.
    pub async fn handle(&self, request: Request<Incoming>) -> Response<LoggedResponse> {
        let state = &self.0;
        let (head, incoming) = request.into_parts();
        let id = RequestId::of(&head.headers);
        let found = state.router.find(&head.method, head.uri.path());
        let mut request_log = RequestLog::begin(
            &state.metrics,
            state.shutdown.track_request(),
            &head,
            &id,
            found.as_ref().ok(),
        );
        request_log.came_from(state.client(&head));
        let mut body = RequestBody::new(
            incoming,
            expects_continue(&head),
            head.extensions.get::<InFlightGuard>().cloned(),
        );
        if let Ok(route) = &found
            && route.operation == ApiOperation::Upload
        {
            body.watch_arrival(state.buffering.watch(&head));
        }
        let version = head.version;
        let progress = body.progress();
        let wants_head_only = head.method == Method::HEAD;
        let waits_for_the_body = version < Version::HTTP_2 && client_ip::is_proxied(&head.headers);
        let initiator = state.initiator(&head);
        let admitted = check(&head, &initiator);
        let span = request_log.span();
        let outcome = match admitted.and(found) {
            // In a box, as it is large and would be moved three times.
            Ok(route) => {
                catch_panic(Box::pin(state.respond(route, head, body, &mut request_log)))
                    .instrument(span.clone())
                    .await
            }
            Err(refusal) => initiator.preflight(&head, &refusal).ok_or(refusal),
        };
        if waits_for_the_body && !is_too_slow(&outcome) {
            progress.finished().await;
        }
        let mut response = response_of(outcome, &mut request_log, &id);
        if wants_head_only {
            drop_body_for_head(&mut response);
        }
        self.set_common_headers(&mut response, version, &progress, &id);
        state.cors.set_headers(&initiator, response.headers_mut());
        response.map(|frames| ObservedBody::new(InSpan::new(frames, span), request_log))
    }

    /// The headers that every response has.
    fn set_common_headers(
        &self,
        response: &mut Response<BoxBody>,
        version: Version,
        progress: &ReadProgress,
        id: &RequestId,
    ) {
        let leaving = self.0.shutdown.phase() >= ShutdownPhase::NotReady;
        let headers = response.headers_mut();
        headers.insert(request_id::HEADER, id.header());
        headers.insert(SERVER, HeaderValue::from_static("asset-gateway"));
        // HTTP/2 has no such header: its GOAWAY comes from the listener.
        if version < Version::HTTP_2 && (leaving || !progress.has_ended()) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl Service<Request<Incoming>> for ApiService {
    type Response = Response<LoggedResponse>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { Ok(api.handle(request).await) })
    }
}

/// A panic becomes an error of its own request; the others on the connection go on.
async fn catch_panic<T>(
    response: impl Future<Output = Result<T, ErrorResponse>>,
) -> Result<T, ErrorResponse> {
    let Ok(result) = AssertUnwindSafe(response).catch_unwind().await else {
        let detail =
            "the gateway has a defect: report it with the request id; trying again may help";
        return Err(Error::gateway(ErrorCode::Internal, Stage::Admit, detail)
            .with_retryable(true)
            .into());
    };
    result
}

/// The response, or the problem document of an error; the log has both.
fn response_of(
    outcome: Result<Response<BoxBody>, ErrorResponse>,
    request_log: &mut RequestLog,
    id: &RequestId,
) -> Response<BoxBody> {
    let response = match outcome {
        Ok(response) => response,
        Err(refusal) => {
            request_log.failed(&refusal.error);
            problem::response(&refusal, id)
        }
    };
    request_log.responded(response.status());
    response
}

/// Refuses a malformed head, and web pages that may not call.
fn check(head: &Parts, initiator: &RequestInitiator) -> Result<(), ErrorResponse> {
    head_checks::check(head)?;
    initiator.admit()?;
    Ok(())
}

fn expects_continue(head: &Parts) -> bool {
    match head.headers.get(EXPECT) {
        Some(value) => value.as_bytes().eq_ignore_ascii_case(b"100-continue"),
        None => false,
    }
}

/// Whether the caller was waited for long enough.
fn is_too_slow<T>(outcome: &Result<T, ErrorResponse>) -> bool {
    match outcome {
        Err(refusal) => refusal.error.code() == ErrorCode::ClientTooSlow,
        Ok(_) => false,
    }
}
