//! The allowance itself: a token bucket that is never ahead of eGain's own.
//!
//! eGain counts a call when it arrives there, and one call is longer under way than the next: it
//! has to connect first, or the network is busy. A bucket that refills from the moment a call is
//! sent would let the next one go so much too early, and eGain would answer 429. So a call is
//! *held* while it is under way, and counted when it was answered: eGain has counted it before
//! that. The price is one exchange's time in each interval where the burst is 1, and nothing where
//! the burst has room for the calls under way.

use std::time::Duration;

use tokio::time::Instant;

/// So many calls a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CallRate {
    /// Calls a second, above 0.
    pub per_second: f64,
    /// Calls at once, at least 1.
    pub burst: u32,
}

/// A fraction of a call that is none. What rounding leaves would otherwise be waited for in a busy
/// loop.
const DUST: f64 = 1e-9;

pub(super) struct TokenBucket {
    rate: CallRate,
    tokens: f64,
    filled: Instant,
    /// Calls that are promised or under way.
    held: u32,
}

impl TokenBucket {
    pub(super) fn full(rate: CallRate, now: Instant) -> Self {
        Self {
            rate,
            tokens: f64::from(rate.burst),
            filled: now,
            held: 0,
        }
    }

    /// Calls that may be under way at one time.
    pub(super) fn burst(&self) -> usize {
        self.rate.burst as usize
    }

    /// Calls that could be made at once.
    pub(super) fn left(&mut self, now: Instant) -> f64 {
        self.fill(now);
        (self.tokens - f64::from(self.held)).max(0.0)
    }

    /// How long until so many calls may be made, if those under way are answered by then.
    pub(super) fn time_until(&mut self, calls: usize, now: Instant) -> Duration {
        self.fill(now);
        let missing = calls as f64 + f64::from(self.held) - self.tokens;
        let missing = if missing > DUST { missing } else { 0.0 };
        Duration::from_secs_f64((missing / self.rate.per_second).min(1e9))
    }

    /// Promises a call; only where [`Self::time_until`] one is no time.
    pub(super) fn hold(&mut self) {
        self.held += 1;
    }

    /// A promised call isn't made.
    pub(super) fn give_back(&mut self) {
        self.held -= 1;
    }

    /// A call was made: eGain has counted it by now.
    pub(super) fn settle(&mut self, now: Instant) {
        self.fill(now);
        self.held -= 1;
        // Below zero only after a 429, which has emptied the bucket under calls that were under
        // way.
        self.tokens = (self.tokens - 1.0).max(0.0);
    }

    /// A call that was settled never reached eGain.
    pub(super) fn refund(&mut self) {
        self.tokens = (self.tokens + 1.0).min(f64::from(self.rate.burst));
    }

    /// eGain's own bucket is empty.
    pub(super) fn empty(&mut self) {
        self.tokens = 0.0;
    }

    fn fill(&mut self, now: Instant) {
        let earned =
            now.saturating_duration_since(self.filled).as_secs_f64() * self.rate.per_second;
        self.tokens = (self.tokens + earned).min(f64::from(self.rate.burst));
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Duration = Duration::from_secs(1);

    fn bucket(burst: u32, now: Instant) -> TokenBucket {
        TokenBucket::full(
            CallRate {
                per_second: 1.0,
                burst,
            },
            now,
        )
    }

    #[test]
    fn the_next_call_counts_from_the_answer_of_the_last_one() {
        let (now, late) = (Instant::now(), Duration::from_millis(300));
        let mut bucket = bucket(1, now);
        bucket.hold();
        bucket.settle(now + late);
        assert_eq!(bucket.time_until(1, now + late), ONE);
        assert_eq!(
            bucket.time_until(1, now + ONE),
            late,
            "eGain may have counted the last one that late"
        );
        assert_eq!(bucket.time_until(1, now + ONE + late), Duration::ZERO);
    }

    #[test]
    fn a_burst_with_room_for_the_calls_under_way_loses_nothing_by_waiting_for_answers() {
        let (mut now, answer) = (Instant::now(), Duration::from_millis(500));
        let mut bucket = bucket(3, now);
        (0..3).for_each(|_| bucket.hold());
        (0..3).for_each(|_| bucket.settle(now));
        for _ in 0..10 {
            now += ONE;
            assert_eq!(bucket.time_until(1, now), Duration::ZERO);
            bucket.hold();
            bucket.settle(now + answer);
        }
    }

    #[test]
    fn a_call_that_is_not_made_costs_nothing() {
        let now = Instant::now();
        let mut bucket = bucket(1, now);
        bucket.hold();
        assert_eq!((bucket.left(now), bucket.time_until(1, now)), (0.0, ONE));
        bucket.give_back();
        assert_eq!(
            (bucket.left(now), bucket.time_until(1, now)),
            (1.0, Duration::ZERO)
        );
    }
}
