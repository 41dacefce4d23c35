//! One sign-in: OAuth 2.0 client credentials (RFC 6749 section 4.4).

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::{Url, form_urlencoded};

use crate::egain::credentials::ClientCredentials;
use crate::egain::response::ApiResponse;
use crate::egain::transport::Transport;
use crate::types::error::{Error, ErrorCode, Stage};

/// What a sign-in gave.
pub(crate) struct TokenGrant {
    pub value: SecretString,
    /// The header `Authorization`.
    pub header: HeaderValue,
    /// How long it is good for.
    pub lifetime: TokenLifetime,
}

/// How long a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenLifetime {
    /// It comes from the settings, and there is no other one.
    Unending,
    /// The response has no lifetime.
    Unknown,
    /// The response's lifetime, which may be too short or too long.
    Stated(Duration),
}

/// A source of tokens.
pub(crate) trait TokenSource {
    /// Gets a token. Dropping the future cancels that.
    fn grant(
        &self,
        credentials: &ClientCredentials,
    ) -> impl Future<Output = Result<TokenGrant, Error>> + Send;
}

/// The token endpoint.
pub(crate) struct SignIn(Transport);

impl SignIn {
    pub(crate) fn over(transport: Transport) -> Self {
        Self(transport)
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        secret: &SecretString,
    ) -> Result<TokenGrant, Error> {
        let response = self.0.exchange("token", Stage::Sign, request).await?;
        if !response.status.is_success() {
            return Err(refused(&response, secret.expose_secret()));
        }
        let fields = response.fields(self.0.metrics());
        let Some(value) = fields.text("access_token") else {
            return Err(no_token());
        };
        let value = SecretString::from(value);
        let header = bearer(&value).ok_or_else(no_token)?;
        let lifetime = match fields.life("expires_in") {
            Some(until) => TokenLifetime::Stated(response.clock().token_life(until)),
            None => TokenLifetime::Unknown,
        };
        Ok(TokenGrant {
            value,
            header,
            lifetime,
        })
    }
}

impl TokenSource for SignIn {
    async fn grant(&self, credentials: &ClientCredentials) -> Result<TokenGrant, Error> {
        match credentials {
            ClientCredentials::Fixed(token) => {
                let header = bearer(token).ok_or_else(unusable)?;
                Ok(TokenGrant {
                    value: token.clone(),
                    header,
                    lifetime: TokenLifetime::Unending,
                })
            }
            ClientCredentials::Client {
                token_url,
                id,
                secret,
                scope,
            } => {
                self.send(request(token_url, [id, scope], secret), secret)
                    .await
            }
        }
    }
}

fn request(token_url: &Url, [id, scope]: [&str; 2], secret: &SecretString) -> Request<Bytes> {
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_id", id),
        ])
        .append_pair("client_secret", secret.expose_secret())
        .finish();
    let mut request = Request::new(Bytes::from(form));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = token_url
        .as_str()
        .parse()
        .expect("settings take URLs of http and https only");
    request.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    request
}

/// None for a token that is empty or doesn't fit a header (RFC 6750 section 2.1).
fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let token = token.expose_secret();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn no_token() -> Error {
    let detail = "eGain's sign-in returned no usable access token: try again; if it lasts, an \
                  operator must check egain.token_url";
    Error::egain(ErrorCode::UpstreamError, Stage::Sign, detail).with_retryable(true)
}

fn unusable() -> Error {
    Error::gateway(
        ErrorCode::UpstreamError,
        Stage::Sign,
        "egain.token is no valid header value: an operator must correct it",
    )
}

fn refused(response: &ApiResponse, secret: &str) -> Error {
    let status = response.status;
    let upstream = response.oauth_said(secret);
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let wait = response.retry_after().unwrap_or(Duration::from_secs(1));
        let detail = "eGain's sign-in is down: try again later";
        return Error::egain(ErrorCode::UpstreamUnavailable, Stage::Sign, detail)
            .with_retry_after(wait)
            .with_upstream(upstream);
    }
    let detail = "eGain refused the gateway's credentials: an operator must check \
                  egain.client_id, egain.client_secret, egain.scope and egain.token_url";
    Error::gateway(ErrorCode::UpstreamError, Stage::Sign, detail).with_upstream(upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        assert_eq!(
            bearer(&"eyJ.a-b_c".into()).unwrap().to_str().unwrap(),
            "Bearer eyJ.a-b_c"
        );
        for bad in ["", " ", "a b", "a\n", "ä"] {
            assert!(bearer(&bad.into()).is_none(), "{bad:?}");
        }
    }
}
