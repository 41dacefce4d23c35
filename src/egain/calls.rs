//! A call as a whole: budget, token, exchange, and trying again where that is safe and worth it.

use std::borrow::Borrow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use url::Url;

use super::Config;
use super::answer::Answer;
use super::budget::{Budget, Kind, Turn};
use super::line::Line;
use super::quota::Month;
use super::token::{AccessToken, AccessTokens, SignIn, TokenKeeper};
use crate::signals::metrics::Metrics;
use crate::words::asset::AssetId;
use crate::words::caller::Claimant;
use crate::words::fault::{Code, Fault, Stage};

/// What is asked of eGain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `POST /assets`.
    Create,
    /// `GET /assets/{id}`.
    Get,
    /// `DELETE /assets/{id}`.
    Delete,
}

impl Operation {
    /// Each one, in the order of its number.
    pub const ALL: [Self; 3] = [Self::Create, Self::Get, Self::Delete];

    /// The label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create_asset",
            Self::Get => "get_asset",
            Self::Delete => "delete_asset",
        }
    }

    const fn stage(self) -> Stage {
        match self {
            Self::Create | Self::Get => Stage::Sign,
            Self::Delete => Stage::Delete,
        }
    }

    /// Whether eGain counts it among the calls to `/assets`, and not to all other routes.
    pub const fn is_of_assets(self) -> bool {
        matches!(self, Self::Create | Self::Get)
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Create | Self::Delete => Kind::Write,
            Self::Get => Kind::Read,
        }
    }
}

/// An operation with all that it says.
pub enum Question {
    /// `POST /assets`, with this body.
    Create(Bytes),
    /// `GET /assets/{id}`.
    Get(AssetId),
    /// `DELETE /assets/{id}`.
    Delete(AssetId),
}

impl Question {
    const fn operation(&self) -> Operation {
        match self {
            Self::Create(_) => Operation::Create,
            Self::Get(_) => Operation::Get,
            Self::Delete(_) => Operation::Delete,
        }
    }

    /// As a request to `assets`, where assets are.
    fn request(&self, assets: &Uri, token: &AccessToken) -> Request<Bytes> {
        let below = |id| format!("{assets}/{id}").parse().expect("an id can stand in a path");
        let (method, uri, body) = match self {
            Self::Create(body) => (Method::POST, assets.clone(), body.clone()),
            Self::Get(id) => (Method::GET, below(id), Bytes::new()),
            Self::Delete(id) => (Method::DELETE, below(id), Bytes::new()),
        };
        let mut request = Request::new(body);
        if matches!(self, Self::Create(_)) {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request.headers_mut().insert(AUTHORIZATION, token.header());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request
    }
}

/// Everything a call needs.
pub struct Calls {
    line: Line,
    /// Where assets are.
    assets_uri: Uri,
    pub(super) tokens: AccessTokens,
    assets: Arc<Budget>,
    other: Arc<Budget>,
    month: Option<Month>,
    longest_wait: Duration,
}

impl Calls {
    pub(super) fn new(config: Config, metrics: Arc<Metrics>) -> io::Result<(Self, TokenKeeper<SignIn>)> {
        let line = Line::new(config.connect_timeout, config.request_timeout, metrics.clone())?;
        let budget = |rate, routes| {
            let waited = metrics.upstream_budget_wait.with_label_values(&[routes]);
            Budget::new(rate, config.budget_wait, waited, metrics.upstream_budget_tokens.with_label_values(&[routes]))
        };
        let used = |routes| metrics.upstream_quota_used.with_label_values(&[routes]);
        let (tokens, keeper) = AccessTokens::new(SignIn::over(line.clone()), config.credentials, &metrics);
        let calls = Self {
            month: config.quota.map(|quota| Month::new(quota, used("assets"), used("other"))),
            tokens,
            assets_uri: assets_uri(config.base_url),
            assets: budget(config.assets, "assets"),
            other: budget(config.other, "other"),
            longest_wait: config.budget_wait,
            line,
        };
        Ok((calls, keeper))
    }

    /// Makes a call, up to three times where eGain was unreachable, busy or broken. Says also how long it queued.
    ///
    /// It is the claimant's turn in the budget that is used. `receive` takes every answer over, also one whose caller has
    /// left meanwhile: eGain did what was asked of it.
    pub(super) async fn make<R, T>(&self, question: &Question, claimant: &Claimant, receive: R) -> Result<(T, Duration), Fault>
    where
        R: Fn(Answer) -> T + Clone + Send + 'static,
        T: Borrow<Answer> + Send + 'static,
    {
        let pauses = ExponentialBuilder::default().with_min_delay(Duration::from_millis(200)).with_max_times(2).with_jitter();
        (|| self.attempt(question, claimant, &receive))
            .retry(pauses)
            .when(worth_repeating)
            .adjust(|fault: &Fault, pause| {
                let wait = fault.wait().filter(|_| is_busy(fault)).unwrap_or_default();
                pause.map(|pause| pause.max(wait)).filter(|pause| *pause <= self.longest_wait)
            })
            .await
    }

