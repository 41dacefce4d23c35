//! One call from budget to response, and retries where they are safe and worth it (backoff).
//!
//! `POST /assets` is repeated only where eGain has done nothing: no connection was made, or it
//! responded with 429. A load balancer may respond with 504 for an asset that was created, and each
//! repetition would leave one whose id nobody knows. Reads and deletions may be repeated freely.

use std::borrow::Borrow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use http::StatusCode;
use tracing::Instrument;

use super::api_request::ApiRequest;
use super::budget::{Budget, BudgetLimits, CallPermit, CallRate, CallVerdict};
use super::call_error::CallError;
use super::config::EgainConfig;
use super::operation::EgainOperation;
use super::quota::{CallReservation, MonthlyUsage};
use super::response::ApiResponse;
use super::token::{AccessToken, AccessTokens, SignIn, TokenKeeper};
use super::transport::{Transport, TransportError};
use crate::shared_store::{BudgetSize, SharedStore};
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::caller::Principal;
use crate::types::error::Error;

/// Everything a call needs.
pub(super) struct ApiClient {
    transport: Transport,
    /// The base URL without a slash at its end.
    base_url: String,
    pub(super) tokens: AccessTokens,
    assets: Arc<Budget>,
    other: Arc<Budget>,
    tenant: [CallRate; 2],
    replicas: u32,
    usage: Option<Arc<MonthlyUsage>>,
    limits: BudgetLimits,
}

/// What it takes to send one request.
struct SendPermit {
    call: CallPermit,
    reservation: Option<CallReservation>,
    token: Arc<AccessToken>,
}

impl ApiClient {
    pub(super) fn new(
        config: EgainConfig,
        metrics: &Arc<ServiceMetrics>,
    ) -> io::Result<(Self, TokenKeeper<SignIn>)> {
        let transport = Transport::new(
            config.connect_timeout,
            config.request_timeout,
            config.proxy.clone(),
            metrics.clone(),
        )?;
        let limits = BudgetLimits {
            max_wait: config.budget_wait,
            max_pause: config.max_pause,
        };
        let mut usage = None;
        if let Some(quota) = config.quota {
            let used = &metrics.upstream_quota_used;
            let assets = used.with_label_values(&["assets"]);
            let other = used.with_label_values(&["other"]);
            usage = Some(MonthlyUsage::new(quota, assets, other));
        }
        let sign_in = SignIn::over(transport.clone());
        let (tokens, keeper) = AccessTokens::new(sign_in, config.credentials, metrics);
        let client = Self {
            transport,
            base_url: config.base_url.as_str().trim_end_matches('/').to_owned(),
            tokens,
            assets: Budget::new(config.assets, limits, "assets", metrics),
            other: Budget::new(config.other, limits, "other", metrics),
            tenant: config.tenant,
            replicas: config.replicas,
            usage,
            limits,
        };
        client.report_at_scrape(metrics);
        Ok((client, keeper))
    }

    fn report_at_scrape(&self, metrics: &ServiceMetrics) {
        let assets = self.assets.clone();
        let other = self.other.clone();
        let usage = self.usage.clone();
        metrics.at_scrape(move |_| {
            assets.report();
            other.report();
            if let Some(usage) = &usage {
                usage.report();
            }
        });
    }

    /// Shares the budgets with other replicas. Never returns.
    pub(super) async fn keep_shared(&self, store: &SharedStore) {
        let [assets, other] = self.tenant.map(|rate| BudgetSize {
            per_second: rate.per_second,
            burst: rate.burst,
            replicas: self.replicas,
        });
        let month = async {
            if let Some(usage) = &self.usage {
                usage.keep_shared(store.month()).await;
            }
        };
        tokio::join!(
            month,
            self.assets.keep_shared(assets, store.budget("assets")),
            self.other.keep_shared(other, store.budget("other")),
        );
    }

    /// Sends a request, up to three times where that is safe and may help. Returns also how long it
    /// queued.
    ///
    /// The call queues in the budget among the principal's own. `receive` gets every response, also
    /// after the client has disconnected: eGain has carried the operation out.
    pub(super) async fn send<R, T>(
        &self,
        request: &ApiRequest,
        principal: &Principal,
        receive: R,
    ) -> Result<(T, Duration), Error>
    where
        R: Fn(ApiResponse) -> T + Clone + Send + 'static,
        T: Borrow<ApiResponse> + Send + 'static,
    {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_times(2)
            .with_jitter();
        let sent = (|| self.send_once(request, principal, &receive))
            .retry(backoff)
            .when(|failure| failure.retry_in.is_some())
            .adjust(|failure, backoff| {
                let pause = backoff?.max(failure.retry_in.unwrap_or_default());
                // A longer pause would outlast the time that a call may queue.
                if pause <= self.limits.max_wait {
                    Some(pause)
                } else {
                    None
                }
            });
        sent.await.map_err(|failure| failure.error)
    }

