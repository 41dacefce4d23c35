//! HTTP in. The only floor that knows which status a failure has.

mod access_log;
mod accounts;
mod admin;
mod assets;
mod auth;
mod client_ip;
mod content;
mod cors;
mod head_checks;
mod jwt;
mod limits;
mod problem;
mod rate_limit;
mod request_id;
mod route;

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue, SERVER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use serde::Serialize;
use tracing::Instrument;

use crate::accounts::AccountService;
use crate::body::BoxBody;
use crate::body::in_span::InSpan;
use crate::body::observed::ObservedBody;
use crate::body::request_body::{ReadProgress, RequestBody};
use crate::download::DownloadService;
use crate::lifecycle::shutdown::{Shutdown, ShutdownPhase};
use crate::net::server::{InFlightGuard, PeerAddress};
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::caller::{AuthenticatedCaller, Principal};
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::fair_limit::{FairLimit, FairShare, NoRoom};
use crate::upload::UploadService;
use access_log::RequestLog;
pub use admin::AdminService;
use auth::Authenticator;
pub use auth::{ApiKey, AuthConfig};
pub use client_ip::IpRange;
use client_ip::TrustedProxies;
use content::CacheFreshness;
pub use cors::CorsOrigin;
use cors::{CorsPolicy, RequestInitiator};
pub use jwt::{ClaimNames, JwtConfig};
use problem::ErrorResponse;
pub use problem::status;
use request_id::RequestId;
pub use route::routes;
use route::{ApiRouter, MatchedRoute};

/// How downloads are answered unless the caller says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadMode {
    /// With the bytes.
    Stream,
    /// With a redirect to the signed URL.
    Redirect,
}

/// What the front itself decides.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Uploads at one time.
    pub max_uploads: usize,
    /// Downloads at one time.
    pub max_downloads: usize,
    /// How downloads are answered.
    pub download_mode: DownloadMode,
    /// How long callers may keep an asset's bytes.
    pub download_max_age: Duration,
    /// HTML at `/`; without it there is nothing.
    pub home_page: Option<&'static str>,
    /// Who may call.
    pub auth: AuthConfig,
    /// Proxies that are believed whom they speak for.
    pub trusted_proxies: Vec<IpRange>,
    /// Origins of web pages that may call.
    pub cors_origins: Vec<CorsOrigin>,
    /// How callers reach the data listener where no proxy says otherwise: `http` or `https`.
    pub scheme: &'static str,
}

/// Uploads, and downloads, that a caller may always have under way at one time while there is a
/// seat: what a small adapter needs to get on beside one that takes all it gets.
const LEAST_SEATS: u64 = 4;

/// An answer's body, which tells the access log how it ended.
pub type LoggedResponse = ObservedBody<InSpan<BoxBody>, RequestLog>;

/// The caller's body, which keeps its connection's exchange open.
pub type CallerBody = RequestBody<Option<InFlightGuard>>;

/// The data listener's service.
#[derive(Clone)]
pub struct Api(Arc<ApiState>);

struct ApiState {
    router: ApiRouter,
    callers: Authenticator,
    proxies: TrustedProxies,
    cors: CorsPolicy,
    scheme: &'static str,
    upload: UploadService,
    download: DownloadService,
    accounts: AccountService,
    uploads: Arc<FairLimit>,
    downloads: Arc<FairLimit>,
    download_mode: DownloadMode,
    content_freshness: CacheFreshness,
    home_page: &'static str,
    drain: Shutdown,
    metrics: Arc<ServiceMetrics>,
}

