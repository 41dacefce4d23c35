//! `[cache]` and `[download]`: how assets are found and handed out.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::api::DownloadMode;
use crate::config::errors::ErrorCollector;
use crate::config::schema::rules::{DAY, RuleResult, WEEK, YEAR, if_set, within};
use crate::config::schema::section;
use crate::config::schema::value::{HIDDEN, named_values};
use crate::shared_store::SharedStoreConfig;

/// Less than this saves no calls.
const NEGATIVE_LEAST: Duration = Duration::from_millis(100);

/// An asset that becomes available meanwhile stays hidden for this time.
const NEGATIVE_MOST: Duration = Duration::from_secs(10 * 60);

named_values! { DownloadMode }

section! {
    /// What is remembered of assets.
    CacheSection as "cache" {
        /// Signed URLs at one time.
        capacity: u64 = "100000" where within(1, 100_000_000);
        /// A cached URL is treated as expired this long before it is; at most a quarter of its
        /// lifetime.
        safety_margin: Duration = "30s" where within(Duration::ZERO, DAY);
        /// How long "not found", "not yet available" and a first refusal by storage are remembered;
        /// at most one forced refresh of a signed URL in this time.
        negative_ttl: Duration = "5s" where within(NEGATIVE_LEAST, NEGATIVE_MOST);
        /// The Redis that replicas share, such as `rediss://user:password@host:6379/0`.
        redis_url: Option<SecretString> => "none" where if_set(redis_url);
        /// What seals all that is stored in Redis: 32 bytes in base64, the same for all replicas.
        seal_key: Option<SecretString> => "none" where if_set(seal_key);
        /// The `seal_key` before the last change, until what was sealed with it has expired.
        previous_seal_key: Option<SecretString> => "none" where if_set(seal_key);
    }
}

/// A secret that `asset-gateway config` has hidden passes: only the service needs it, and says so
/// when it starts.
fn redis_url(url: &SecretString) -> RuleResult {
    if url.expose_secret() == HIDDEN {
        return Ok(());
    }
    SharedStoreConfig::check_url(url).map_err(|why| why.to_string())
}

fn seal_key(key: &SecretString) -> RuleResult {
    if key.expose_secret() == HIDDEN {
        return Ok(());
    }
    SharedStoreConfig::check_seal_key(key).map_err(|why| why.to_string())
}

impl CacheSection {
    /// Notes what contradicts itself.
    pub(in crate::config) fn compare(&self, errors: &mut ErrorCollector) {
        if self.redis_url.is_some() && self.seal_key.is_none() {
            errors.conflict(
                &["cache.seal_key", "cache.redis_url"],
                "not set: cache.redis_url needs it, as signed URLs are stored there",
            );
        }
        if self.previous_seal_key.is_some() && self.seal_key.is_none() {
            errors.conflict(
                &["cache.previous_seal_key", "cache.seal_key"],
                "needs cache.seal_key, which isn't set",
            );
        }
    }

    /// Notes what the service can't do without.
    pub(in crate::config) fn require(&self, errors: &mut ErrorCollector) {
        for (key, secret) in [
            ("cache.redis_url", &self.redis_url),
            ("cache.seal_key", &self.seal_key),
            ("cache.previous_seal_key", &self.previous_seal_key),
        ] {
            if secret
                .as_ref()
                .is_some_and(|secret| secret.expose_secret() == HIDDEN)
            {
                errors.conflict(
                    &[key],
                    format!(
                        "is {HIDDEN:?}, which replaces a secret in printed settings: \
                         put the secret itself here"
                    ),
                );
            }
        }
    }
}

section! {
    /// How assets are handed out.
    DownloadSection as "download" {
        /// How an asset's bytes reach the caller: stream or redirect.
        mode: DownloadMode = "stream";
        /// How long clients and browsers may cache an asset's bytes, which never change; 0s makes
        /// them revalidate each time.
        max_age: Duration = "1h" where within(Duration::ZERO, YEAR);
    }
}

/// A retry comes after a time-out and a pause: what is forgotten sooner is stored twice.
const LEAST_TTL: Duration = Duration::from_secs(1);

/// Some 10 GB of keys and receipts.
const MOST_KEYS: u64 = 10_000_000;

section! {
    /// Uploads with an `Idempotency-Key`.
    IdempotencySection as "idempotency" {
        /// How long a repeated key gets the response of the first request.
        ttl: Duration = "24h" where within(LEAST_TTL, WEEK);
        /// Keys at one time.
        capacity: u64 = "100000" where within(1, MOST_KEYS);
    }
}
