//! [`ApiState`]: what every route works with, and the way from a route to its handler.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use http::request::Parts;

use super::access_log::RequestLog;
use super::auth::{self, AuthConfig, Authenticator};
use super::cache_freshness::CacheFreshness;
use super::client_ip::TrustedProxies;
use super::config::DownloadMode;
use super::cors::{CorsPolicy, RequestInitiator};
use super::problem::ErrorResponse;
use super::route::{ApiOperation, ApiRouter, MatchedRoute};
use super::try_page::TryPage;
use crate::accounts::AccountService;
use crate::body::BoxBody;
use crate::body::min_rate::PaceLimits;
use crate::body::request_body::RequestBody;
use crate::download::DownloadService;
use crate::lifecycle::shutdown::{Shutdown, ShutdownPhase};
use crate::net::server::{InFlightGuard, PeerAddress};
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::caller::{AuthenticatedCaller, Principal};
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::fair_limit::{FairLimit, FairShare, NoRoom};
use crate::upload::UploadService;

/// Uploads, and downloads, that a caller may always have in flight while there is a permit: what a
/// small adapter needs beside one that takes all it gets.
const LEAST_PERMITS: u64 = 4;

/// The request's body, which keeps its connection's request in flight.
pub(super) type CallerBody = RequestBody<Option<InFlightGuard>>;

pub(super) struct ApiState {
    pub(super) router: ApiRouter,
    pub(super) authenticator: Authenticator,
    pub(super) proxies: TrustedProxies,
    pub(super) cors: CorsPolicy,
    pub(super) scheme: &'static str,
    pub(super) upload: UploadService,
    pub(super) download: DownloadService,
    pub(super) accounts: AccountService,
    pub(super) uploads: Arc<FairLimit>,
    pub(super) downloads: Arc<FairLimit>,
    pub(super) min_rate: PaceLimits,
    pub(super) download_mode: DownloadMode,
    pub(super) content_freshness: CacheFreshness,
    pub(super) page: Option<TryPage>,
    pub(super) shutdown: Shutdown,
    pub(super) metrics: Arc<ServiceMetrics>,
}

impl ApiState {
    /// The client's address, if the connection has one.
    pub(super) fn client(&self, head: &Parts) -> Option<IpAddr> {
        let PeerAddress(peer) = head.extensions.get()?;
        Some(self.proxies.client(peer.ip(), &head.headers))
    }

    /// Where the request was made.
    pub(super) fn initiator(&self, head: &Parts) -> RequestInitiator {
        let forwarded = match head.extensions.get() {
            Some(PeerAddress(peer)) => self.proxies.scheme(peer.ip(), &head.headers),
            None => None,
        };
        self.cors.initiator(head, forwarded.unwrap_or(self.scheme))
    }

    /// Authenticates and authorizes the caller, then runs the route.
    pub(super) async fn respond(
        &self,
        route: MatchedRoute,
        head: Parts,
        body: CallerBody,
        request_log: &mut RequestLog,
    ) -> Result<Response<BoxBody>, ErrorResponse> {
        let caller = self.authenticator.identify(&head.headers).await?;
        request_log.identified(&caller);
        auth::authorize(&caller, route.permission)?;
        let by = &Principal::from(&*caller);
        Ok(match route.operation {
            ApiOperation::Upload => self.upload(caller, head, body, request_log).await?,
            ApiOperation::Metadata(id) => self.metadata(&id, by, &head).await?,
            ApiOperation::ContentHead(id) => self.content_head(&id, by, &head).await?,
            ApiOperation::Content(id) => self.content(&id, &caller, &head, request_log).await?,
            ApiOperation::Delete(id) => self.delete(&id, by).await?,
            ApiOperation::ListAccounts => self.list_accounts(&head, by).await?,
            ApiOperation::CreateAccount => self.create_account(&head, body, by).await?,
            ApiOperation::Account(id) => self.account(&id, by).await?,
            ApiOperation::ReplaceAccount(id) => self.replace_account(&id, &head, body, by).await?,
            ApiOperation::DeleteAccount(id) => self.delete_account(&id, by).await?,
            ApiOperation::ListChannels => self.list_channels(&head, by).await?,
            ApiOperation::Channel(id) => self.channel(&id, by).await?,
            ApiOperation::Limits => self.limits(&caller, &head).await?,
            ApiOperation::Page(page) => self.page(page, &head, body).await?,
            ApiOperation::Probe => self.probe(&caller, &head, body, request_log).await?,
        })
    }

    /// Refuses what would only begin while the gateway waits for transfers to end.
    pub(super) fn refuse_while_draining(&self) -> Result<(), Error> {
        if self.shutdown.phase() != ShutdownPhase::Draining {
            return Ok(());
        }
        let detail = "the gateway is about to stop: send it again, another replica will take it";
        Err(Error::gateway(ErrorCode::Draining, Stage::Admit, detail)
            .with_retry_after(Duration::from_secs(1)))
    }

    /// A permit for one transfer, which the response's body holds until its end.
    pub(super) fn acquire_permit(
        permits: &Arc<FairLimit>,
        caller: &AuthenticatedCaller,
        what: &str,
    ) -> Result<FairShare, Error> {
        let detail = match permits.take(&caller.id, 1) {
            Ok(permit) => return Ok(permit),
            Err(NoRoom::Full) => {
                format!("the gateway has as many {what} in flight as it takes: try again shortly")
            }
            Err(NoRoom::ShareTaken) => format!(
                "the gateway is busy, and this caller has its share of {what} in flight: \
                 wait until one has ended"
            ),
        };
        Err(Error::gateway(ErrorCode::Overloaded, Stage::Admit, detail)
            .with_retry_after(Duration::from_secs(1)))
    }
}

/// Permits for `most` transfers, shared among callers where these are known.
pub(super) fn permits(auth: &AuthConfig, most: usize) -> Arc<FairLimit> {
    match auth {
        AuthConfig::Nobody => FairLimit::unshared(most as u64),
        AuthConfig::Keys(_) | AuthConfig::Jwt(_) => FairLimit::new(most as u64, LEAST_PERMITS),
    }
}