impl Api {
    /// The service over the paths.
    ///
    /// # Errors
    /// No HTTPS client can be made to ask for the keys of callers' tokens.
    pub fn new(
        config: &ApiConfig,
        upload: UploadService,
        download: DownloadService,
        accounts: AccountService,
        drain: Shutdown,
        metrics: Arc<ServiceMetrics>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self(Arc::new(ApiState {
            router: ApiRouter::new(config.home_page.is_some()),
            callers: Authenticator::new(&config.auth, &metrics)?,
            proxies: TrustedProxies::new(config.trusted_proxies.clone()),
            cors: CorsPolicy::new(config.cors_origins.clone()),
            scheme: config.scheme,
            upload,
            download,
            accounts,
            uploads: seats(&config.auth, config.max_uploads),
            downloads: seats(&config.auth, config.max_downloads),
            download_mode: config.download_mode,
            content_freshness: CacheFreshness::new(config.download_max_age),
            home_page: config.home_page.unwrap_or_default(),
            drain,
            metrics,
        })))
    }

    /// Keeps fresh what callers are known by, where that can age.
    pub async fn keep_callers_fresh(self) {
        self.0.callers.keep_fresh().await;
    }

    /// Puts these callers' keys in place of all others, from the next request on. Whether that
    /// changes anything.
    pub fn replace_keys(&self, keys: &[ApiKey]) -> bool {
        self.0.callers.replace_keys(keys)
    }

    /// One exchange: named, admitted, routed, answered, and watched until its last byte.
    pub async fn handle(&self, request: Request<Incoming>) -> Response<LoggedResponse> {
        let rooms = &self.0;
        let (head, incoming) = request.into_parts();
        let id = RequestId::of(&head.headers);
        let found = rooms.router.find(&head.method, head.uri.path());
        let mut exchange = RequestLog::begin(
            &rooms.metrics,
            rooms.drain.exchange(),
            &head,
            &id,
            found.as_ref().ok(),
        );
        exchange.came_from(rooms.client(&head));
        let body = RequestBody::new(
            incoming,
            expects_continue(&head),
            head.extensions.get::<InFlightGuard>().cloned(),
        );
        let (version, progress) = (head.version, body.progress());
        let wants_head_only = head.method == Method::HEAD;
        let waits_for_the_body = version < Version::HTTP_2 && client_ip::is_proxied(&head.headers);
        let initiator = rooms.initiator(&head);
        let admitted = head_checks::check(&head)
            .and_then(|()| initiator.admit())
            .map_err(ErrorResponse::from);
        let span = exchange.span();
        let outcome = match admitted.and(found) {
            // In a box, as it is large and would be moved three times.
            Ok(route) => {
                whole(Box::pin(rooms.answer(route, head, body, &mut exchange)))
                    .instrument(span.clone())
                    .await
            }
            Err(refusal) => initiator.preflight(&head, &refusal).ok_or(refusal),
        };
        if waits_for_the_body && !is_too_slow(&outcome) {
            progress.settled().await;
        }
        let mut response = outcome.unwrap_or_else(|refusal| {
            exchange.failed(&refusal.fault);
            problem::answer(&refusal, &id)
        });
        exchange.answered(response.status());
        if wants_head_only {
            strip(&mut response);
        }
        self.sign_off(&mut response, version, &progress, &id);
        rooms.cors.sign(&initiator, response.headers_mut());
        response.map(|frames| ObservedBody::new(InSpan::new(frames, span), exchange))
    }

    /// The headers that every answer has.
    fn sign_off(
        &self,
        response: &mut Response<BoxBody>,
        version: Version,
        progress: &ReadProgress,
        id: &RequestId,
    ) {
        let leaving = self.0.drain.phase() >= ShutdownPhase::Leaving;
        let headers = response.headers_mut();
        headers.insert(request_id::HEADER, id.header());
        headers.insert(SERVER, HeaderValue::from_static("asset-gateway"));
        // HTTP/2 has no such header: its GOAWAY comes from the listener.
        if version < Version::HTTP_2 && (leaving || !progress.has_ended()) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl ApiState {
    /// The client's address, if the connection has one.
    fn client(&self, head: &Parts) -> Option<IpAddr> {
        let PeerAddress(peer) = head.extensions.get()?;
        Some(self.proxies.client(peer.ip(), &head.headers))
    }

    /// Where the request was made.
    fn initiator(&self, head: &Parts) -> RequestInitiator {
        let forwarded = || {
            self.proxies
                .scheme(head.extensions.get::<PeerAddress>()?.0.ip(), &head.headers)
        };
        self.cors
            .initiator(head, forwarded().unwrap_or(self.scheme))
    }

    async fn answer(
        &self,
        route: MatchedRoute,
        head: Parts,
        body: CallerBody,
        exchange: &mut RequestLog,
    ) -> Result<Response<BoxBody>, ErrorResponse> {
        let Some(deed) = route.deed() else {
            return Ok(html(self.home_page));
        };
        let caller = self.callers.identify(&head.headers).await?;
        exchange.identified(&caller);
        auth::permit(&caller, deed)?;
        let by = &Principal::from(&*caller);
        Ok(match route {
            MatchedRoute::Home => html(self.home_page),
            MatchedRoute::Upload => self.upload(caller, head, body, exchange).await?,
            MatchedRoute::Metadata(id) => self.metadata(&id, by, &head).await?,
            MatchedRoute::ContentHead(id) => self.content_head(&id, by, &head).await?,
            MatchedRoute::Content(id) => self.content(&id, &caller, &head, exchange).await?,
            MatchedRoute::Delete(id) => self.delete(&id, by).await?,
            MatchedRoute::ListAccounts => self.list_accounts(&head, by).await?,
            MatchedRoute::CreateAccount => self.create_account(&head, body, by).await?,
            MatchedRoute::Account(id) => self.account(&id, by).await?,
            MatchedRoute::ReplaceAccount(id) => self.replace_account(&id, &head, body, by).await?,
            MatchedRoute::DeleteAccount(id) => self.delete_account(&id, by).await?,
            MatchedRoute::ListChannels => self.list_channels(&head, by).await?,
            MatchedRoute::Channel(id) => self.channel(&id, by).await?,
            MatchedRoute::Limits => self.limits(&caller, &head).await?,
        })
    }

    fn seat(
        seats: &Arc<FairLimit>,
        caller: &AuthenticatedCaller,
        what: &str,
    ) -> Result<FairShare, Error> {
        seats.take(&caller.id, 1).map_err(|why| {
            let detail = match why {
                NoRoom::Full => format!("the gateway has as many {what} under way as it takes: try again shortly"),
                NoRoom::ShareTaken => {
                    format!("the gateway is busy, and this caller has its share of {what} under way: wait until one has ended")
                }
            };
            Error::gateway(ErrorCode::Overloaded, Stage::Admit, detail).retry_after(Duration::from_secs(1))
        })
    }
}

impl Service<Request<Incoming>> for Api {
    type Response = Response<LoggedResponse>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let front = self.clone();
        Box::pin(async move { Ok(front.handle(request).await) })
    }
}

