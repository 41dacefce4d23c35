//! URLs that storage refuses though they should be good (negative caching, circuit breaker).
//!
//! One may have died early, and a new one helps. If that is refused, too, the bytes are gone or
//! storage is down, and a call to eGain for each download would only use the plan up: the refusal
//! is remembered for the asset, and many of them stop calls for new URLs altogether. The URLs that
//! are there stay, and are good again when storage is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::AssetId;
use crate::types::error::Error;

/// The longest that a refusal is remembered, after it came again and again.
const LONGEST: Duration = Duration::from_secs(60);

/// How old a URL must be to be replaced once more, of an asset whose last URL was refused when it
/// was new.
const REPLACED_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// How long a refusal counts as one more of the same.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);

/// Refusals at one time.
const MOST: u64 = 10_000;

/// This number of new URLs may be refused in a row; after that one each [`REFILL`].
const IN_VAIN: f64 = 8.0;

/// How often a new URL is tried while all are refused: 0.2 calls a second of the 5 that the largest
/// plan has.
const REFILL: Duration = Duration::from_secs(5);

/// Remembers which assets storage refuses.
#[derive(Clone)]
pub(super) struct EarlyDeaths {
    refusals: Cache<AssetId, StorageRefusal>,
    vain_calls: Arc<Mutex<Allowance>>,
    /// How long a refusal is remembered at first.
    shortest: Duration,
    metrics: Arc<ServiceMetrics>,
}

/// Storage's refusal of an asset.
#[derive(Debug, Clone)]
pub(super) struct StorageRefusal {
    error: Error,
    in_force_until: Instant,
    lasts: Duration,
}

/// What is left of the new URLs that may be requested in vain.
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn left(&mut self, now: Instant) -> f64 {
        let refilled = now.saturating_duration_since(self.at).as_secs_f64() / REFILL.as_secs_f64();
        (self.left, self.at) = ((self.left + refilled).min(IN_VAIN), now);
        self.left
    }
}

impl EarlyDeaths {
    /// `shortest` is how long a first refusal is remembered.
    pub(super) fn new(shortest: Duration, metrics: Arc<ServiceMetrics>) -> Self {
        let refusals = Cache::builder()
            .max_capacity(MOST)
            .time_to_live(FORGOTTEN_AFTER);
        // The default policy refuses new keys that were never requested before.
        let refusals = refusals.eviction_policy(EvictionPolicy::lru()).build();
        let vain_calls = Allowance {
            left: IN_VAIN,
            at: Instant::now(),
        };
        Self {
            refusals,
            vain_calls: Arc::new(Mutex::new(vain_calls)),
            shortest,
            metrics,
        }
    }

    /// The refusal that is remembered of an asset.
    ///
    /// # Errors
    /// It is still in force: neither storage nor eGain need be called.
    pub(super) fn check(&self, id: &AssetId) -> Result<Option<StorageRefusal>, Error> {
        let Some(refusal) = self.refusals.get(id) else {
            return Ok(None);
        };
        let left = refusal
            .in_force_until
            .saturating_duration_since(Instant::now());
        if left.is_zero() {
            Ok(Some(refusal))
        } else {
            Err(refusal.error.with_retry_after(left))
        }
    }

    /// Storage has refused a URL.
    pub(super) fn count(&self) {
        self.metrics.url_early_death.inc();
    }

    /// Whether a new URL is worth a call, in place of one of this age.
    pub(super) fn may_replace(&self, age: Duration, earlier: Option<&StorageRefusal>) -> bool {
        let tried_lately = earlier.is_some() && age < REPLACED_AGAIN_AFTER;
        !tried_lately && self.vain_calls.lock().left(Instant::now()) >= 1.0
    }

