//! A call as a whole: budget, token, exchange, and trying again where that is safe and worth it.
//!
//! `POST /assets` is repeated only where eGain has done nothing: no connection was made, or it said
//! 429. A load balancer may well answer 504 for an asset that was created, and each repetition
//! would leave one that nobody can name. Reads and deletions may be repeated freely.

use std::borrow::Borrow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use tracing::Instrument;

use super::EgainConfig;
use super::budget::{Budget, BudgetLimits, CallKind, CallPermit, CallVerdict};
use super::own_field::refused_field;
use super::quota::{CallReservation, MonthlyUsage};
use super::response::ApiResponse;
use super::token::{AccessToken, AccessTokens, SignIn, TokenKeeper};
use super::transport::{Transport, TransportError};
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::AssetId;
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::peer_time::LEAST_WAIT;

/// The wait that is told where a failing eGain asks for none.
const USUAL_WAIT: Duration = Duration::from_secs(5);

/// What is asked of eGain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgainOperation {
    /// `POST /assets`.
    Create,
    /// `GET /assets/{id}`.
    Get,
    /// `DELETE /assets/{id}`.
    Delete,
    /// `POST /accounts`.
    CreateAccount,
    /// `GET /accounts`.
    ListAccounts,
    /// `GET /accounts/{id}`.
    GetAccount,
    /// `PUT /accounts/{id}`.
    ReplaceAccount,
    /// `DELETE /accounts/{id}`.
    DeleteAccount,
    /// `GET /channels`.
    ListChannels,
    /// `GET /channels/{id}`.
    GetChannel,
}

impl EgainOperation {
    /// Each one, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Get,
        Self::Delete,
        Self::CreateAccount,
        Self::ListAccounts,
        Self::GetAccount,
        Self::ReplaceAccount,
        Self::DeleteAccount,
        Self::ListChannels,
        Self::GetChannel,
    ];

    /// The label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create_asset",
            Self::Get => "get_asset",
            Self::Delete => "delete_asset",
            Self::CreateAccount => "create_account",
            Self::ListAccounts => "list_accounts",
            Self::GetAccount => "get_account",
            Self::ReplaceAccount => "replace_account",
            Self::DeleteAccount => "delete_account",
            Self::ListChannels => "list_channels",
            Self::GetChannel => "get_channel",
        }
    }

    const fn stage(self) -> Stage {
        match self {
            Self::Create | Self::Get => Stage::Sign,
            Self::Delete => Stage::Delete,
            _ => Stage::Manage,
        }
    }

    /// Whether eGain counts it among the calls to `/assets`, and not to all other routes.
    pub const fn is_of_assets(self) -> bool {
        matches!(self, Self::Create | Self::Get)
    }

    const fn kind(self) -> CallKind {
        match self {
            Self::Create
            | Self::Delete
            | Self::CreateAccount
            | Self::ReplaceAccount
            | Self::DeleteAccount => CallKind::Write,
            Self::Get
            | Self::ListAccounts
            | Self::GetAccount
            | Self::ListChannels
            | Self::GetChannel => CallKind::Read,
        }
    }

    /// Whether doing it twice makes two of something.
    const fn creates(self) -> bool {
        matches!(self, Self::Create | Self::CreateAccount)
    }

    const fn method(self) -> Method {
        match self {
            Self::Create | Self::CreateAccount => Method::POST,
            Self::Get
            | Self::ListAccounts
            | Self::GetAccount
            | Self::ListChannels
            | Self::GetChannel => Method::GET,
            Self::ReplaceAccount => Method::PUT,
            Self::Delete | Self::DeleteAccount => Method::DELETE,
        }
    }
}

/// An operation with all that it says.
pub enum ApiRequest {
    /// `POST /assets`, with this body.
    Create(Bytes),
    /// `GET /assets/{id}`.
    Get(AssetId),
    /// `DELETE /assets/{id}`.
    Delete(AssetId),
    /// One of accounts or channels.
    Manage {
        /// Which.
        operation: EgainOperation,
        /// Below the base URL, with a query where there is one.
        path: String,
        /// JSON, or nothing.
        body: Bytes,
    },
}

impl ApiRequest {
    const fn operation(&self) -> EgainOperation {
        match self {
            Self::Create(_) => EgainOperation::Create,
            Self::Get(_) => EgainOperation::Get,
            Self::Delete(_) => EgainOperation::Delete,
            Self::Manage { operation, .. } => *operation,
        }
    }

