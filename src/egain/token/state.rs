//! What callers and the keeper of the access token share.

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use prometheus::Gauge;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::schedule::RefusalPace;
use crate::egain::credentials::ClientCredentials;
use crate::types::error::Error;

/// A token that can be distinguished from its successor.
pub(crate) struct AccessToken {
    pub(super) value: SecretString,
    /// Marked as sensitive: it doesn't print either.
    pub(super) header: HeaderValue,
    pub(super) obtained: Instant,
    /// None for a token from the settings: there is no other one.
    pub(super) expires: Option<Instant>,
}

impl AccessToken {
    /// The token itself, to find it in text that must not show it.
    pub(crate) fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// The header `Authorization`.
    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

/// What callers and the keeper share.
pub(super) struct SharedToken {
    pub(super) state: watch::Sender<TokenState>,
    pub(super) credentials: watch::Sender<ClientCredentials>,
    /// Notified when the token is to be replaced now.
    pub(super) refused: Notify,
    pub(super) expiry: Gauge,
}

#[derive(Default)]
pub(super) struct TokenState {
    pub(super) token: Option<Arc<AccessToken>>,
    /// All calls wait for the sign-in that is in flight: there is no token, or eGain refused it.
    pub(super) awaited: bool,
    /// The last sign-in, where it failed.
    pub(super) failure: Option<SignInFailure>,
    pub(super) refusals: RefusalPace,
}

#[derive(Clone)]
pub(super) struct SignInFailure {
    pub(super) error: Error,
    pub(super) retry_at: Instant,
}

impl TokenState {
    /// The token, or why there is none; neither while that isn't known yet.
    pub(super) fn outcome(&self, now: Instant) -> Option<Result<Arc<AccessToken>, Error>> {
        if self.awaited {
            return None;
        }
        if let Some(token) = &self.token
            && token.expires.is_none_or(|expires| expires > now)
        {
            return Some(Ok(token.clone()));
        }
        let failure = self.failure.as_ref()?;
        Some(Err(failure.to_error(now)))
    }
}

impl SignInFailure {
    /// A client that may retry gets a `Retry-After` that reaches to the next sign-in.
    fn to_error(&self, now: Instant) -> Error {
        let error = self.error.clone();
        if error.retry_after().is_none() {
            return error;
        }
        error.with_retry_after((self.retry_at - now).max(Duration::from_secs(1)))
    }
}