    /// Sends a request once, or twice if eGain refuses the token and there may be another one.
    pub(super) async fn send_once<R, T>(
        &self,
        request: &ApiRequest,
        principal: &Principal,
        receive: &R,
    ) -> Result<(T, Duration), CallError>
    where
        R: Fn(ApiResponse) -> T + Clone + Send + 'static,
        T: Borrow<ApiResponse> + Send + 'static,
    {
        let operation = request.operation();
        let mut permit = self.acquire(operation, principal).await?;
        let mut queued = permit.call.queued;
        let mut token = permit.token.clone();
        let mut received = self.send_detached(request, permit, receive).await?;
        if refuses_token(received.borrow()) && self.tokens.refused(&token) {
            permit = self.acquire(operation, principal).await?;
            queued += permit.call.queued;
            token = permit.token.clone();
            received = self.send_detached(request, permit, receive).await?;
            if refuses_token(received.borrow()) {
                // A second refusal is the call's own: the result doesn't matter, only that the
                // token's schedule knows of it.
                let _another = self.tokens.refused(&token);
            }
        }
        let response = received.borrow();
        if response.status.is_success() {
            return Ok((received, queued));
        }
        Err(CallError::refused(
            response,
            operation,
            token.expose(),
            bounded_retry_after(response, self.limits.max_pause),
            self.budget(operation).pause_left(),
        ))
    }

    /// Sends the request in a task of its own that nobody aborts, so that the response is received
    /// even if the client disconnects.
    async fn send_detached<R, T>(
        &self,
        request: &ApiRequest,
        permit: SendPermit,
        receive: &R,
    ) -> Result<T, CallError>
    where
        R: Fn(ApiResponse) -> T + Clone + Send + 'static,
        T: Send + 'static,
    {
        let operation = request.operation();
        let request = request.to_http(&self.base_url, &permit.token);
        let transport = self.transport.clone();
        let max_pause = self.limits.max_pause;
        let receive = receive.clone();
        let exchange = async move {
            let call = transport.send(operation.name(), request);
            let result = permit
                .call
                .run(call, |result| verdict(result, max_pause))
                .await;
            if let Some(reservation) = permit.reservation {
                count(reservation, &result);
            }
            result.map(receive)
        };
        let result = tokio::spawn(exchange.in_current_span())
            .await
            .expect("nobody aborts an exchange, and none panics");
        result.map_err(|error| CallError::transport(&error, operation))
    }

    /// A token, and the call's place in the budget and in the monthly quota.
    async fn acquire(
        &self,
        operation: EgainOperation,
        principal: &Principal,
    ) -> Result<SendPermit, CallError> {
        let permit = self.try_acquire(operation, principal).await;
        permit.map_err(CallError::unsent)
    }

    async fn try_acquire(
        &self,
        operation: EgainOperation,
        principal: &Principal,
    ) -> Result<SendPermit, Error> {
        let (kind, stage) = (operation.kind(), operation.stage());
        if let Some(usage) = &self.usage {
            usage.check(operation)?;
        }
        // The token comes before the queue: no permit is spent on waiting for a token, or on none.
        self.tokens.get(stage).await?;
        let call = self
            .budget(operation)
            .acquire(principal, kind, stage)
            .await?;
        // The token may have been replaced while the call queued.
        let token = self.tokens.get(stage).await?;
        let reservation = match &self.usage {
            Some(usage) => Some(usage.reserve(operation)?),
            None => None,
        };
        Ok(SendPermit {
            call,
            reservation,
            token,
        })
    }

    fn budget(&self, operation: EgainOperation) -> &Arc<Budget> {
        if operation.is_of_assets() {
            &self.assets
        } else {
            &self.other
        }
    }
}

/// Counts the call against the monthly quota, unless no connection was made.
fn count(reservation: CallReservation, result: &Result<ApiResponse, TransportError>) {
    match result {
        Ok(response) => reservation.count(response.clock().theirs()),
        Err(error) if error.is_unsent() => {}
        Err(_) => reservation.count(None),
    }
}

/// A 403 is treated like a 401: the client's rights may have been granted after the token was.
fn refuses_token(response: &ApiResponse) -> bool {
    matches!(
        response.status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    )
}

/// What a call's result means for the calls after it.
fn verdict(result: &Result<ApiResponse, TransportError>, max_pause: Duration) -> CallVerdict {
    match result {
        Ok(response) if response.status == StatusCode::TOO_MANY_REQUESTS => {
            CallVerdict::TooMany(response.retry_after())
        }
        Ok(response) if response.status.is_server_error() => {
            CallVerdict::Failed(bounded_retry_after(response, max_pause))
        }
        Ok(_) => CallVerdict::Taken,
        Err(error) if error.is_unsent() => CallVerdict::Unsent,
        Err(_) => CallVerdict::Failed(None),
    }
}

/// The response's `Retry-After`, at most `max_pause`.
fn bounded_retry_after(response: &ApiResponse, max_pause: Duration) -> Option<Duration> {
    response.retry_after().map(|wait| wait.min(max_pause))
}
