//! When no call is made at all: after a 429 (backoff) and during an outage (circuit breaker).
//!
//! Both end the same way: once the pause is over, one call is sent as a probe. If eGain accepts it,
//! all calls are admitted again; if not, the pause doubles. So eGain isn't called more often than
//! it wants, and no single odd response stops the service for longer than `egain.max_pause`.
//!
//! Circuit-breaker crates (`failsafe`, `recloser`) let any number of calls through as probes, don't
//! expose when the next one is due, and ignore `Retry-After`.

use std::time::Duration;

use tokio::time::Instant;

/// This many failed calls in a row are an outage.
const FAILURES: u32 = 5;
/// The first pause of an outage, and of a 429 that names none.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause during an outage unless eGain names more: it may be over at any time, and a
/// probe costs little.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::from_secs(10);

/// What the result of a call means for the calls after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallVerdict {
    /// eGain responded, and accepts calls.
    Taken,
    /// 429, with its `Retry-After`.
    TooMany(Option<Duration>),
    /// eGain failed: 5xx, with its `Retry-After`, or no response.
    Failed(Option<Duration>),
    /// No connection was made: eGain failed, and hasn't seen the call.
    Unsent,
}

/// Why no call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PauseCause {
    TooMany,
    Outage,
}

/// What is logged for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerEvent {
    Stopped {
        cause: PauseCause,
        retry_after: Option<Duration>,
        pause: Duration,
    },
    Over {
        cause: PauseCause,
    },
}

/// Whether calls may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallGate {
    Open,
    /// None for this long, and then one.
    Shut(Duration),
    /// One is in flight as a probe.
    Probing,
}

pub(super) struct CircuitBreaker {
    max_pause: Duration,
    /// Failures in a row.
    failures: u32,
    /// The longest `Retry-After` of those.
    retry_after: Duration,
    stop: Option<Stop>,
}

struct Stop {
    cause: PauseCause,
    until: Instant,
    pause: Duration,
    /// The number of the call that probes.
    probe: Option<u64>,
}

impl CircuitBreaker {
    pub(super) fn new(max_pause: Duration) -> Self {
        Self {
            max_pause,
            failures: 0,
            retry_after: Duration::ZERO,
            stop: None,
        }
    }

    pub(super) fn gate(&self, now: Instant) -> CallGate {
        match &self.stop {
            None => CallGate::Open,
            Some(Stop { probe: Some(_), .. }) => CallGate::Probing,
            Some(stop) => CallGate::Shut(stop.until.saturating_duration_since(now)),
        }
    }

    /// Why calls wait or are refused, if they are.
    pub(super) fn cause(&self) -> Option<PauseCause> {
        self.stop.as_ref().map(|stop| stop.cause)
    }

    /// How long until the next call may go: what is left of the pause, and during a probe that may
    /// fail, the pause that would follow.
    pub(super) fn left(&self, now: Instant) -> Duration {
        let Some(stop) = &self.stop else {
            return Duration::ZERO;
        };
        if stop.probe.is_some() {
            stop.pause
        } else {
            stop.until.saturating_duration_since(now)
        }
    }

    /// A call is admitted; it is the probe if there is a pause.
    pub(super) fn admitted(&mut self, number: u64) {
        if let Some(stop) = &mut self.stop {
            stop.probe = Some(number);
        }
    }

    /// An admitted call was not made.
    pub(super) fn withdrawn(&mut self, number: u64) {
        if let Some(stop) = self.stop.as_mut().filter(|stop| stop.probe == Some(number)) {
            stop.probe = None;
        }
    }

    /// A call has ended.
    pub(super) fn ended(
        &mut self,
        number: u64,
        verdict: CallVerdict,
        now: Instant,
    ) -> Option<BreakerEvent> {
        match &self.stop {
            None => self.ended_while_open(verdict, now),
            Some(stop) if stop.probe == Some(number) => self.probe_ended(verdict, now),
            Some(stop) => {
                self.ended_late(stop.cause, verdict, now);
                None
            }
        }
    }

