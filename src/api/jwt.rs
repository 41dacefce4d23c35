//! Callers' tokens: JWTs (RFC 7519) that an issuer signs and whose claims say what a caller may do.

mod jwks;

use std::sync::Arc;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use url::Url;

use crate::net::egress_proxy::EgressProxy;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::account::AccountId;
use crate::types::asset::Sender;
use crate::types::caller::{AuthenticatedCaller, CallerRole};
use jwks::{JwksCache, KeyNotFound};

/// How far the issuer's clock and ours may be apart, in seconds.
const LEEWAY: u64 = 60;

/// The longest `sub` that is taken for a name.
const LONGEST_ID: usize = 255;

/// Whose tokens are taken, and how they are read.
#[derive(Debug, Clone)]
pub struct JwtConfig {
    /// What `iss` must say.
    pub issuer: String,
    /// What `aud` must hold.
    pub audience: String,
    /// Where the issuer shows its keys (RFC 7517).
    pub jwks_url: Url,
    /// The proxy that https connections go through, if any.
    pub proxy: EgressProxy,
    /// Where a token says what its caller may do.
    pub claims: ClaimNames,
    /// Requests a second of each subject; bursts of a second's worth are fine.
    pub rate: Option<f64>,
}

/// Names of claims.
#[derive(Debug, Clone)]
pub struct ClaimNames {
    /// The caller's role.
    pub role: String,
    /// The channels that it is bound to.
    pub channels: String,
    /// The sender that it is bound to.
    pub sender: String,
    /// The eGain account that it is bound to.
    pub account: String,
    /// Whether it may delete.
    pub delete: String,
}

/// Why a token isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidToken {
    /// For this, which tells nothing of what is in it.
    Because(&'static str),
    /// Nobody knows: there are no keys to tell.
    NoKeys,
}

/// Judges tokens.
pub(super) struct JwtVerifier {
    config: JwtConfig,
    jwks_cache: Arc<JwksCache>,
}

impl JwtVerifier {
    /// Without any keys so far.
    pub(super) fn new(
        config: &JwtConfig,
        metrics: Arc<ServiceMetrics>,
    ) -> Result<Self, reqwest::Error> {
        let jwks_cache = JwksCache::new(config.jwks_url.clone(), &config.proxy, metrics)?;
        Ok(Self {
            config: config.clone(),
            jwks_cache: Arc::new(jwks_cache),
        })
    }

    /// Fetches the issuer's keys, and again from time to time.
    pub(super) async fn keep_fresh(&self) {
        self.jwks_cache.keep_fresh().await;
    }

    /// Whom a token is for. Its header only chooses among the issuer's keys: each key has one
    /// algorithm of its own.
    pub(super) async fn caller(&self, token: &str) -> Result<AuthenticatedCaller, InvalidToken> {
        let Ok(header) = decode_header(token) else {
            return Err(InvalidToken::Because(
                "it is no JWT that is signed in a known way",
            ));
        };
        if header.crit.is_some() {
            return Err(InvalidToken::Because("it has critical extensions"));
        }
        if !jwks::ALGORITHMS.contains(&header.alg) {
            return Err(InvalidToken::Because(WRONG_ALGORITHM));
        }
        let key = match self.jwks_cache.find(header.kid, header.alg).await {
            Ok(key) => key,
            Err(KeyNotFound::NoKeys) => return Err(InvalidToken::NoKeys),
            Err(KeyNotFound::Unknown) => {
                return Err(InvalidToken::Because(
                    "the issuer has no key like the one that it names",
                ));
            }
        };
        let validation = self.validation(key.algorithm);
        match decode::<Map<String, Value>>(token, &key.key, &validation) {
            Ok(decoded) => {
                caller(&decoded.claims, &self.config.claims).map_err(InvalidToken::Because)
            }
            Err(error) => Err(InvalidToken::Because(wrong(&error))),
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_audience(&[&self.config.audience]);
        validation.set_issuer(&[&self.config.issuer]);
        // A claim that is compared isn't required by that alone.
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation
    }
}

const WRONG_ALGORITHM: &str = "its algorithm is not the key's, or none of EdDSA, ES256 and RS256";

fn wrong(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it isn't valid yet",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidAlgorithm => WRONG_ALGORITHM,
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => "it has no exp",
            "aud" => "it has no aud",
            "iss" => "it has no iss",
            _ => NO_SUB,
        },
        _ => "it can't be read",
    }
}

const NO_SUB: &str = "it has no sub that could name the caller";

