//! The access token. One task owns it ([`TokenKeeper`], a single flight that outlives its callers):
//! it signs in at the start, ahead of each expiry, when eGain refused the token and when the
//! credentials change. Callers read what it holds, or wait for the sign-in that is in flight; they
//! never sign in themselves.

mod keeper;
mod schedule;
mod sign_in;

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use prometheus::Gauge;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::ClientCredentials;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::error::{Error, Stage};
pub use keeper::TokenKeeper;
use schedule::RefusalPace;
pub use sign_in::SignIn;

/// A token that can be told from its successor.
pub struct AccessToken {
    value: SecretString,
    /// Marked as sensitive: it doesn't print either.
    header: HeaderValue,
    obtained: Instant,
    /// Never for one that an operator gave: there is no other one.
    expires: Option<Instant>,
}

impl AccessToken {
    /// The token itself, to find it in what must not show it.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// The header `Authorization`.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

/// The current token, for those who need it.
#[derive(Clone)]
pub struct AccessTokens(Arc<Shared>);

/// What callers and the keeper share.
struct Shared {
    state: watch::Sender<TokenState>,
    credentials: watch::Sender<ClientCredentials>,
    /// A token is to be replaced now.
    refused: Notify,
    expiry: Gauge,
}

#[derive(Default)]
struct TokenState {
    token: Option<Arc<AccessToken>>,
    /// A sign-in is in flight that everybody waits for: there is no token, or eGain has refused it.
    awaited: bool,
    /// The last sign-in, where it failed.
    failure: Option<SignInFailure>,
    refusals: RefusalPace,
}

#[derive(Clone)]
struct SignInFailure {
    fault: Error,
    retry_at: Instant,
}

impl AccessTokens {
    /// Without a token so far, and the task that gets them.
    pub fn new(
        sign_in: SignIn,
        credentials: ClientCredentials,
        metrics: &ServiceMetrics,
    ) -> (Self, TokenKeeper<SignIn>) {
        let state = TokenState {
            awaited: true,
            ..TokenState::default()
        };
        let shared = Arc::new(Shared {
            state: watch::Sender::new(state),
            credentials: watch::Sender::new(credentials),
            refused: Notify::new(),
            expiry: metrics.token_expiry.clone(),
        });
        (Self(shared.clone()), TokenKeeper::new(shared, sign_in))
    }

    /// A token that should be good. Waits while a sign-in is in flight and there is none, and no
    /// longer: `stage` is what it is needed for, should that fail.
    pub async fn get(&self, stage: Stage) -> Result<Arc<AccessToken>, Error> {
        let mut state = self.0.state.subscribe();
        loop {
            if let Some(outcome) = state.borrow_and_update().outcome(Instant::now()) {
                return outcome.map_err(|fault| fault.at(stage));
            }
            state.changed().await.expect("its sender is in self");
        }
    }

    /// Whether there is a token that should be good.
    pub fn has_one(&self) -> bool {
        matches!(self.0.state.borrow().outcome(Instant::now()), Some(Ok(_)))
    }

    /// eGain refused this token (401) or its rights (403). Whether the next [`Self::get`] may give
    /// another one; if not, the refusal is the call's own, and the token stays for the others.
    pub fn refused(&self, token: &Arc<AccessToken>) -> bool {
        let (mut another, mut ask) = (false, false);
        self.0.state.send_if_modified(|state| {
            let is_current = state
                .token
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, token));
            another = !is_current || state.awaited;
            ask = !another
                && token.expires.is_some()
                && state.refusals.may_replace(token.obtained.elapsed());
            state.awaited |= ask;
            ask
        });
        if ask {
            self.0.expiry.set(0.0);
            self.0.refused.notify_one();
        }
        another || ask
    }

    /// Signs in with another secret from now on, and at once. Whether that is another one.
    pub fn replace_secret(&self, secret: &SecretString) -> bool {
        self.0
            .credentials
            .send_if_modified(|credentials| credentials.replace_secret(secret))
    }
}

impl TokenState {
    /// The token, or why there is none; nothing where that isn't known yet.
    fn outcome(&self, now: Instant) -> Option<Result<Arc<AccessToken>, Error>> {
        if self.awaited {
            return None;
        }
        if let Some(token) = self
            .token
            .as_ref()
            .filter(|token| token.expires.is_none_or(|end| end > now))
        {
            return Some(Ok(token.clone()));
        }
        self.failure.as_ref().map(|failure| Err(failure.told(now)))
    }
}

impl SignInFailure {
    /// A caller that may come back shall not come before the next sign-in.
    fn told(&self, now: Instant) -> Error {
        let wait = self
            .fault
            .wait()
            .map(|_| (self.retry_at - now).max(Duration::from_secs(1)));
        match wait {
            Some(wait) => self.fault.clone().retry_after(wait),
            None => self.fault.clone(),
        }
    }
}