    async fn attempt<R, T>(&self, question: &Question, claimant: &Claimant, receive: &R) -> Result<(T, Duration), Fault>
    where
        R: Fn(Answer) -> T + Clone + Send + 'static,
        T: Borrow<Answer> + Send + 'static,
    {
        let operation = question.operation();
        let stage = operation.stage();
        let (mut turn, mut token) = self.turn(operation, claimant).await?;
        let mut queued = turn.queued;
        let send = async |turn: Turn, token: &AccessToken| {
            let request = question.request(&self.assets_uri, token);
            let (line, receive) = (self.line.clone(), receive.clone());
            let exchange = async move { turn.make(line.exchange(operation.name(), stage, request)).await.map(receive) };
            tokio::spawn(exchange).await.expect("nobody aborts an exchange, and none panics")
        };
        let mut received = send(turn, &token).await?;
        if refuses_token(received.borrow()) && self.tokens.refused(&token) {
            (turn, token) = self.turn(operation, claimant).await?;
            queued += turn.queued;
            received = send(turn, &token).await?;
            if refuses_token(received.borrow()) {
                let _noted_as_no_fault_of_the_tokens = self.tokens.refused(&token);
            }
        }
        let answer = received.borrow();
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            self.budget(operation).pause(answer.asked_wait().unwrap_or(Duration::from_secs(1)));
        }
        if answer.status.is_success() { Ok((received, queued)) } else { Err(explain(answer, operation, token.expose())) }
    }

    /// All that it takes to make a call: a token, and the call's place in the budget and in the month.
    async fn turn(&self, operation: Operation, claimant: &Claimant) -> Result<(Turn, Arc<AccessToken>), Fault> {
        self.month.as_ref().map_or(Ok(()), |month| month.check(operation))?;
        // Signed in before it queues: nobody's turn is spent on waiting for a token, or on none.
        self.tokens.get(operation.stage()).await?;
        let turn = self.budget(operation).spend(claimant, operation.kind()).await?;
        let token = self.tokens.get(operation.stage()).await?;
        self.month.as_ref().map_or(Ok(()), |month| month.count(operation))?;
        Ok((turn, token))
    }

    fn budget(&self, operation: Operation) -> &Arc<Budget> {
        if operation.is_of_assets() { &self.assets } else { &self.other }
    }
}

fn assets_uri(base: Url) -> Uri {
    let base = base.as_str().trim_end_matches('/');
    format!("{base}/assets").parse().expect("settings take URLs of http and https only")
}

/// A time-out is not repeated: it has used up the caller's patience, and eGain may have done it after all.
fn worth_repeating(fault: &Fault) -> bool {
    let upstream = fault.upstream_answer().and_then(|answer| answer.status);
    match fault.code() {
        Code::UpstreamUnavailable => true,
        Code::UpstreamBudget => is_busy(fault),
        Code::UpstreamError => upstream.is_some_and(|status| status >= 500),
        _ => false,
    }
}

/// A token without the rights it needs is as good as none: they may have come later than the token.
fn refuses_token(answer: &Answer) -> bool {
    matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Whether it was eGain that said "too many".
fn is_busy(fault: &Fault) -> bool {
    fault.upstream_answer().is_some_and(|answer| answer.status == Some(429))
}

/// What a refusal means for the caller.
fn explain(answer: &Answer, operation: Operation, token: &str) -> Fault {
    let stage = operation.stage();
    let said = answer.said(token);
    let fault = match (answer.status.as_u16(), said.code.as_deref()) {
        (_, Some("400-765")) => {
            let detail = "eGain found malicious content in this asset: it can't be used";
            Fault::caller(Code::ContentRejected, stage, detail)
        }
        (_, Some("400-766")) => {
            let detail = "the asset isn't available yet, eGain is still checking it: try again";
            Fault::egain(Code::AssetPending, stage, detail).retry_after(Duration::from_secs(5))
        }
        (404, _) if operation != Operation::Create => {
            Fault::caller(Code::NotFound, stage, "eGain knows no asset with this id: check the id, assets don't live for ever")
        }
        (409, _) => {
            Fault::caller(Code::Conflict, stage, "eGain refuses this in the asset's present state, as when a message uses it")
        }
        (401 | 403, _) => {
            let detail = "eGain refuses the gateway's token: an operator must check the client's scopes";
            Fault::gateway(Code::UpstreamError, stage, detail)
        }
        (429, _) => {
            let wait = answer.asked_wait().unwrap_or(Duration::from_secs(1));
            let detail = "eGain says that the tenant's allowance of calls is used up: try again later";
            Fault::egain(Code::UpstreamBudget, stage, detail).retry_after(wait)
        }
        (502..=504, _) => {
            let wait = answer.asked_wait().unwrap_or(Duration::from_secs(5));
            Fault::egain(Code::UpstreamUnavailable, stage, "eGain is down for now: try again later").retry_after(wait)
        }
        (500.., _) => {
            let detail = "eGain failed: try again; if it lasts, ask eGain's support, giving the request id";
            Fault::egain(Code::UpstreamError, stage, detail).retryable(true)
        }
        _ => {
            let detail = "eGain refused the call: see upstream.code and upstream.developerMessage";
            Fault::egain(Code::UpstreamError, stage, detail)
        }
    };
    fault.upstream(said)
}