/// What isn't understood is refused: a limit that was meant must not be overlooked.
fn caller(
    claims: &Map<String, Value>,
    names: &ClaimNames,
) -> Result<AuthenticatedCaller, &'static str> {
    let Some(Value::String(id)) = claims.get("sub") else {
        return Err(NO_SUB);
    };
    if !(1..=LONGEST_ID).contains(&id.len()) || id.contains(char::is_control) {
        return Err(NO_SUB);
    }
    let claim = |name: &str| claims.get(name).filter(|value| !value.is_null());
    let role = match claim(&names.role) {
        Some(claim) => role(claim)?,
        None => CallerRole::Reader,
    };
    let channels = match claim(&names.channels) {
        Some(claim) => channels(claim)?,
        None => Vec::new(),
    };
    let sender = claim(&names.sender).map(sender).transpose()?;
    let delete = match claim(&names.delete) {
        Some(Value::Bool(delete)) => *delete,
        Some(_) => return Err("its claim to delete is neither true nor false"),
        None => false,
    };
    Ok(AuthenticatedCaller {
        id: id.clone(),
        role,
        delete,
        channels,
        sender,
        account: claim(&names.account).map(account).transpose()?,
    })
}

/// One role, or a list of which other services may have entries, too: then the highest of ours.
fn role(claim: &Value) -> Result<CallerRole, &'static str> {
    const UNKNOWN: &str = "its role is none of reader, adapter and operator";
    match claim {
        Value::String(name) => CallerRole::parse(name).ok_or(UNKNOWN),
        Value::Array(names) => {
            let mut highest = CallerRole::Reader;
            for name in names {
                if let Value::String(name) = name
                    && let Some(role) = CallerRole::parse(name)
                {
                    highest = highest.max(role);
                }
            }
            Ok(highest)
        }
        _ => Err(UNKNOWN),
    }
}

/// Never an empty list, which would bind to nothing and so allow everything.
fn channels(claim: &Value) -> Result<Vec<String>, &'static str> {
    const WRONG: &str = "its channels are no list of names with at least one";
    let names = match claim {
        Value::Array(names) if names.is_empty() => return Err(WRONG),
        Value::Array(names) => names.as_slice(),
        name => std::slice::from_ref(name),
    };
    let mut channels = Vec::with_capacity(names.len());
    for name in names {
        match name {
            Value::String(name) if !name.is_empty() => channels.push(name.clone()),
            _ => return Err(WRONG),
        }
    }
    Ok(channels)
}

fn account(claim: &Value) -> Result<AccountId, &'static str> {
    claim
        .as_str()
        .and_then(AccountId::parse)
        .ok_or("its account can't be an id of eGain's")
}

fn sender(claim: &Value) -> Result<Sender, &'static str> {
    claim
        .as_str()
        .and_then(Sender::parse)
        .ok_or("its sender is none that eGain knows")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claims: Value) -> Result<AuthenticatedCaller, &'static str> {
        let names = ["role", "channels", "sender", "account", "delete"].map(str::to_owned);
        let [role, channels, sender, account, delete] = names;
        caller(
            claims.as_object().unwrap(),
            &ClaimNames {
                role,
                channels,
                sender,
                account,
                delete,
            },
        )
    }

    #[test]
    fn a_token_that_says_nothing_is_a_readers() {
        let caller = read(json!({"sub": "auth0|5f7c", "channels": null})).unwrap();
        let reader = AuthenticatedCaller {
            id: "auth0|5f7c".into(),
            role: CallerRole::Reader,
            delete: false,
            ..AuthenticatedCaller::anyone()
        };
        assert_eq!(caller, reader);
    }

    #[test]
    fn claims_give_a_callers_permissions_and_bounds() {
        let caller = read(json!({
            "sub": "a",
            "role": "adapter",
            "channels": "sms",
            "sender": "custom_bot",
            "account": "acc-1",
            "delete": true,
        }));
        let expected = AuthenticatedCaller {
            id: "a".into(),
            role: CallerRole::Adapter,
            delete: true,
            channels: vec!["sms".into()],
            sender: Some(Sender::CustomBot),
            account: AccountId::parse("acc-1"),
        };
        assert_eq!(caller, Ok(expected));
        let roles =
            |roles: Value| read(json!({"sub": "a", "role": roles})).map(|caller| caller.role);
        assert_eq!(
            roles(json!(["crm:king", "adapter", "reader"])),
            Ok(CallerRole::Adapter)
        );
        assert_eq!(roles(json!(["crm:king"])), Ok(CallerRole::Reader));
    }

    #[test]
    fn a_malformed_claim_is_refused_and_never_means_unlimited() {
        for (name, value) in [
            ("sub", json!("")),
            ("sub", json!("a\nb")),
            ("sub", json!("x".repeat(256))),
            ("sub", json!(7)),
            ("role", json!("king")),
            ("role", json!({"adapter": true})),
            ("account", json!(7)),
            ("account", json!("a/b")),
            ("channels", json!([])),
            ("channels", json!("")),
            ("channels", json!(["sms", 7])),
            ("channels", json!({"sms": true})),
            ("sender", json!("nobody")),
            ("delete", json!("true")),
        ] {
            let mut claims = json!({"sub": "a"});
            claims[name] = value;
            assert!(read(claims.clone()).is_err(), "{claims}");
        }
    }
}