    fn ended_while_open(&mut self, verdict: CallVerdict, now: Instant) -> Option<BreakerEvent> {
        match verdict {
            CallVerdict::Taken => {
                (self.failures, self.retry_after) = (0, Duration::ZERO);
                None
            }
            CallVerdict::TooMany(retry_after) => Some(self.stop(
                PauseCause::TooMany,
                retry_after,
                retry_after.unwrap_or(FIRST_PAUSE).min(self.max_pause),
                now,
            )),
            CallVerdict::Failed(retry_after) => self.failed(retry_after, now),
            CallVerdict::Unsent => self.failed(None, now),
        }
    }

    fn failed(&mut self, retry_after: Option<Duration>, now: Instant) -> Option<BreakerEvent> {
        self.failures += 1;
        self.retry_after = self
            .retry_after
            .max(retry_after.unwrap_or_default())
            .min(self.max_pause);
        let retry_after = (!self.retry_after.is_zero()).then_some(self.retry_after);
        if self.failures < FAILURES {
            return None;
        }
        let pause = self.retry_after.max(FIRST_PAUSE);
        Some(self.stop(PauseCause::Outage, retry_after, pause, now))
    }

    fn stop(
        &mut self,
        cause: PauseCause,
        retry_after: Option<Duration>,
        pause: Duration,
        now: Instant,
    ) -> BreakerEvent {
        self.stop = Some(Stop {
            cause,
            until: now + pause,
            pause,
            probe: None,
        });
        BreakerEvent::Stopped {
            cause,
            retry_after,
            pause,
        }
    }

    /// The probe's verdict: all calls are admitted again, or none for twice as long.
    fn probe_ended(&mut self, verdict: CallVerdict, now: Instant) -> Option<BreakerEvent> {
        let before = self.stop.take()?;
        let twice = |cause| {
            if before.cause == cause {
                before.pause * 2
            } else {
                FIRST_PAUSE
            }
        };
        let (cause, pause) = match verdict {
            CallVerdict::Taken => {
                (self.failures, self.retry_after) = (0, Duration::ZERO);
                return Some(BreakerEvent::Over {
                    cause: before.cause,
                });
            }
            CallVerdict::TooMany(retry_after) => (
                PauseCause::TooMany,
                twice(PauseCause::TooMany).min(retry_after.unwrap_or(self.max_pause)),
            ),
            CallVerdict::Failed(retry_after) => {
                let retry_after = retry_after.unwrap_or_default().min(self.max_pause);
                (
                    PauseCause::Outage,
                    twice(PauseCause::Outage)
                        .min(LONGEST_OUTAGE_PAUSE)
                        .max(retry_after),
                )
            }
            CallVerdict::Unsent => (
                PauseCause::Outage,
                twice(PauseCause::Outage).min(LONGEST_OUTAGE_PAUSE),
            ),
        };
        self.stop = Some(Stop {
            cause,
            until: now + pause,
            pause,
            probe: None,
        });
        None
    }