    /// As a request to the API, which begins at `base`.
    fn request(&self, base: &str, token: &AccessToken) -> Request<Bytes> {
        let (path, body) = match self {
            Self::Create(body) => ("/assets".to_owned(), body.clone()),
            Self::Get(id) | Self::Delete(id) => (format!("/assets/{id}"), Bytes::new()),
            Self::Manage { path, body, .. } => (path.clone(), body.clone()),
        };
        let has_body = !body.is_empty();
        let mut request = Request::new(body);
        if has_body {
            request
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request.headers_mut().insert(AUTHORIZATION, token.header());
        *request.method_mut() = self.operation().method();
        *request.uri_mut() = format!("{base}{path}")
            .parse()
            .expect("the base is a URL, and ids can stand in a path");
        request
    }
}

/// Everything a call needs.
pub struct ApiClient {
    line: Transport,
    /// Where the API begins, without a slash at its end.
    base: String,
    pub(super) tokens: AccessTokens,
    assets: Arc<Budget>,
    other: Arc<Budget>,
    month: Option<Arc<MonthlyUsage>>,
    limits: BudgetLimits,
}

/// A call that came to nothing.
pub struct CallError {
    /// What to tell.
    pub fault: Error,
    /// Whether eGain was asked at all, and took the call as one that may be made.
    pub attempted: bool,
    /// How long to wait before the same may be asked once more, if it may.
    again: Option<Duration>,
}

/// What it takes to make one call.
struct Permit {
    turn: CallPermit,
    place: Option<CallReservation>,
    token: Arc<AccessToken>,
}

impl ApiClient {
    pub(super) fn new(
        config: EgainConfig,
        metrics: &Arc<ServiceMetrics>,
    ) -> io::Result<(Self, TokenKeeper<SignIn>)> {
        let line = Transport::new(
            config.connect_timeout,
            config.request_timeout,
            metrics.clone(),
        )?;
        let limits = BudgetLimits {
            max_wait: config.budget_wait,
            max_pause: config.max_pause,
        };
        let assets = Budget::new(config.assets, limits, "assets", metrics);
        let other = Budget::new(config.other, limits, "other", metrics);
        let used = |routes| metrics.upstream_quota_used.with_label_values(&[routes]);
        let month = config
            .quota
            .map(|quota| MonthlyUsage::new(quota, used("assets"), used("other")));
        let reported = (assets.clone(), other.clone(), month.clone());
        metrics.at_scrape(move |_| {
            let (assets, other, month) = &reported;
            assets.report();
            other.report();
            month.iter().for_each(|month| month.report());
        });
        let (tokens, keeper) =
            AccessTokens::new(SignIn::over(line.clone()), config.credentials, metrics);
        Ok((
            Self {
                line,
                base: config.base_url.as_str().trim_end_matches('/').to_owned(),
                tokens,
                assets,
                other,
                month,
                limits,
            },
            keeper,
        ))
    }

    /// Makes a call, up to three times where that is safe and may help. Says also how long it
    /// queued.
    ///
    /// It is the claimant's turn in the budget that is used. `receive` takes every answer over,
    /// also one whose caller has left meanwhile: eGain did what was asked of it.
    pub(super) async fn make<R, T>(
        &self,
        question: &ApiRequest,
        claimant: &Principal,
        receive: R,
    ) -> Result<(T, Duration), Error>
    where
        R: Fn(ApiResponse) -> T + Clone + Send + 'static,
        T: Borrow<ApiResponse> + Send + 'static,
    {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_times(2)
            .with_jitter();
        let made = (|| self.make_once(question, claimant, &receive))
            .retry(pauses)
            .when(|failure| failure.again.is_some())
            .adjust(|failure, pause| {
                pause
                    .map(|pause| pause.max(failure.again.unwrap_or_default()))
                    .filter(|pause| *pause <= self.limits.max_wait)
            });
        made.await.map_err(|failure| failure.fault)
    }

    /// Makes a call once, or twice where the token has to be a new one.
    pub(super) async fn make_once<R, T>(
        &self,
        question: &ApiRequest,
        claimant: &Principal,
        receive: &R,
    ) -> Result<(T, Duration), CallError>
    where
        R: Fn(ApiResponse) -> T + Clone + Send + 'static,
        T: Borrow<ApiResponse> + Send + 'static,
    {
        let operation = question.operation();
        let mut permit = self
            .permit(operation, claimant)
            .await
            .map_err(CallError::unasked)?;
        let mut queued = permit.turn.queued;
        let mut token = permit.token.clone();
        let mut received = self.send(question, permit, receive.clone()).await?;
        if refuses_token(received.borrow()) && self.tokens.refused(&token) {
            permit = self
                .permit(operation, claimant)
                .await
                .map_err(CallError::unasked)?;
            queued += permit.turn.queued;
            token = permit.token.clone();
            received = self.send(question, permit, receive.clone()).await?;
            if refuses_token(received.borrow()) {
                let _noted_as_no_fault_of_the_tokens = self.tokens.refused(&token);
            }
        }
        let answer = received.borrow();
        if answer.status.is_success() {
            Ok((received, queued))
        } else {
            Err(self.refused(answer, operation, &token))
        }
    }

