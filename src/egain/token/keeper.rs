//! The task that owns the access token.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::schedule::{FailurePace, LEAST_AGE};
use super::sign_in::{TokenGrant, TokenLifetime, TokenSource};
use super::state::{AccessToken, SharedToken, SignInFailure};
use crate::egain::credentials::ClientCredentials;
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::peer_time::LONGEST_TOKEN_LIFE;

/// A token is renewed this long before its expiry; at most a tenth of its lifetime.
const LEAD: Duration = Duration::from_secs(60);
/// A shorter lifetime in a response is ignored, so that a token is replaced no sooner than
/// [`LEAST_AGE`].
const SHORTEST_LIFE: Duration = Duration::from_secs(15);
/// Assumed where the response has no `expires_in` (RFC 6749 section 5.1 only recommends it).
const ASSUMED_LIFE: Duration = Duration::from_secs(300);

/// Signs in when that is needed, and not too often.
pub(crate) struct TokenKeeper<S> {
    shared: Arc<SharedToken>,
    sign_in: S,
    failures: FailurePace,
}

impl<S: TokenSource> TokenKeeper<S> {
    pub(super) fn new(shared: Arc<SharedToken>, sign_in: S) -> Self {
        Self {
            shared,
            sign_in,
            failures: FailurePace::default(),
        }
    }

    /// Never ends.
    pub(crate) async fn run(mut self) {
        let mut credentials = self.shared.credentials.subscribe();
        loop {
            self.begin();
            let next = self.renew(&mut credentials).await;
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.shared.refused.notified() => {}
                Ok(()) = credentials.changed() => self.failures.reset(),
            }
        }
    }

    /// From here on calls wait for the sign-in, unless there is a token.
    fn begin(&self) {
        self.shared.state.send_if_modified(|state| {
            let awaited = !matches!(state.outcome(Instant::now()), Some(Ok(_)));
            std::mem::replace(&mut state.awaited, awaited) != awaited
        });
    }

    /// Signs in with the newest credentials. Returns when to do it next.
    async fn renew(&mut self, credentials: &mut watch::Receiver<ClientCredentials>) -> Instant {
        loop {
            let current = credentials.borrow_and_update().clone();
            tokio::select! {
                biased;
                granted = self.sign_in.grant(&current) => return match granted {
                    Ok(grant) => self.take(grant),
                    Err(error) => self.fail(error),
                },
                Ok(()) = credentials.changed() => self.failures.reset(),
            }
        }
    }

    fn take(&mut self, grant: TokenGrant) -> Instant {
        self.failures.reset();
        let now = Instant::now();
        let life = match grant.lifetime {
            TokenLifetime::Unending => LONGEST_TOKEN_LIFE,
            TokenLifetime::Unknown => ASSUMED_LIFE,
            TokenLifetime::Stated(life) => life.clamp(SHORTEST_LIFE, LONGEST_TOKEN_LIFE),
        };
        let mut expires = None;
        if grant.lifetime != TokenLifetime::Unending {
            expires = Some(now + life);
            let expiry = jiff::Timestamp::now().as_second() as f64 + life.as_secs_f64();
            self.shared.expiry.set(expiry);
        }
        let token = Arc::new(AccessToken {
            value: grant.value,
            header: grant.header,
            obtained: now,
            expires,
        });
        self.shared.state.send_modify(|state| {
            state.token = Some(token);
            state.refusals.renewed();
            state.awaited = false;
            state.failure = None;
        });
        now + (life - LEAD.min(life / 10)).max(LEAST_AGE)
    }

    fn fail(&mut self, error: Error) -> Instant {
        let pause = self.failures.after_failure(error.retry_after());
        let upstream = error.upstream();
        tracing::warn!(
            code = error.code().name(),
            detail = error.detail(),
            upstream = upstream.and_then(|upstream| upstream.status),
            upstream_code = upstream.and_then(|upstream| upstream.code.as_deref()),
            upstream_message = upstream.and_then(|upstream| upstream.developer_message.as_deref()),
            cause = error.cause(),
            retry_ms = pause.as_millis() as u64,
            "signing in at eGain failed"
        );
        let retry_at = Instant::now() + pause;
        // Clients never see the identity provider's own words: they may quote the secret.
        let error = error.without_upstream_words();
        self.shared.state.send_modify(|state| {
            // A token that was refused stays until there is another: one refused call is no proof
            // against it.
            state.awaited = false;
            state.failure = Some(SignInFailure { error, retry_at });
            if !matches!(state.outcome(Instant::now()), Some(Ok(_))) {
                self.shared.expiry.set(0.0);
            }
        });
        retry_at
    }
}

/// Calls that wait when the service stops are released with an error.
impl<S> Drop for TokenKeeper<S> {
    fn drop(&mut self) {
        let detail = "the gateway doesn't sign in at eGain any more: it is about to stop, or has a \
                      defect; try again";
        let error = Error::gateway(ErrorCode::Internal, Stage::Sign, detail).with_retryable(true);
        let failure = SignInFailure {
            error,
            retry_at: Instant::now(),
        };
        self.shared.state.send_modify(|state| {
            state.awaited = false;
            state.failure = Some(failure);
        });
    }
}

#[cfg(test)]
mod tests;