    /// A call that was sent before the stop: another 429 may name more, and a response ends an
    /// outage.
    fn ended_late(&mut self, cause: PauseCause, verdict: CallVerdict, now: Instant) {
        match (cause, verdict) {
            (PauseCause::Outage, CallVerdict::Taken) => *self = Self::new(self.max_pause),
            (PauseCause::TooMany, CallVerdict::TooMany(Some(retry_after))) => {
                let pause = retry_after.min(self.max_pause);
                if let Some(stop) = self.stop.as_mut().filter(|stop| stop.pause < pause) {
                    (stop.until, stop.pause) = (stop.until.max(now + pause), pause);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    /// Lets probes fail, and says how long each pause was.
    fn pauses(
        breaker: &mut CircuitBreaker,
        first: Instant,
        verdict: CallVerdict,
        probes: u64,
    ) -> Vec<u64> {
        let mut now = first;
        let mut one = |number| {
            let left = breaker.left(now);
            now += left;
            assert_eq!(breaker.gate(now), CallGate::Shut(Duration::ZERO));
            breaker.admitted(number);
            assert_eq!(breaker.gate(now), CallGate::Probing);
            assert_eq!(
                breaker.ended(number, verdict, now),
                None,
                "it is logged once"
            );
            left.as_secs()
        };
        (1000..1000 + probes).map(&mut one).collect()
    }

    #[test]
    fn one_429_stops_calls_for_max_pause_at_most() {
        let now = Instant::now();
        for (retry_after, pause) in [
            (None, SECOND),
            (Some(5 * SECOND), 5 * SECOND),
            (Some(HOUR), MINUTE),
        ] {
            let mut breaker = CircuitBreaker::new(MINUTE);
            let event = breaker.ended(0, CallVerdict::TooMany(retry_after), now);
            assert_eq!(
                event,
                Some(BreakerEvent::Stopped {
                    cause: PauseCause::TooMany,
                    retry_after,
                    pause
                })
            );
            assert_eq!(breaker.gate(now), CallGate::Shut(pause));
        }
    }

    #[test]
    fn a_pause_doubles_up_to_the_retry_after() {
        let now = Instant::now();
        for (retry_after, seen) in [
            (Some(HOUR), [60, 120, 240, 480, 960, 1920, 3600, 3600]),
            (Some(3 * SECOND), [3; 8]),
        ] {
            let mut breaker = CircuitBreaker::new(MINUTE);
            breaker.ended(0, CallVerdict::TooMany(retry_after), now);
            assert_eq!(
                pauses(&mut breaker, now, CallVerdict::TooMany(retry_after), 8),
                seen
            );
        }
        let mut breaker = CircuitBreaker::new(MINUTE);
        breaker.ended(0, CallVerdict::TooMany(None), now);
        assert_eq!(
            pauses(&mut breaker, now, CallVerdict::TooMany(None), 8),
            [1, 2, 4, 8, 16, 32, 60, 60]
        );
    }

    #[test]
    fn an_accepted_probe_admits_all_calls_again() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::new(MINUTE);
        breaker.ended(0, CallVerdict::TooMany(None), now);
        breaker.admitted(1);
        breaker.withdrawn(1);
        assert_eq!(
            breaker.gate(now + SECOND),
            CallGate::Shut(Duration::ZERO),
            "the next one may probe"
        );
        breaker.admitted(2);
        breaker.withdrawn(1);
        assert_eq!(breaker.gate(now + SECOND), CallGate::Probing);
        assert_eq!(
            breaker.ended(2, CallVerdict::Taken, now + SECOND),
            Some(BreakerEvent::Over {
                cause: PauseCause::TooMany
            })
        );
        assert_eq!(breaker.gate(now + SECOND), CallGate::Open);
    }

    #[test]
    fn five_failures_in_a_row_are_an_outage() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::new(MINUTE);
        for number in 0..4 {
            assert_eq!(breaker.ended(number, CallVerdict::Failed(None), now), None);
        }
        breaker.ended(4, CallVerdict::Taken, now);
        for number in 5..9 {
            assert_eq!(breaker.ended(number, CallVerdict::Unsent, now), None);
        }
        assert_eq!(breaker.gate(now), CallGate::Open);
        assert!(breaker.ended(9, CallVerdict::Failed(None), now).is_some());
        assert_eq!(
            (breaker.gate(now), breaker.cause()),
            (CallGate::Shut(SECOND), Some(PauseCause::Outage))
        );
        assert_eq!(
            pauses(&mut breaker, now, CallVerdict::Failed(None), 6),
            [1, 2, 4, 8, 10, 10]
        );
    }

    #[test]
    fn a_retry_after_is_its_outages_shortest_pause() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::new(MINUTE);
        for number in 0..5 {
            breaker.ended(
                number,
                CallVerdict::Failed((number == 2).then_some(30 * SECOND)),
                now,
            );
        }
        assert_eq!(
            pauses(&mut breaker, now, CallVerdict::Failed(Some(HOUR)), 3),
            [30, 60, 60]
        );
    }

    #[test]
    fn earlier_calls_end_an_outage_but_not_a_429() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::new(MINUTE);
        for number in 0..5 {
            breaker.ended(number, CallVerdict::Failed(None), now);
        }
        breaker.ended(5, CallVerdict::Taken, now);
        assert_eq!(breaker.gate(now), CallGate::Open);
        breaker.ended(6, CallVerdict::TooMany(Some(2 * SECOND)), now);
        breaker.ended(7, CallVerdict::Taken, now);
        breaker.ended(8, CallVerdict::TooMany(Some(HOUR)), now);
        assert_eq!(
            breaker.gate(now),
            CallGate::Shut(MINUTE),
            "another one asked for more"
        );
    }
}
