//! The issuer's keys: fetched ahead of need, retained when a fetch fails, fetched again when a
//! token names an unknown one.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::net::egress_proxy::EgressProxy;
use crate::telemetry::metrics::ServiceMetrics;
use crate::telemetry::upstream::UpstreamOutcome;
use crate::types::cause;

/// The only ones that keys are used with; all others are older, rarer, or secrets that both sides
/// share.
pub(super) const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];

/// Between fetches when all is well.
const REFRESH: Duration = Duration::from_secs(300);
/// Between fetches while they fail.
const RETRY: Duration = Duration::from_secs(10);
/// Between fetches for unknown keys. Anybody can name one, and so choose when a request goes to the
/// issuer: a caller with a new key then waits for no longer than this.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(5);
/// A key that is missing in a response is taken for this time, and until the next fetch: one edge
/// of the issuer's may be behind.
const CONFIRM: Duration = Duration::from_secs(5);
/// From sending a request to its whole response: callers wait for it.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
/// The longest response that is read, in bytes; most have under 10 KiB.
const LONGEST_RESPONSE: usize = 256 * 1024;

/// A key of the issuer's, with the one algorithm that it is for.
#[derive(Clone)]
pub(super) struct VerificationKey {
    /// Its name.
    kid: Option<String>,
    /// By its own type.
    pub algorithm: Algorithm,
    /// What signatures are checked with.
    pub key: DecodingKey,
    /// Since when the issuer doesn't show it any more.
    missing_since: Option<Instant>,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyNotFound {
    /// The issuer has none like it.
    Unknown,
    /// The issuer's keys were never seen.
    NoKeys,
}

/// The issuer's keys.
pub(super) struct JwksCache {
    http: reqwest::Client,
    url: Url,
    entries: RwLock<Option<Arc<[Arc<VerificationKey>]>>>,
    /// Held while fetching, so that all who wait share one request. When an unknown key was last a
    /// reason to fetch.
    fetching: Mutex<Option<Instant>>,
    /// A key is missing in the last response.
    doubted: Notify,
    metrics: Arc<ServiceMetrics>,
}

impl JwksCache {
    pub(super) fn new(
        url: Url,
        proxy: &EgressProxy,
        metrics: Arc<ServiceMetrics>,
    ) -> Result<Self, reqwest::Error> {
        let http = proxy
            .apply_to(reqwest::Client::builder())?
            .timeout(FETCH_LIMIT)
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("asset-gateway/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            url,
            entries: RwLock::default(),
            fetching: Mutex::default(),
            doubted: Notify::new(),
            metrics,
        })
    }

    pub(super) async fn keep_fresh(&self) {
        loop {
            let turn = self.fetching.lock().await;
            let fetched = self.fetch().await;
            drop(turn);
            tokio::select! {
                () = sleep(if fetched { REFRESH } else { RETRY }) => {}
                () = self.doubted.notified() => sleep(CONFIRM).await,
            }
        }
    }

    /// The key that a token's header names. An unknown one is fetched from the issuer.
    pub(super) async fn find(
        self: &Arc<Self>,
        kid: Option<String>,
        algorithm: Algorithm,
    ) -> Result<Arc<VerificationKey>, KeyNotFound> {
        if let Some(entry) = self.look(kid.as_deref(), algorithm) {
            return Ok(entry);
        }
        let cache = self.clone();
        // In a task of its own: a client that disconnects doesn't end what others wait for.
        let fetching = tokio::spawn(async move {
            cache.fetch_unknown(kid.as_deref(), algorithm).await;
            cache.look(kid.as_deref(), algorithm)
        });
        if let Ok(Some(entry)) = fetching.await {
            return Ok(entry);
        }
        if self.entries.read().is_some() {
            Err(KeyNotFound::Unknown)
        } else {
            Err(KeyNotFound::NoKeys)
        }
    }

    async fn fetch_unknown(&self, kid: Option<&str>, algorithm: Algorithm) {
        let mut last_fetch = self.fetching.lock().await;
        // The one before in this queue may have fetched just this key.
        if self.look(kid, algorithm).is_some() {
            return;
        }
        if let Some(at) = *last_fetch
            && at.elapsed() < UNKNOWN_KEY_PAUSE
        {
            return;
        }
        *last_fetch = Some(Instant::now());
        self.fetch().await;
    }

