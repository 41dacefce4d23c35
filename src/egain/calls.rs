//! A call as a whole: budget, token, exchange, and trying again where that is safe and worth it.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use http::StatusCode;
use reqwest::RequestBuilder;
use url::Url;

use super::Config;
use super::answer::{Answer, exchange};
use super::budget::{Budget, Kind, Turn};
use super::quota::Month;
use super::token::{Token, Tokens};
use crate::signals::metrics::Metrics;
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

/// More than a burst of calls keeps busy: a connection that is made for one call and then closed costs more than the call.
const IDLE_CONNECTIONS: usize = 64;

/// Everything a call needs.
pub struct Calls {
    http: reqwest::Client,
    /// Where assets are, parsed once.
    assets_url: Url,
    pub(super) tokens: Tokens,
    assets: Arc<Budget>,
    other: Arc<Budget>,
    month: Option<Month>,
    longest_wait: Duration,
    metrics: Arc<Metrics>,
}

impl Calls {
    pub(super) fn new(config: Config, metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent(concat!("asset-gateway/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let budget = |rate, routes| {
            let waited = metrics.upstream_budget_wait.with_label_values(&[routes]);
            Budget::new(rate, config.budget_wait, waited, metrics.upstream_budget_tokens.with_label_values(&[routes]))
        };
        let used = |routes| metrics.upstream_quota_used.with_label_values(&[routes]);
        Ok(Self {
            month: config.quota.map(|quota| Month::new(quota, used("assets"), used("other"))),
            tokens: Tokens::new(http.clone(), config.credentials, metrics.clone()),
            assets_url: assets_url(config.base_url),
            assets: budget(config.assets, "assets"),
            other: budget(config.other, "other"),
            longest_wait: config.budget_wait,
            http,
            metrics,
        })
    }

    /// Makes a call, up to three times where eGain was unreachable, busy or broken. Says also how long it queued.
    ///
    /// It is the claimant's turn in the budget that is used. `receive` takes every answer over, also one whose caller has
    /// left meanwhile: eGain did what was asked of it.
    pub(super) async fn make<F, R, T>(
        &self,
        (operation, claimant): (Operation, &Claimant),
        request: F,
        receive: R,
    ) -> Result<(T, Duration), Fault>
    where
        F: Fn(&reqwest::Client, Url) -> RequestBuilder,
        R: Fn(Answer) -> T + Clone + Send + 'static,
        T: Borrow<Answer> + Send + 'static,
    {
        let pauses = ExponentialBuilder::default().with_min_delay(Duration::from_millis(200)).with_max_times(2).with_jitter();
        (|| self.attempt((operation, claimant), &request, &receive))
            .retry(pauses)
            .when(worth_repeating)
            .adjust(|fault: &Fault, pause| {
                let wait = fault.wait().filter(|_| is_busy(fault)).unwrap_or_default();
                pause.map(|pause| pause.max(wait)).filter(|pause| *pause <= self.longest_wait)
            })
            .await
    }

    async fn attempt<F, R, T>(
        &self,
        (operation, claimant): (Operation, &Claimant),
        request: &F,
        receive: &R,
    ) -> Result<(T, Duration), Fault>
    where
        F: Fn(&reqwest::Client, Url) -> RequestBuilder,
        R: Fn(Answer) -> T + Clone + Send + 'static,
        T: Borrow<Answer> + Send + 'static,
    {
        let stage = operation.stage();
        let (mut turn, mut token) = self.turn(operation, claimant).await?;
        let mut queued = turn.queued;
        let send = async |turn: Turn, token: &str| {
            let request = request(&self.http, self.assets_url.clone()).bearer_auth(token);
            let (metrics, receive) = (self.metrics.clone(), receive.clone());
            let exchange = async move { turn.make(exchange(operation.name(), &metrics, stage, request)).await.map(receive) };
            tokio::spawn(exchange).await.expect("nobody aborts an exchange, and none panics")
        };
        let mut received = send(turn, token.expose()).await?;
        if received.borrow().status == StatusCode::UNAUTHORIZED && self.tokens.forget(&token) {
            (turn, token) = self.turn(operation, claimant).await?;
            queued += turn.queued;
            received = send(turn, token.expose()).await?;
        }
        let answer = received.borrow();
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            self.budget(operation).pause(answer.asked_wait().unwrap_or(Duration::from_secs(1)));
        }
        if answer.status.is_success() { Ok((received, queued)) } else { Err(explain(answer, operation, token.expose())) }
    }

    /// All that it takes to make a call: a token, and the call's place in the budget and in the month.
    async fn turn(&self, operation: Operation, claimant: &Claimant) -> Result<(Turn, Arc<Token>), Fault> {
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

fn assets_url(mut base: Url) -> Url {
    base.path_segments_mut().expect("settings take http and https only").pop_if_empty().push("assets");
    base
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
