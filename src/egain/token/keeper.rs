//! The task that owns the access token.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::schedule::{FailurePace, LEAST_AGE};
use super::sign_in::{TokenGrant, TokenLifetime, TokenSource};
use super::{AccessToken, Shared, SignInFailure};
use crate::egain::ClientCredentials;
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::peer_time::LONGEST_TOKEN_LIFE;

/// The longest lead for a refresh; a short-lived token gets a tenth of its life.
const LEAD: Duration = Duration::from_secs(60);
/// A token is believed to live for so long, whatever its answer says, so that it is replaced no
/// sooner than [`LEAST_AGE`].
const SHORTEST_LIFE: Duration = Duration::from_secs(15);
/// Assumed where the answer has no `expires_in` (RFC 6749 section 5.1 only recommends it).
const ASSUMED_LIFE: Duration = Duration::from_secs(300);

/// Signs in whenever that is needed and not too soon.
pub struct TokenKeeper<S> {
    shared: Arc<Shared>,
    sign_in: S,
    failures: FailurePace,
}

impl<S: TokenSource> TokenKeeper<S> {
    pub(super) fn new(shared: Arc<Shared>, sign_in: S) -> Self {
        Self {
            shared,
            sign_in,
            failures: FailurePace::default(),
        }
    }

    /// Works for ever.
    pub async fn run(mut self) {
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

    /// From here on callers wait for the sign-in, unless they have a token.
    fn begin(&self) {
        self.shared.state.send_if_modified(|state| {
            let awaited = !matches!(state.outcome(Instant::now()), Some(Ok(_)));
            std::mem::replace(&mut state.awaited, awaited) != awaited
        });
    }

    /// Signs in, with the newest credentials. When to do it next.
    async fn renew(&mut self, credentials: &mut watch::Receiver<ClientCredentials>) -> Instant {
        loop {
            let current = credentials.borrow_and_update().clone();
            tokio::select! {
                biased;
                granted = self.sign_in.grant(&current) => return match granted {
                    Ok(grant) => self.take(grant),
                    Err(fault) => self.fail(fault),
                },
                Ok(()) = credentials.changed() => self.failures.reset(),
            }
        }
    }

    fn take(&mut self, grant: TokenGrant) -> Instant {
        self.failures.reset();
        let now = Instant::now();
        let life = match grant.life {
            TokenLifetime::Unending => LONGEST_TOKEN_LIFE,
            TokenLifetime::Unknown => ASSUMED_LIFE,
            TokenLifetime::Told(life) => life.clamp(SHORTEST_LIFE, LONGEST_TOKEN_LIFE),
        };
        let expires = (grant.life != TokenLifetime::Unending).then(|| now + life);
        if expires.is_some() {
            self.shared
                .expiry
                .set(jiff::Timestamp::now().as_second() as f64 + life.as_secs_f64());
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
            (state.awaited, state.failure) = (false, None);
        });
        now + (life - LEAD.min(life / 10)).max(LEAST_AGE)
    }

    fn fail(&mut self, fault: Error) -> Instant {
        let pause = self.failures.after_failure(fault.wait());
        let said = fault.upstream_answer();
        tracing::warn!(
            code = fault.code().name(),
            detail = fault.detail(),
            upstream = said.and_then(|said| said.status),
            upstream_code = said.and_then(|said| said.code.as_deref()),
            upstream_message = said.and_then(|said| said.developer_message.as_deref()),
            cause = fault.cause(),
            retry_ms = pause.as_millis() as u64,
            "signing in at eGain failed"
        );
        let retry_at = Instant::now() + pause;
        // Callers never hear what an identity provider says: it may quote the secret.
        let fault = fault.without_upstream_words();
        self.shared.state.send_modify(|state| {
            // A token that was refused stays until there is another: one refused call is no proof
            // against it.
            (state.awaited, state.failure) = (false, Some(SignInFailure { fault, retry_at }));
            if !matches!(state.outcome(Instant::now()), Some(Ok(_))) {
                self.shared.expiry.set(0.0);
            }
        });
        retry_at
    }
}

/// Who waits when the service stops isn't left waiting.
impl<S> Drop for TokenKeeper<S> {
    fn drop(&mut self) {
        let detail = "the gateway doesn't sign in at eGain any more: it is about to stop, or has a defect; try again";
        let fault = Error::gateway(ErrorCode::Internal, Stage::Sign, detail).retryable(true);
        let failure = SignInFailure {
            fault,
            retry_at: Instant::now(),
        };
        self.shared
            .state
            .send_modify(|state| (state.awaited, state.failure) = (false, Some(failure)));
    }
}

#[cfg(test)]
mod tests;
