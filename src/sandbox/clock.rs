//! The stand-in's own clock, which may be wrong on purpose.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

#[derive(Debug, Clone, Copy)]
pub(super) struct SandboxClock {
    skew: SignedDuration,
}

impl SandboxClock {
    pub(super) fn ahead_by(skew: SignedDuration) -> Self {
        Self { skew }
    }

    /// The time that this stand-in believes it is.
    pub(super) fn now(self) -> Timestamp {
        later(Timestamp::now(), self.skew)
    }

    /// That time, `life` from now.
    pub(super) fn after(self, life: Duration) -> Timestamp {
        later(
            self.now(),
            SignedDuration::try_from(life).unwrap_or(SignedDuration::MAX),
        )
    }
}

/// Ends at the end of time instead of failing: a setting may well mean "never".
fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// As eGain writes times: RFC 3339 in UTC with milliseconds.
pub(super) fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds() {
        assert_eq!(
            rfc3339("2022-01-27T20:04:25.4Z".parse().unwrap()),
            "2022-01-27T20:04:25.400Z"
        );
    }

    #[test]
    fn a_skewed_clock_is_ahead() {
        let clock = SandboxClock::ahead_by(SignedDuration::from_hours(1));
        assert!(clock.now() > Timestamp::now() + SignedDuration::from_mins(59));
        assert_eq!(clock.after(Duration::MAX), Timestamp::MAX);
    }
}