    /// In a task of its own: nobody aborts it, so that what eGain has done isn't lost with the
    /// caller.
    async fn send<R, T>(
        &self,
        question: &ApiRequest,
        permit: Permit,
        receive: R,
    ) -> Result<T, CallError>
    where
        R: Fn(ApiResponse) -> T + Send + 'static,
        T: Send + 'static,
    {
        let operation = question.operation();
        let request = question.request(&self.base, &permit.token);
        let (line, max_pause) = (self.line.clone(), self.limits.max_pause);
        let exchange = async move {
            let call = line.send(operation.name(), request);
            let received = permit
                .turn
                .make(call, |received| verdict(received, max_pause))
                .await;
            let seen = !received.as_ref().is_err_and(TransportError::is_unsent);
            if let Some(place) = permit.place.filter(|_| seen) {
                place.count(
                    received
                        .as_ref()
                        .ok()
                        .and_then(|answer| answer.clock().theirs()),
                );
            }
            received.map(receive)
        };
        let received = tokio::spawn(exchange.in_current_span())
            .await
            .expect("nobody aborts an exchange, and none panics");
        received.map_err(|silence| CallError::silence(&silence, operation))
    }

    /// All that it takes to make a call: a token, and the call's place in the budget and in the
    /// month.
    async fn permit(
        &self,
        operation: EgainOperation,
        claimant: &Principal,
    ) -> Result<Permit, Error> {
        self.month
            .as_ref()
            .map_or(Ok(()), |month| month.check(operation))?;
        // Signed in before it queues: nobody's turn is spent on waiting for a token, or on none.
        self.tokens.get(operation.stage()).await?;
        let turn = self
            .budget(operation)
            .spend(claimant, operation.kind(), operation.stage())
            .await?;
        let token = self.tokens.get(operation.stage()).await?;
        let place = self
            .month
            .as_ref()
            .map(|month| month.reserve(operation))
            .transpose()?;
        Ok(Permit { turn, place, token })
    }

    /// eGain said no, or failed.
    fn refused(
        &self,
        answer: &ApiResponse,
        operation: EgainOperation,
        token: &AccessToken,
    ) -> CallError {
        let asked = asked_wait(answer, self.limits.max_pause);
        // What a caller can expect is when the next call may go, whatever eGain has asked for.
        let wait = self
            .budget(operation)
            .pause_left()
            .max(asked.unwrap_or_default());
        let again = match answer.status.as_u16() {
            429 => Some(wait),
            500.. if !operation.creates() => Some(asked.unwrap_or_default()),
            _ => None,
        };
        let wait = (!wait.is_zero()).then_some(wait);
        let fault = explain(answer, operation, token.expose(), wait);
        CallError {
            fault,
            attempted: answer.status != StatusCode::TOO_MANY_REQUESTS,
            again,
        }
    }

    fn budget(&self, operation: EgainOperation) -> &Arc<Budget> {
        if operation.is_of_assets() {
            &self.assets
        } else {
            &self.other
        }
    }
}

impl CallError {
    /// One that isn't worth repeating at once.
    pub fn of(fault: Error, attempted: bool) -> Self {
        Self {
            fault,
            attempted,
            again: None,
        }
    }

    /// There was no token, or no place for it in the budget or the month.
    fn unasked(fault: Error) -> Self {
        Self::of(fault, false)
    }

