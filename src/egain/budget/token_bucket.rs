//! The budget itself: a token bucket that is never ahead of eGain's own.
//!
//! eGain counts a call when it arrives there, and one call takes longer to arrive than the next: it
//! has to connect first, or the network is busy. A bucket that refills from the moment a call is
//! sent would admit the next one too early by that difference, and eGain would respond with 429. So
//! a call is *reserved* while it is in flight, and committed when its response came: eGain has
//! counted it before that. The price is the time of one exchange in each interval where the burst
//! is 1, and nothing where the burst has room for the calls in flight.

use std::time::Duration;

use tokio::time::Instant;

/// How many calls a second, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CallRate {
    /// Calls a second, above 0.
    pub per_second: f64,
    /// Calls at once, at least 1.
    pub burst: u32,
}

/// A smaller fraction of a call counts as none. Otherwise a rounding error would be waited for in a
/// busy loop.
const EPSILON: f64 = 1e-9;

pub(super) struct TokenBucket {
    rate: CallRate,
    tokens: f64,
    filled: Instant,
    /// Calls that are reserved or in flight.
    reserved: u32,
}

impl TokenBucket {
    pub(super) fn full(rate: CallRate, now: Instant) -> Self {
        Self {
            rate,
            tokens: f64::from(rate.burst),
            filled: now,
            reserved: 0,
        }
    }

    /// Calls that may be in flight at one time.
    pub(super) fn burst(&self) -> usize {
        self.rate.burst as usize
    }

    /// Calls that could be made at once.
    pub(super) fn left(&mut self, now: Instant) -> f64 {
        self.fill(now);
        (self.tokens - f64::from(self.reserved)).max(0.0)
    }

    /// How long until this many calls may be made, if those in flight have ended by then.
    pub(super) fn time_until(&mut self, calls: usize, now: Instant) -> Duration {
        self.fill(now);
        let missing = calls as f64 + f64::from(self.reserved) - self.tokens;
        let missing = if missing > EPSILON { missing } else { 0.0 };
        Duration::from_secs_f64((missing / self.rate.per_second).min(1e9))
    }

    /// Reserves a call; only if [`Self::time_until`] one is zero.
    pub(super) fn reserve(&mut self) {
        self.reserved += 1;
    }

    /// A reserved call isn't made.
    pub(super) fn cancel(&mut self) {
        self.reserved -= 1;
    }

    /// A call was made: eGain has counted it by now.
    pub(super) fn commit(&mut self, now: Instant) {
        self.fill(now);
        self.reserved -= 1;
        // Below zero only after a 429, which has emptied the bucket while calls were in flight.
        self.tokens = (self.tokens - 1.0).max(0.0);
    }

    /// A committed call never reached eGain.
    pub(super) fn refund(&mut self) {
        self.tokens = (self.tokens + 1.0).min(f64::from(self.rate.burst));
    }

    /// eGain's own bucket is empty.
    pub(super) fn empty(&mut self) {
        self.tokens = 0.0;
    }

    /// There are no more calls than these.
    pub(super) fn limit(&mut self, calls: f64, now: Instant) {
        self.fill(now);
        self.tokens = self.tokens.min(calls);
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
    fn the_bucket_refills_from_the_last_response() {
        let (now, late) = (Instant::now(), Duration::from_millis(300));
        let mut bucket = bucket(1, now);
        bucket.reserve();
        bucket.commit(now + late);
        assert_eq!(bucket.time_until(1, now + late), ONE);
        assert_eq!(
            bucket.time_until(1, now + ONE),
            late,
            "eGain may have counted the last one that late"
        );
        assert_eq!(bucket.time_until(1, now + ONE + late), Duration::ZERO);
    }

    #[test]
    fn a_burst_with_room_loses_nothing_to_slow_responses() {
        let (mut now, response) = (Instant::now(), Duration::from_millis(500));
        let mut bucket = bucket(3, now);
        (0..3).for_each(|_| bucket.reserve());
        (0..3).for_each(|_| bucket.commit(now));
        for _ in 0..10 {
            now += ONE;
            assert_eq!(bucket.time_until(1, now), Duration::ZERO);
            bucket.reserve();
            bucket.commit(now + response);
        }
    }

    #[test]
    fn a_call_that_is_not_made_costs_nothing() {
        let now = Instant::now();
        let mut bucket = bucket(1, now);
        bucket.reserve();
        assert_eq!((bucket.left(now), bucket.time_until(1, now)), (0.0, ONE));
        bucket.cancel();
        assert_eq!(
            (bucket.left(now), bucket.time_until(1, now)),
            (1.0, Duration::ZERO)
        );
    }
}
