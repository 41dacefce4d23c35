//! `Cache-Control` of an asset's bytes.

use std::time::Duration;

use http::HeaderValue;

/// How long clients may keep bytes: they never change, but assets are deleted.
#[derive(Debug, Clone)]
pub(super) struct CacheFreshness(HeaderValue);

impl CacheFreshness {
    pub(super) fn new(max_age: Duration) -> Self {
        Self(match max_age.as_secs() {
            0 => HeaderValue::from_static("private, no-cache"),
            seconds => HeaderValue::try_from(format!("private, immutable, max-age={seconds}"))
                .expect("digits"),
        })
    }

    /// The value of `Cache-Control`.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}
