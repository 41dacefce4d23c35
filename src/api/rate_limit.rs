//! How often a caller may call: GCRA, a token bucket that needs no clockwork, by `governor`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::types::error::{Error, ErrorCode, Stage};

/// Subjects of tokens whose rates are remembered at one time. The subject with the oldest request
/// is forgotten first, and starts with a fresh rate.
const SUBJECTS: u64 = 100_000;

/// The rest of one caller's rate.
#[derive(Clone)]
pub(super) struct CallerRateLimiter(Arc<DefaultDirectRateLimiter>);

impl CallerRateLimiter {
    /// This number of requests a second; bursts of a second's worth, and of at least one request,
    /// are fine.
    pub(super) fn new(rate: f64) -> Self {
        let quota = Quota::with_period(Duration::from_secs_f64(rate.recip()))
            .expect("settings hold a rate below 1/ns");
        Self(Arc::new(RateLimiter::direct(
            quota.allow_burst(burst(rate)),
        )))
    }

    /// One request's worth of it.
    ///
    /// # Errors
    /// It is used up: with the time until there is some again.
    pub(super) fn spend(&self) -> Result<(), Error> {
        let Err(early) = self.0.check() else {
            return Ok(());
        };
        let wait = early.wait_time_from(DefaultClock::default().now());
        let detail = "this caller has used up its own rate: try again later";
        Err(Error::caller(ErrorCode::RateLimited, Stage::Admit, detail).with_retry_after(wait))
    }
}

fn burst(rate: f64) -> NonZeroU32 {
    NonZeroU32::new(rate.ceil() as u32).unwrap_or(NonZeroU32::MIN)
}

/// The rest of each caller's rate, where no list says who there is.
pub(super) struct SubjectRateLimiters {
    rate: f64,
    left: Cache<String, CallerRateLimiter>,
}

impl SubjectRateLimiters {
    /// The same rate for each.
    pub(super) fn new(rate: f64) -> Self {
        // After this long without a request all of it is there again, so that forgetting changes
        // nothing.
        let refilled = Duration::from_secs_f64(f64::from(burst(rate).get()) / rate);
        let left = Cache::builder()
            .max_capacity(SUBJECTS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(refilled);
        Self {
            rate,
            left: left.build(),
        }
    }

    /// One request's worth of this caller's.
    ///
    /// # Errors
    /// It is used up.
    pub(super) fn spend(&self, id: &str) -> Result<(), Error> {
        self.left
            .get_with_by_ref(id, || CallerRateLimiter::new(self.rate))
            .spend()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_has_its_own_rate_and_retry_time() {
        let all = SubjectRateLimiters::new(2.0);
        let spent: Vec<bool> = (0..3).map(|_| all.spend("one").is_ok()).collect();
        assert_eq!(spent, [true, true, false]);
        let refused = all.spend("one").unwrap_err();
        assert!(
            refused.code() == ErrorCode::RateLimited
                && refused.retry_after() <= Some(Duration::from_millis(500)),
            "{refused:?}"
        );
        assert!(all.spend("other").is_ok());
    }

    #[test]
    fn a_rate_below_one_a_second_is_valid() {
        let slow = CallerRateLimiter::new(0.001);
        assert!(slow.spend().is_ok());
        assert!(slow.spend().unwrap_err().retry_after() > Some(Duration::from_secs(990)));
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let all = SubjectRateLimiters::new(0.01);
        (0..SUBJECTS + 1000).for_each(|number| all.spend(&number.to_string()).unwrap());
        all.left.run_pending_tasks();
        assert!(all.left.entry_count() <= SUBJECTS);
    }
}
