//! `[cache]` and `[download]`: how assets are found and handed out.

use std::time::Duration;

use super::rules::{DAY, MOMENT, WEEK, within};
use super::section::section;
use super::setting::words;
use crate::front::DownloadMode;

words! {
    DownloadMode {
        Stream = "stream",
        Redirect = "redirect",
    }
}

section! {
    /// What is remembered of assets.
    Cache as "cache" {
        /// Signed URLs at one time.
        capacity: u64 = "100000" where within(1, 100_000_000);
        /// How long before its end a signed URL counts as ended; at most a quarter of its life.
        safety_margin: Duration = "30s" where within(Duration::ZERO, DAY);
        /// How long "not found" and "not yet available" are remembered.
        negative_ttl: Duration = "5s" where within(Duration::ZERO, DAY);
    }
}

section! {
    /// How assets are handed out.
    Download as "download" {
        /// How an asset's bytes reach the caller: stream or redirect.
        mode: DownloadMode = "stream";
    }
}

section! {
    /// Uploads with an `Idempotency-Key`.
    Idempotency as "idempotency" {
        /// How long a key is answered as the first time.
        ttl: Duration = "24h" where within(MOMENT, WEEK);
        /// Keys at one time.
        capacity: u64 = "100000" where within(1, 100_000_000);
    }
}