    /// By its name; without one it must be the only one for the algorithm that the issuer shows.
    fn look(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<VerificationKey>> {
        let entries = self.entries.read().clone()?;
        let Some(kid) = kid else {
            let mut alike = entries
                .iter()
                .filter(|entry| entry.algorithm == algorithm && entry.missing_since.is_none());
            let (Some(only), None) = (alike.next(), alike.next()) else {
                return None;
            };
            return Some(only.clone());
        };
        // One for another algorithm is found last: the token is then refused for its algorithm.
        let mut named = entries
            .iter()
            .filter(|entry| entry.kid.as_deref() == Some(kid));
        let for_algorithm = named.clone().find(|entry| entry.algorithm == algorithm);
        for_algorithm.or(named.next()).cloned()
    }

    /// Whether that brought keys. If not, those from before stay.
    async fn fetch(&self) -> bool {
        let began = Instant::now();
        let received = self.receive().await;
        let outcome = match &received {
            Ok((status, _)) => UpstreamOutcome::Responded(*status),
            Err(error) if error.is_timeout() => UpstreamOutcome::TimedOut,
            Err(_) => UpstreamOutcome::Failed,
        };
        self.metrics.record_upstream("jwks", began, outcome);
        let entries = match received {
            Ok((status, body)) if status.is_success() => read(&body),
            Ok((status, _)) => Err(format!("the response is {status}")),
            Err(error) => Err(cause::chain(&error)),
        };
        match entries {
            Ok(entries) => {
                let mut known = self.entries.write();
                let entries = with_missing(
                    entries,
                    known.as_deref().unwrap_or_default(),
                    Instant::now(),
                );
                if entries.iter().any(|entry| entry.missing_since.is_some()) {
                    self.doubted.notify_one();
                }
                *known = Some(entries.into());
                true
            }
            Err(error) => {
                tracing::warn!(
                    error,
                    "the keys at auth.jwt.jwks_url can't be fetched, those from before stay"
                );
                false
            }
        }
    }

    async fn receive(&self) -> Result<(reqwest::StatusCode, Vec<u8>), reqwest::Error> {
        let read = async {
            let mut response = self.http.get(self.url.clone()).send().await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                body.extend_from_slice(&chunk);
                // One byte too many says that it is too long.
                if body.len() > LONGEST_RESPONSE {
                    break;
                }
            }
            Ok((response.status(), body))
        };
        read.await.map_err(reqwest::Error::without_url)
    }
}

