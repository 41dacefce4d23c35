//! A point in time on two clocks, so that neither a suspended machine nor a clock that is set keeps
//! something alive.

use std::ops::Add;
use std::time::{Duration, Instant, SystemTime};

/// A point in time: on the monotonic clock, which stops while a machine is suspended, and on the
/// wall clock, which doesn't, but may be set.
#[derive(Debug, Clone, Copy)]
pub struct DualInstant {
    /// On the monotonic clock.
    pub monotonic: Instant,
    /// On the wall clock.
    pub wall: SystemTime,
}

impl DualInstant {
    /// This moment.
    pub fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// How long it is until this moment, by the clock that is nearer to it. Zero once one of them
    /// has passed it.
    pub fn left(self) -> Duration {
        self.after(Self::now())
    }

    /// How long this is after an earlier moment, by the clock that says less; zero if one says that
    /// it isn't.
    pub fn after(self, earlier: Self) -> Duration {
        let by_wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        self.monotonic
            .saturating_duration_since(earlier.monotonic)
            .min(by_wall)
    }

    /// An earlier moment.
    pub fn less(self, span: Duration) -> Self {
        Self {
            monotonic: self.monotonic.checked_sub(span).unwrap_or(self.monotonic),
            wall: self.wall.checked_sub(span).unwrap_or(self.wall),
        }
    }
}

impl Add<Duration> for DualInstant {
    type Output = Self;

    /// Stays where it is when the sum can't be expressed, which is over in any case.
    fn add(self, span: Duration) -> Self {
        Self {
            monotonic: self.monotonic.checked_add(span).unwrap_or(self.monotonic),
            wall: self.wall.checked_add(span).unwrap_or(self.wall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_clock_that_is_further_on_decides() {
        let now = DualInstant::now();
        let expiry = now + 10 * MINUTE;
        let suspended = DualInstant {
            monotonic: now.monotonic + MINUTE,
            wall: now.wall + 11 * MINUTE,
        };
        let set_back = DualInstant {
            monotonic: now.monotonic + 2 * MINUTE,
            wall: now.wall - 60 * MINUTE,
        };
        let set_ahead = DualInstant {
            monotonic: now.monotonic,
            wall: now.wall + 60 * MINUTE,
        };
        assert_eq!(expiry.after(now), 10 * MINUTE);
        assert_eq!(expiry.after(suspended), Duration::ZERO, "the machine slept");
        assert_eq!(expiry.after(set_back), 8 * MINUTE);
        assert_eq!(expiry.after(set_ahead), Duration::ZERO);
        assert_eq!(expiry.less(MINUTE).after(now), 9 * MINUTE);
    }
}