    /// Storage has refused a URL of this asset that was new, or that isn't replaced again so soon.
    ///
    /// False where another download of the same time has reported it.
    pub(super) fn remember(&self, id: &AssetId, error: &Error) -> bool {
        let now = Instant::now();
        let lasts = match self.refusals.get(id) {
            Some(earlier) if now < earlier.in_force_until => return false,
            Some(earlier) => earlier.lasts * 2,
            None => self.shortest,
        };
        let lasts = lasts.min(LONGEST.max(self.shortest));
        self.refusals.insert(
            id.clone(),
            StorageRefusal {
                error: error.clone(),
                in_force_until: now + lasts,
                lasts,
            },
        );
        true
    }

    /// A new URL was refused, too: the call for it was in vain.
    pub(super) fn remember_vain_call(&self, id: &AssetId, error: &Error) {
        if self.remember(id, error) {
            self.count_vain_call();
        }
    }

    fn count_vain_call(&self) {
        let now = Instant::now();
        let mut allowance = self.vain_calls.lock();
        let left = allowance.left(now);
        if (1.0..2.0).contains(&left) {
            tracing::warn!(
                "storage refuses signed URLs that should be good: \
                 few new ones are requested of eGain until it accepts them"
            );
        }
        allowance.left = (left - 1.0).max(0.0);
    }

    /// Storage gives the asset out, or the asset was deleted.
    pub(super) fn forget(&self, id: &AssetId) {
        self.refusals.invalidate(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::error::{ErrorCode, Stage};

    fn deaths(shortest: Duration) -> EarlyDeaths {
        EarlyDeaths::new(shortest, Arc::new(ServiceMetrics::new()))
    }

    fn error() -> Error {
        Error::storage(ErrorCode::UpstreamError, Stage::Fetch, "x")
    }

    fn id(number: u32) -> AssetId {
        AssetId::parse(&number.to_string()).unwrap()
    }

    #[test]
    fn each_refusal_holds_longer_up_to_a_minute() {
        let deaths = deaths(Duration::from_millis(1));
        let mut last = Duration::ZERO;
        for _ in 0..8 {
            deaths.remember(&id(1), &error());
            deaths.remember(&id(1), &error());
            let lasts = deaths.refusals.get(&id(1)).unwrap().lasts;
            assert!(lasts == last * 2 || last.is_zero(), "{lasts:?}");
            assert!(deaths.check(&id(1)).unwrap_err().is_retryable());
            last = lasts;
            std::thread::sleep(lasts + Duration::from_millis(1));
        }
        assert!(deaths.check(&id(1)).unwrap().is_some() && deaths.check(&id(2)).unwrap().is_none());
        let earlier = StorageRefusal {
            error: error(),
            in_force_until: Instant::now(),
            lasts: Duration::from_secs(40),
        };
        deaths.refusals.insert(id(1), earlier);
        deaths.remember(&id(1), &error());
        assert_eq!(deaths.refusals.get(&id(1)).unwrap().lasts, LONGEST);
    }

    #[test]
    fn many_refusals_pause_calls_for_new_urls() {
        let deaths = deaths(Duration::from_secs(5));
        for number in 0..IN_VAIN as u32 {
            assert!(deaths.may_replace(Duration::ZERO, None), "{number}");
            deaths.count_vain_call();
        }
        assert!(!deaths.may_replace(Duration::ZERO, None));
        let mut allowance = deaths.vain_calls.lock();
        let later = Instant::now() + REFILL;
        assert!(
            (1.0..1.1).contains(&allowance.left(later))
                && allowance.left(later + 100 * REFILL) == IN_VAIN
        );
    }

    #[test]
    fn a_refused_asset_gets_a_new_url_only_later() {
        let deaths = deaths(Duration::ZERO);
        deaths.remember(&id(1), &error());
        let earlier = deaths.check(&id(1)).unwrap();
        assert!(!deaths.may_replace(Duration::from_secs(5), earlier.as_ref()));
        assert!(deaths.may_replace(REPLACED_AGAIN_AFTER, earlier.as_ref()));
        deaths.forget(&id(1));
        assert!(deaths.check(&id(1)).unwrap().is_none());
    }
}
