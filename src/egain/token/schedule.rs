//! When the next sign-in may be: no response of eGain or its identity provider makes the gateway
//! sign in without a pause.

use std::time::Duration;

/// Between sign-ins that succeed, at least; a token that is refused sooner isn't to blame.
pub(super) const LEAST_AGE: Duration = Duration::from_secs(10);
/// After the first sign-in that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// After many that failed: an operator who corrects the settings waits no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A token that was good for this long was refused for a reason of its own.
const GOOD_FOR_LONG: Duration = Duration::from_secs(600);

/// Growing pauses (backoff) after sign-ins that failed.
#[derive(Default)]
pub(super) struct FailurePace {
    failures: u32,
}

impl FailurePace {
    /// A sign-in failed: returns how long to wait for the next; `retry_after` is what eGain named.
    pub(super) fn after_failure(&mut self, retry_after: Option<Duration>) -> Duration {
        let own = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        own.max(retry_after.unwrap_or_default()).min(LONGEST_PAUSE)
    }

    /// A sign-in succeeded, or there are other credentials.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// How old a token has to be for a refusal to be its own. Where replacing it didn't help, it has to
/// be older the next time: one asset that is always refused mustn't cost everybody's token again
/// and again.
pub(super) struct RefusalPace {
    least_age: Duration,
    /// The current token took a refused one's place, and wasn't refused so far.
    replaced: bool,
    /// Its replacement was requested: a second refusal requests no other.
    requested: bool,
}

impl Default for RefusalPace {
    fn default() -> Self {
        Self {
            least_age: LEAST_AGE,
            replaced: false,
            requested: false,
        }
    }
}

impl RefusalPace {
    /// The current token, this old, was refused: whether to replace it now.
    pub(super) fn may_replace(&mut self, age: Duration) -> bool {
        if self.requested {
            return false;
        }
        if age < self.least_age {
            if std::mem::take(&mut self.replaced) {
                self.least_age = (self.least_age * 2).min(LONGEST_PAUSE);
            }
            return false;
        }
        if age >= GOOD_FOR_LONG {
            self.least_age = LEAST_AGE;
        }
        self.requested = true;
        true
    }

    /// There is another token.
    pub(super) fn renewed(&mut self) {
        self.replaced = std::mem::take(&mut self.requested);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_after_failures_grow_and_end_at_a_minute() {
        let mut pace = FailurePace::default();
        let pauses: Vec<u64> = (0..20)
            .map(|_| pace.after_failure(None).as_secs())
            .collect();
        assert_eq!(pauses[..6], [5, 10, 20, 40, 60, 60]);
        assert_eq!(pauses[19], 60);
        pace.reset();
        assert_eq!(pace.after_failure(Some(secs(30))), secs(30));
        assert_eq!(
            pace.after_failure(Some(secs(86_400))),
            LONGEST_PAUSE,
            "nobody may ask for a day"
        );
    }

    #[test]
    fn a_young_token_stays_whatever_is_refused() {
        let mut pace = RefusalPace::default();
        assert!(!pace.may_replace(secs(0)) && !pace.may_replace(secs(9)));
        assert!(pace.may_replace(secs(10)), "and an older one goes");
        assert!(!pace.may_replace(secs(11)), "once");
    }

    #[test]
    fn an_always_refused_asset_costs_one_token_a_minute() {
        let mut pace = RefusalPace::default();
        let mut ages = Vec::new();
        for _ in 0..6 {
            let age = (0..).find(|age| pace.may_replace(secs(*age))).unwrap();
            pace.renewed();
            ages.push(age);
        }
        assert_eq!(ages, [10, 20, 40, 60, 60, 60]);
        assert!(pace.may_replace(GOOD_FOR_LONG));
        pace.renewed();
        assert!(
            pace.may_replace(LEAST_AGE),
            "a token that was good for long is trusted as at first"
        );
    }
}
