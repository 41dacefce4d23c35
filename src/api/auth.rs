//! Who calls: holders of API keys, of which only the SHA-256 is known here, or of an issuer's
//! tokens.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use headers::authorization::Bearer;
use headers::{Authorization, HeaderMapExt};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::jwt::{InvalidToken, JwtConfig, JwtVerifier};
use super::problem::ErrorResponse;
use super::rate_limit::{CallerRateLimiter, SubjectRateLimiters};
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::caller::{AuthenticatedCaller, Permission};
use crate::types::error::{Error, ErrorCode, Stage};

/// How callers prove who they are.
#[derive(Debug, Clone)]
pub enum AuthConfig {
    /// They don't; everybody is an operator.
    Nobody,
    /// By one of these keys.
    Keys(Vec<ApiKey>),
    /// By a token of this issuer's.
    Jwt(Box<JwtConfig>),
}

/// A key and who holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    /// SHA-256 of the key. Keys have 256 random bits, so a slow hash would protect nothing.
    pub sha256: [u8; 32],
    /// Its holder.
    pub caller: Arc<AuthenticatedCaller>,
    /// Requests a second; bursts of a second's worth are fine.
    pub rate: Option<f64>,
}

/// Everybody who may call.
pub(super) enum Authenticator {
    /// Every client that can connect.
    Anyone(Arc<AuthenticatedCaller>),
    /// The holders of keys.
    Known(ApiKeys),
    /// Whom an issuer vouches for, and what each has left of its rate.
    Vouched(Box<JwtVerifier>, Option<SubjectRateLimiters>),
}

/// Holders of keys; others may take their place at any time.
pub(super) struct ApiKeys(RwLock<Arc<Vec<ApiKeyHolder>>>);

/// A key's holder, and what is left of its rate.
pub(super) struct ApiKeyHolder {
    key: ApiKey,
    left: Option<CallerRateLimiter>,
}

impl Authenticator {
    /// From the settings.
    ///
    /// # Errors
    /// No HTTPS client can be made.
    pub(super) fn new(
        auth: &AuthConfig,
        metrics: &Arc<ServiceMetrics>,
    ) -> Result<Self, reqwest::Error> {
        Ok(match auth {
            AuthConfig::Nobody => Self::Anyone(Arc::new(AuthenticatedCaller::anyone())),
            AuthConfig::Keys(keys) => Self::Known(ApiKeys::new(keys)),
            AuthConfig::Jwt(config) => {
                let tokens = Box::new(JwtVerifier::new(config, metrics.clone())?);
                Self::Vouched(tokens, config.rate.map(SubjectRateLimiters::new))
            }
        })
    }

    /// Puts these keys in place of all others, if keys are what callers have. Whether that changes
    /// anything.
    pub(super) fn replace_keys(&self, keys: &[ApiKey]) -> bool {
        match self {
            Self::Known(holders) => holders.replace(keys),
            Self::Anyone(_) | Self::Vouched(..) => false,
        }
    }

    /// Does what has to be done in the background, if anything.
    pub(super) async fn keep_fresh(&self) {
        if let Self::Vouched(tokens, _) = self {
            tokens.keep_fresh().await;
        }
    }

    /// Who sent this; an error for somebody unknown, or one that has used up its rate.
    pub(super) async fn identify(
        &self,
        headers: &HeaderMap,
    ) -> Result<Arc<AuthenticatedCaller>, ErrorResponse> {
        match self {
            Self::Anyone(caller) => Ok(caller.clone()),
            Self::Known(holders) => {
                let holders = holders.0.read().clone();
                let Some(holder) = find(&holders, headers) else {
                    return Err(unauthenticated(UNKNOWN_KEY, "Bearer"));
                };
                if let Some(left) = &holder.left {
                    left.spend()?;
                }
                Ok(holder.key.caller.clone())
            }
            Self::Vouched(tokens, left) => {
                let Some(bearer) = headers.typed_get::<Authorization<Bearer>>() else {
                    return Err(unauthenticated(NO_TOKEN, "Bearer"));
                };
                let caller = match tokens.caller(bearer.token()).await {
                    Ok(caller) => caller,
                    Err(invalid) => return Err(refused_token(invalid)),
                };
                if let Some(left) = left {
                    left.spend(&caller.id)?;
                }
                Ok(Arc::new(caller))
            }
        }
    }
}

const UNKNOWN_KEY: &str = "the caller is unknown: send Authorization: Bearer <key>, with a key \
                           that is in the gateway's settings";
const NO_TOKEN: &str = "the caller is unknown: send Authorization: Bearer <token>, with a JWT of \
                        the issuer that the gateway trusts";

fn refused_token(invalid: InvalidToken) -> ErrorResponse {
    match invalid {
        // RFC 6750 section 3.1.
        InvalidToken::Because(why) => unauthenticated(
            format!("the token isn't taken: {why}"),
            "Bearer error=\"invalid_token\"",
        ),
        InvalidToken::NoKeys => {
            let detail = "the gateway can't reach the issuer of callers' tokens, and has no keys \
                          to check them with: try again shortly";
            Error::gateway(ErrorCode::UpstreamUnavailable, Stage::Admit, detail)
                .with_retry_after(Duration::from_secs(5))
                .into()
        }
    }
}

/// Looks at every key, so that the time it takes reveals nothing.
fn find<'h>(holders: &'h [ApiKeyHolder], headers: &HeaderMap) -> Option<&'h ApiKeyHolder> {
    let bearer = headers.typed_get::<Authorization<Bearer>>()?;
    let sum: [u8; 32] = Sha256::digest(bearer.token().as_bytes()).into();
    let mut found = None;
    for holder in holders {
        if holder.key.sha256.ct_eq(&sum).into() {
            found = Some(holder);
        }
    }
    found
}

