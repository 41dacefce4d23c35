//! `[cache]` and `[download]`: how assets are found and handed out.

use std::time::Duration;

use crate::api::DownloadMode;
use crate::config::schema::rules::{DAY, WEEK, YEAR, within};
use crate::config::schema::section;
use crate::config::schema::value::named_values;

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