/// What the issuer shows, and what it showed until a moment ago. A key without a name is known by
/// its algorithm only, and so is replaced by any other one for it.
fn with_missing(
    shown: Vec<Arc<VerificationKey>>,
    before: &[Arc<VerificationKey>],
    now: Instant,
) -> Vec<Arc<VerificationKey>> {
    let mut entries = shown.clone();
    for old in before {
        let is_replaced = shown
            .iter()
            .any(|new| new.algorithm == old.algorithm && (old.kid.is_none() || new.kid == old.kid));
        let since = old.missing_since.unwrap_or(now);
        if !is_replaced && now - since < CONFIRM {
            entries.push(Arc::new(VerificationKey {
                missing_since: Some(since),
                ..VerificationKey::clone(old)
            }));
        }
    }
    entries
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// All keys that can be used; the others may be for other uses.
fn read(body: &[u8]) -> Result<Vec<Arc<VerificationKey>>, String> {
    if body.len() > LONGEST_RESPONSE {
        return Err(format!(
            "the response has more than {LONGEST_RESPONSE} bytes"
        ));
    }
    let Ok(set) = serde_json::from_slice::<KeySet>(body) else {
        return Err("the response is no JWK set".into());
    };
    let mut entries = Vec::new();
    for key in set.keys {
        if let Some(entry) = entry(key) {
            entries.push(Arc::new(entry));
        }
    }
    if entries.is_empty() {
        Err("there is no key for EdDSA, ES256 or RS256".into())
    } else {
        Ok(entries)
    }
}

fn entry(key: Value) -> Option<VerificationKey> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let common = &jwk.common;
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        _ => return None,
    };
    let for_it = common.key_algorithm.is_none_or(|declared| declared == name);
    let for_signatures = common
        .public_key_use
        .as_ref()
        .is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let to_verify = common
        .key_operations
        .as_ref()
        .is_none_or(|all| all.contains(&KeyOperations::Verify));
    if !(for_it && for_signatures && to_verify) {
        return None;
    }
    Some(VerificationKey {
        kid: common.key_id.clone(),
        algorithm,
        key: DecodingKey::from_jwk(&jwk).ok()?,
        missing_since: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn algorithms(keys: Value) -> Result<Vec<Algorithm>, String> {
        let body = serde_json::to_vec(&json!({"keys": keys})).unwrap();
        read(&body).map(|entries| entries.iter().map(|entry| entry.algorithm).collect())
    }

    #[test]
    fn a_key_has_the_algorithm_of_its_type() {
        let keys = json!([
            {"kty": "OKP", "crv": "Ed25519", "x": X, "alg": "EdDSA", "use": "sig"},
            {"kty": "EC", "crv": "P-256", "x": X, "y": X, "key_ops": ["verify"]},
            {"kty": "RSA", "n": X, "e": "AQAB"},
        ]);
        assert_eq!(
            algorithms(keys),
            Ok(vec![Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256])
        );
    }

    #[test]
    fn a_key_for_another_use_is_ignored_without_harm() {
        let keys = json!([
            {"kty": "OKP", "crv": "Ed25519", "x": X, "use": "enc"},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "key_ops": ["sign"]},
            {"kty": "OKP", "crv": "X25519", "x": X},
            {"kty": "EC", "crv": "P-384", "x": X, "y": X},
            {"kty": "EC", "crv": "secp256k1", "x": X, "y": X},
            {"kty": "RSA", "n": X, "e": "AQAB", "alg": "RS512"},
            {"kty": "RSA", "n": X, "e": "AQAB", "alg": "HS256"},
            {"kty": "RSA", "n": 7},
            {"kty": "oct", "k": X},
            {"kty": "AKP", "alg": "ML-DSA-44", "pub": X},
            "nonsense",
            {"kty": "RSA", "n": X, "e": "AQAB", "kid": "good"},
        ]);
        assert_eq!(algorithms(keys), Ok(vec![Algorithm::RS256]));
        assert!(algorithms(json!([{"kty": "oct", "k": X}])).is_err());
        assert!(read(b"<html>").is_err() && read(&vec![b' '; LONGEST_RESPONSE + 1]).is_err());
    }

    #[test]
    fn a_missing_key_stays_until_a_fetch_confirms_it() {
        let keys = |kids: &[&str]| {
            let keys: Vec<_> = kids
                .iter()
                .map(|kid| json!({"kty": "RSA", "n": X, "e": "AQAB", "kid": kid}))
                .collect();
            read(&serde_json::to_vec(&json!({"keys": keys})).unwrap()).unwrap()
        };
        let kids = |entries: &[Arc<VerificationKey>]| {
            entries
                .iter()
                .map(|entry| entry.kid.clone().unwrap())
                .collect::<Vec<_>>()
        };
        let began = Instant::now();
        let first = with_missing(keys(&["a", "b"]), &[], began);
        let second = with_missing(keys(&["b"]), &first, began);
        assert_eq!(kids(&second), ["b", "a"]);
        let at_once = with_missing(keys(&["b"]), &second, began + CONFIRM / 2);
        assert_eq!(
            kids(&at_once),
            ["b", "a"],
            "a stranger's fetch right behind it proves nothing"
        );
        assert_eq!(
            kids(&with_missing(keys(&["b"]), &at_once, began + CONFIRM)),
            ["b"]
        );
        let back = with_missing(keys(&["a", "b"]), &at_once, began + CONFIRM);
        assert!(
            kids(&back) == ["a", "b"] && back.iter().all(|entry| entry.missing_since.is_none())
        );
    }

    #[test]
    fn without_key_id_an_algorithms_only_key_is_used() {
        let keys = |keys: Value| {
            let cache = JwksCache::new(
                "http://localhost/".parse().unwrap(),
                &EgressProxy::default(),
                Arc::new(ServiceMetrics::new()),
            )
            .unwrap();
            *cache.entries.write() = Some(
                read(&serde_json::to_vec(&json!({"keys": keys})).unwrap())
                    .unwrap()
                    .into(),
            );
            cache
        };
        let rsa = |kid: &str| json!({"kty": "RSA", "n": X, "e": "AQAB", "kid": kid});
        let one = keys(json!([rsa("a")]));
        assert!(
            one.look(None, Algorithm::RS256).is_some()
                && one.look(None, Algorithm::ES256).is_none()
        );
        assert!(one.look(Some("b"), Algorithm::RS256).is_none());
        assert_eq!(
            one.look(Some("a"), Algorithm::ES256).unwrap().algorithm,
            Algorithm::RS256
        );
        let two = keys(json!([rsa("a"), rsa("b")]));
        assert!(
            two.look(None, Algorithm::RS256).is_none()
                && two.look(Some("b"), Algorithm::RS256).is_some()
        );
    }
}
