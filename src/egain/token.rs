//! The access token. One task owns it ([`TokenKeeper`], a single flight that outlives its callers):
//! it signs in at the start, ahead of each expiry, when eGain refused the token and when the
//! credentials change. Calls read the current token, or wait for the sign-in that is in flight;
//! they never sign in themselves.

mod keeper;
mod schedule;
mod sign_in;
mod state;

use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::credentials::ClientCredentials;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::error::{Error, Stage};
pub(super) use keeper::TokenKeeper;
pub(super) use sign_in::SignIn;
pub(super) use state::AccessToken;
use state::{SharedToken, TokenState};

/// The current token, for the calls that need it.
#[derive(Clone)]
pub(super) struct AccessTokens(Arc<SharedToken>);

impl AccessTokens {
    /// Has no token yet. Returns also the task that gets tokens.
    pub(super) fn new(
        sign_in: SignIn,
        credentials: ClientCredentials,
        metrics: &ServiceMetrics,
    ) -> (Self, TokenKeeper<SignIn>) {
        let state = TokenState {
            awaited: true,
            ..TokenState::default()
        };
        let shared = Arc::new(SharedToken {
            state: watch::Sender::new(state),
            credentials: watch::Sender::new(credentials),
            refused: Notify::new(),
            expiry: metrics.token_expiry.clone(),
        });
        (Self(shared.clone()), TokenKeeper::new(shared, sign_in))
    }

    /// A token that should be good. Waits only while there is none and a sign-in is in flight.
    /// `stage` is the stage of the error if that fails.
    pub(super) async fn get(&self, stage: Stage) -> Result<Arc<AccessToken>, Error> {
        let mut state = self.0.state.subscribe();
        loop {
            if let Some(outcome) = state.borrow_and_update().outcome(Instant::now()) {
                return outcome.map_err(|error| error.at(stage));
            }
            state.changed().await.expect("its sender is in self");
        }
    }

    /// Whether there is a token that should be good.
    pub(super) fn has_one(&self) -> bool {
        matches!(self.0.state.borrow().outcome(Instant::now()), Some(Ok(_)))
    }

    /// eGain refused this token (401) or its rights (403). Returns whether the next [`Self::get`]
    /// may give another one; if not, the refusal is the call's own, and the token stays in use.
    pub(super) fn refused(&self, token: &Arc<AccessToken>) -> bool {
        let mut has_another = false;
        let mut replace = false;
        self.0.state.send_if_modified(|state| {
            let is_current = match &state.token {
                Some(current) => Arc::ptr_eq(current, token),
                None => false,
            };
            has_another = !is_current || state.awaited;
            replace = !has_another
                && token.expires.is_some()
                && state.refusals.may_replace(token.obtained.elapsed());
            state.awaited |= replace;
            replace
        });
        if replace {
            self.0.expiry.set(0.0);
            self.0.refused.notify_one();
        }
        has_another || replace
    }

    /// Signs in with another secret, at once and from now on. Returns whether it differs from the
    /// old one.
    pub(super) fn replace_secret(&self, secret: &SecretString) -> bool {
        self.0
            .credentials
            .send_if_modified(|credentials| credentials.replace_secret(secret))
    }
}