/// Seats for so many transfers, shared among callers where these are known.
fn seats(auth: &AuthConfig, most: usize) -> Arc<FairLimit> {
    match auth {
        AuthConfig::Nobody => FairLimit::unshared(most as u64),
        AuthConfig::Keys(_) | AuthConfig::Jwt(_) => FairLimit::new(most as u64, LEAST_SEATS),
    }
}

/// A defect costs its own exchange an answer, not the others on the connection theirs.
async fn whole<T>(
    answer: impl Future<Output = Result<T, ErrorResponse>>,
) -> Result<T, ErrorResponse> {
    AssertUnwindSafe(answer)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            let detail =
                "the gateway has a defect: report it with the request id; trying again may help";
            Err(Error::gateway(ErrorCode::Internal, Stage::Admit, detail)
                .retryable(true)
                .into())
        })
}

fn expects_continue(head: &Parts) -> bool {
    head.headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether the caller was waited for long enough.
fn is_too_slow<T>(outcome: &Result<T, ErrorResponse>) -> bool {
    outcome
        .as_ref()
        .is_err_and(|refusal| refusal.fault.code() == ErrorCode::ClientTooSlow)
}

/// What a HEAD is told of the body, without the body. hyper would leave it out of HTTP/1.1 unread,
/// as if the caller had left, and send it over HTTP/2.
fn strip(response: &mut Response<BoxBody>) {
    let body = std::mem::replace(response.body_mut(), full(bytes::Bytes::new()));
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        response
            .headers_mut()
            .entry(CONTENT_LENGTH)
            .or_insert(length.into());
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<BoxBody> {
    let mut response = Response::new(full(line(value)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// With a line's end, for people at a terminal.
fn line(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(value).expect("our own answers have string keys");
    text.push(b'\n');
    text
}

fn html(page: &'static str) -> Response<BoxBody> {
    let mut response = Response::new(full(page));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}

fn full(bytes: impl Into<bytes::Bytes>) -> BoxBody {
    BoxBody::new(http_body_util::BodyExt::map_err(
        http_body_util::Full::new(bytes.into()),
        |never| match never {},
    ))
}