impl ApiKeys {
    fn new(keys: &[ApiKey]) -> Self {
        Self(RwLock::new(Arc::new(ApiKeyHolder::all(&[], keys))))
    }

    fn replace(&self, keys: &[ApiKey]) -> bool {
        let before = self.0.read().clone();
        if before.iter().map(|holder| &holder.key).eq(keys) {
            return false;
        }
        *self.0.write() = Arc::new(ApiKeyHolder::all(&before, keys));
        true
    }
}

impl ApiKeyHolder {
    /// What a caller has used up of its rate stays used up, whichever of its keys it uses, and when
    /// it gets another one.
    fn all(before: &[Self], keys: &[ApiKey]) -> Vec<Self> {
        let mut holders: Vec<Self> = Vec::with_capacity(keys.len());
        for key in keys {
            let same = |holder: &&Self| {
                holder.key.caller.id == key.caller.id && holder.key.rate == key.rate
            };
            let left = match holders.iter().chain(before).find(same) {
                Some(holder) => holder.left.clone(),
                None => key.rate.map(CallerRateLimiter::new),
            };
            holders.push(Self {
                key: key.clone(),
                left,
            });
        }
        holders
    }
}

/// Refuses what the caller's role doesn't allow.
pub(super) fn authorize(caller: &AuthenticatedCaller, permission: Permission) -> Result<(), Error> {
    if caller.may(permission) {
        return Ok(());
    }
    let detail = match permission {
        Permission::Read => "this caller may not read",
        Permission::Upload => "this caller may only read: uploading takes the role adapter",
        Permission::Delete => {
            "this caller may not delete: that takes delete = true in its settings or its token, \
             or the role operator"
        }
        Permission::Manage => {
            "this caller may not work on accounts and channels: that takes the role operator"
        }
    };
    Err(Error::caller(ErrorCode::Forbidden, Stage::Admit, detail))
}

/// RFC 9110 section 11.6.1 wants the scheme named.
fn unauthenticated(detail: impl Into<Cow<'static, str>>, challenge: &'static str) -> ErrorResponse {
    let error = Error::caller(ErrorCode::Unauthenticated, Stage::Admit, detail);
    ErrorResponse {
        error,
        header: Some((WWW_AUTHENTICATE, HeaderValue::from_static(challenge))),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn key(secret: &str, id: &str, rate: Option<f64>) -> ApiKey {
        let caller = Arc::new(AuthenticatedCaller {
            id: id.to_owned(),
            ..AuthenticatedCaller::anyone()
        });
        ApiKey {
            sha256: Sha256::digest(secret).into(),
            caller,
            rate,
        }
    }

    fn made(auth: &AuthConfig) -> Authenticator {
        Authenticator::new(auth, &Arc::new(ServiceMetrics::new())).unwrap()
    }

    fn callers(rate: Option<f64>) -> Authenticator {
        made(&AuthConfig::Keys(vec![
            key("one", "first", rate),
            key("two", "second", rate),
        ]))
    }

    fn identify(callers: &Authenticator, authorization: &'static str) -> Result<String, ErrorCode> {
        let headers = [(
            http::header::AUTHORIZATION,
            HeaderValue::from_static(authorization),
        )]
        .into_iter()
        .collect();
        let found = callers
            .identify(&headers)
            .now_or_never()
            .expect("keys are known at once");
        found
            .map(|caller| caller.id.clone())
            .map_err(|refusal| refusal.error.code())
    }

    #[test]
    fn a_caller_is_known_by_its_key() {
        let callers = callers(None);
        assert_eq!(identify(&callers, "Bearer two"), Ok("second".to_owned()));
        assert_eq!(identify(&callers, "bearer one"), Ok("first".to_owned()));
        for wrong in ["Bearer three", "Bearer ", "Basic one", "one"] {
            assert_eq!(
                identify(&callers, wrong),
                Err(ErrorCode::Unauthenticated),
                "{wrong}"
            );
        }
    }

    #[test]
    fn one_callers_rate_is_no_business_of_anothers() {
        let callers = callers(Some(2.0));
        assert!(
            identify(&callers, "Bearer one").is_ok() && identify(&callers, "Bearer one").is_ok()
        );
        assert_eq!(
            identify(&callers, "Bearer one"),
            Err(ErrorCode::RateLimited)
        );
        assert!(identify(&callers, "Bearer two").is_ok());
    }

    #[test]
    fn all_keys_of_a_caller_share_its_rate() {
        let callers = made(&AuthConfig::Keys(vec![
            key("one", "first", Some(1.0)),
            key("two", "first", Some(1.0)),
        ]));
        assert_eq!(identify(&callers, "Bearer one"), Ok("first".to_owned()));
        assert_eq!(
            identify(&callers, "Bearer two"),
            Err(ErrorCode::RateLimited)
        );
    }

    #[test]
    fn reloaded_keys_replace_all_others_without_restoring_spent_rate() {
        let callers = callers(Some(1.0));
        assert!(identify(&callers, "Bearer one").is_ok());
        let fresh = [key("three", "first", Some(1.0)), key("four", "third", None)];
        assert!(callers.replace_keys(&fresh) && !callers.replace_keys(&fresh));
        assert_eq!(
            identify(&callers, "Bearer three"),
            Err(ErrorCode::RateLimited)
        );
        assert_eq!(identify(&callers, "Bearer four"), Ok("third".to_owned()));
        for gone in ["Bearer one", "Bearer two"] {
            assert_eq!(identify(&callers, gone), Err(ErrorCode::Unauthenticated));
        }
        assert!(!made(&AuthConfig::Nobody).replace_keys(&fresh));
    }
}