    /// A time-out is not repeated: it has used up the caller's patience, and eGain may have done it
    /// after all.
    fn silence(silence: &TransportError, operation: EgainOperation) -> Self {
        let may_go_again = silence.is_unsent() || !operation.creates() && !silence.is_timeout();
        let again = may_go_again.then_some(Duration::ZERO);
        Self {
            fault: silence.explain(operation.stage()),
            attempted: true,
            again,
        }
    }
}

/// A token without the rights it needs is as good as none: they may have come later than the token.
fn refuses_token(answer: &ApiResponse) -> bool {
    matches!(
        answer.status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    )
}

/// What a call's end says of those to come.
fn verdict(received: &Result<ApiResponse, TransportError>, max_pause: Duration) -> CallVerdict {
    match received {
        Ok(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => {
            CallVerdict::TooMany(answer.asked_wait())
        }
        Ok(answer) if answer.status.is_server_error() => {
            CallVerdict::Failed(asked_wait(answer, max_pause))
        }
        Ok(_) => CallVerdict::Taken,
        Err(silence) if silence.is_unsent() => CallVerdict::Unsent,
        Err(_) => CallVerdict::Failed(None),
    }
}

/// How long eGain asks us to wait, as far as that is heeded.
fn asked_wait(answer: &ApiResponse, max_pause: Duration) -> Option<Duration> {
    answer.asked_wait().map(|wait| wait.min(max_pause))
}

/// What a refusal means for the caller.
fn explain(
    answer: &ApiResponse,
    operation: EgainOperation,
    token: &str,
    wait: Option<Duration>,
) -> Error {
    let stage = operation.stage();
    let mut said = answer.said(token);
    said.field = refused_field(answer).filter(|_| operation == EgainOperation::Create);
    let fault = match (answer.status.as_u16(), said.code.as_deref()) {
        (_, Some("400-765")) => {
            let detail = "eGain found malicious content in this asset: it can't be used";
            Error::caller(ErrorCode::ContentRejected, stage, detail)
        }
        (_, Some("400-766")) => {
            let detail = "the asset isn't available yet, eGain is still checking it: try again";
            Error::egain(ErrorCode::AssetPending, stage, detail).retry_after(Duration::from_secs(5))
        }
        (404, _) if !operation.creates() => {
            Error::caller(ErrorCode::NotFound, stage, unknown(operation))
        }
        (409, _) => Error::caller(ErrorCode::Conflict, stage, conflict(operation)),
        (401 | 403, _) => {
            let detail =
                "eGain refuses the gateway's token: an operator must check the client's scopes";
            Error::gateway(ErrorCode::UpstreamError, stage, detail)
        }
        (429, _) => {
            let wait = wait.unwrap_or(LEAST_WAIT);
            let detail =
                "eGain says that the tenant's allowance of calls is used up: try again later";
            Error::egain(ErrorCode::UpstreamBudget, stage, detail).retry_after(wait)
        }
        (502..=504, _) => {
            let wait = wait.unwrap_or(USUAL_WAIT);
            Error::egain(
                ErrorCode::UpstreamUnavailable,
                stage,
                "eGain is down for now: try again later",
            )
            .retry_after(wait)
        }
        (500.., _) => {
            let detail =
                "eGain failed: try again; if it lasts, ask eGain's support, giving the request id";
            let fault = Error::egain(ErrorCode::UpstreamError, stage, detail).retryable(true);
            wait.into_iter().fold(fault, Error::retry_after)
        }
        (400, _) if said.field.is_some() => {
            let field = said.field.unwrap_or("field");
            let detail = format!(
                "eGain refuses the {field} of this file: send another one; upstream.developerMessage may say why"
            );
            Error::caller(ErrorCode::InvalidField, stage, detail)
        }
        _ => {
            let detail = "eGain refused the call: see upstream.code and upstream.developerMessage";
            Error::egain(ErrorCode::UpstreamError, stage, detail)
        }
    };
    fault.upstream(said)
}

fn unknown(operation: EgainOperation) -> &'static str {
    match operation {
        EgainOperation::Create | EgainOperation::Get | EgainOperation::Delete => {
            "eGain knows no asset with this id: check the id, assets don't live for ever"
        }
        EgainOperation::ListChannels | EgainOperation::GetChannel => {
            "eGain knows no channel with this id: GET /v1/channels lists those that there are"
        }
        _ => "eGain knows no account with this id: GET /v1/accounts lists those that there are",
    }
}

fn conflict(operation: EgainOperation) -> &'static str {
    match operation {
        EgainOperation::ReplaceAccount => {
            "eGain refuses the change, as when the account was changed meanwhile (modified doesn't match): read it again, and \
             repeat the change on what it is now; see upstream.developerMessage"
        }
        EgainOperation::CreateAccount => {
            "eGain refuses the account, as when its name is taken: see upstream.developerMessage"
        }
        EgainOperation::DeleteAccount => {
            "eGain refuses this in the account's present state: see upstream.developerMessage"
        }
        _ => "eGain refuses this in the asset's present state, as when a message uses it",
    }
}
