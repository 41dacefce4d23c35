//! What the gateway signs in with at eGain.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// What the gateway signs in with at eGain.
#[derive(Debug, Clone)]
pub enum ClientCredentials {
    /// A bearer token that is renewed outside the gateway.
    Fixed(SecretString),
    /// OAuth 2.0 client credentials (RFC 6749 section 4.4), sent in the body as eGain wants it.
    Client {
        /// The token endpoint.
        token_url: Url,
        /// The client's id.
        id: String,
        /// The client's secret.
        secret: SecretString,
        /// Such as `https://api.egain.cloud/auth/.default`.
        scope: String,
    },
}

impl ClientCredentials {
    /// Replaces the secret or the fixed token. Returns whether the new one differs.
    pub(super) fn replace_secret(&mut self, new: &SecretString) -> bool {
        let (Self::Fixed(secret) | Self::Client { secret, .. }) = self;
        let differs = secret.expose_secret() != new.expose_secret();
        if differs {
            *secret = new.clone();
        }
        differs
    }
}
