//! The month's allowance: calls are counted by method and calendar month (UTC), warned of, and
//! refused if that is wanted.
//!
//! What eGain has seen counts: calls that were answered or had no answer in time, and none that
//! never got a connection. The month is eGain's own, by the `Date` of its answers, where that can
//! be believed.
//!
//! Counted in memory, by this replica alone: a restart begins at zero. What was counted before
//! isn't known, so this is a guard against surprises, not the tenant's bill.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use prometheus::Gauge;

use super::client::EgainOperation;
use crate::types::error::{Error, ErrorCode, Stage};

/// The longest wait that is told: an operator may raise the quota before the month's end.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// A `Date` that is further off than a month, by all that is known, is wrong.
const MONTH: SignedDuration = SignedDuration::from_hours(31 * 24);
/// Months of which a count is kept: a clock that was wrong for a while comes back to a count that
/// is still there.
const MONTHS: usize = 3;

/// What may be asked in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonthlyQuota {
    /// Calls of each method, at least 1.
    pub calls: u64,
    /// Whether calls above it are refused; if not, they are told in the log.
    pub enforced: bool,
}

/// What was asked this month.
pub struct MonthlyUsage {
    quota: MonthlyQuota,
    made: Mutex<Made>,
    assets: Gauge,
    other: Gauge,
}

struct Made {
    calendar: Calendar,
    /// By the month's first day.
    calls: BTreeMap<Date, Calls>,
    /// Calls that are in flight, which may yet count.
    in_flight: Calls,
}

type Calls = [u64; EgainOperation::ALL.len()];

/// What time it is at eGain: by its last `Date` that could be believed, else by our own clock.
#[derive(Default)]
struct Calendar {
    told: Option<(Timestamp, Instant)>,
}

impl Calendar {
    fn now(&self, ours: Timestamp) -> Timestamp {
        let since = |(told, at): (Timestamp, Instant)| {
            told.checked_add(SignedDuration::try_from(at.elapsed()).ok()?)
                .ok()
        };
        self.told.and_then(since).unwrap_or(ours)
    }

    /// Takes a `Date` over unless it is more than a month off, both by what was told before and by
    /// our own clock.
    fn hear(&mut self, date: Timestamp, ours: Timestamp) {
        let is_near = |other: Timestamp| date.duration_since(other).abs() <= MONTH;
        if self.told.is_none() || is_near(self.now(ours)) || is_near(ours) {
            self.told = Some((date, Instant::now()));
        }
    }
}

impl MonthlyUsage {
    /// Nothing was asked yet.
    pub fn new(quota: MonthlyQuota, assets: Gauge, other: Gauge) -> Arc<Self> {
        let made = Made {
            calendar: Calendar::default(),
            calls: BTreeMap::new(),
            in_flight: Calls::default(),
        };
        Arc::new(Self {
            quota,
            made: Mutex::new(made),
            assets,
            other,
        })
    }

    /// Refuses a call that can't be made this month.
    pub fn check(&self, operation: EgainOperation) -> Result<(), Error> {
        self.check_at(operation, Timestamp::now())
    }

    /// Sets a place aside for a call that is about to be made, unless it is refused.
    pub fn reserve(self: &Arc<Self>, operation: EgainOperation) -> Result<CallReservation, Error> {
        let mut made = self.made.lock();
        self.permit(&made, operation, Timestamp::now())?;
        made.in_flight[operation as usize] += 1;
        Ok(CallReservation {
            month: self.clone(),
            operation,
        })
    }

    /// Sets the gauges, each of the method that is nearest to its end.
    pub fn report(&self) {
        let made = self.made.lock();
        let calls = made.this_month(Timestamp::now());
        for (gauge, of_assets) in [(&self.assets, true), (&self.other, false)] {
            let methods = EgainOperation::ALL
                .iter()
                .filter(|operation| operation.is_of_assets() == of_assets);
            let most = methods
                .map(|operation| calls[*operation as usize])
                .max()
                .unwrap_or(0);
            gauge.set(most as f64 / self.quota.calls as f64);
        }
    }

    fn check_at(&self, operation: EgainOperation, ours: Timestamp) -> Result<(), Error> {
        self.permit(&self.made.lock(), operation, ours)
    }

    /// eGain has seen a call, and may have told what time it is.
    fn count_at(&self, operation: EgainOperation, date: Option<Timestamp>, ours: Timestamp) {
        let mut made = self.made.lock();
        if let Some(date) = date {
            made.calendar.hear(date, ours);
        }
        let calls = made.count(operation, ours);
        drop(made);
        self.warn(operation, calls);
    }

    fn permit(&self, made: &Made, operation: EgainOperation, ours: Timestamp) -> Result<(), Error> {
        let calls = made.this_month(ours)[operation as usize] + made.in_flight[operation as usize];
        if !self.quota.enforced || calls < self.quota.calls {
            return Ok(());
        }
        let detail = "this month's quota of eGain calls is used up: wait for the next month (UTC), or an operator must raise egain.plan or egain.monthly_quota";
        Err(
            Error::gateway(ErrorCode::UpstreamQuota, Stage::Budget, detail)
                .retry_after(until_next_month(made.calendar.now(ours)).min(LONGEST_WAIT)),
        )
    }

    fn warn(&self, operation: EgainOperation, calls: u64) {
        let MonthlyQuota {
            calls: quota,
            enforced,
        } = self.quota;
        if let Some(percent) = mark(calls, quota) {
            let operation = operation.name();
            tracing::warn!(
                operation,
                quota,
                enforced,
                percent,
                "so much of this month's quota of eGain calls is used"
            );
        }
    }
}

impl Made {
    fn this_month(&self, ours: Timestamp) -> Calls {
        self.calls
            .get(&first_day(self.calendar.now(ours)))
            .copied()
            .unwrap_or_default()
    }

    fn count(&mut self, operation: EgainOperation, ours: Timestamp) -> u64 {
        let month = first_day(self.calendar.now(ours));
        let calls = &mut self.calls.entry(month).or_default()[operation as usize];
        *calls += 1;
        let calls = *calls;
        while self.calls.len() > MONTHS {
            // The one that is furthest from now is the one that a wrong clock has made, or the
            // oldest.
            let distance = |other: &Date| (other.duration_since(month)).abs();
            let furthest = self
                .calls
                .keys()
                .copied()
                .max_by_key(distance)
                .expect("there is more than one");
            self.calls.remove(&furthest);
        }
        calls
    }
}

/// A place in the month for one call. It counts only where eGain has seen the call.
pub struct CallReservation {
    month: Arc<MonthlyUsage>,
    operation: EgainOperation,
}

impl CallReservation {
    /// eGain has seen the call. `date` is the time that its answer told.
    pub fn count(self, date: Option<Timestamp>) {
        self.month.count_at(self.operation, date, Timestamp::now());
    }
}

impl Drop for CallReservation {
    fn drop(&mut self) {
        self.month.made.lock().in_flight[self.operation as usize] -= 1;
    }
}

/// The percentage that is worth a word in the log, at the one call that reaches it.
fn mark(calls: u64, quota: u64) -> Option<u8> {
    match calls {
        _ if calls == quota => Some(100),
        _ if calls == quota - quota / 5 => Some(80),
        _ => None,
    }
}

fn first_day(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date().first_of_month()
}

fn until_next_month(now: Timestamp) -> Duration {
    let next = first_day(now)
        .last_of_month()
        .tomorrow()
        .and_then(|day| day.to_zoned(TimeZone::UTC));
    next.ok()
        .and_then(|next| next.timestamp().duration_since(now).try_into().ok())
        .unwrap_or(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::ServiceMetrics;
    use EgainOperation::{Create, Delete, Get};

    const LAST_SECONDS: &str = "2026-11-30T23:59:50Z";
    const NEXT_MONTH: &str = "2026-12-01T00:00:01Z";

    fn month(calls: u64, enforced: bool) -> Arc<MonthlyUsage> {
        let gauges = ServiceMetrics::new().upstream_quota_used;
        let [assets, other] = ["assets", "other"].map(|routes| gauges.with_label_values(&[routes]));
        MonthlyUsage::new(MonthlyQuota { calls, enforced }, assets, other)
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn each_method_has_a_quota_of_its_own_until_the_month_ends() {
        let (month, now) = (month(2, true), at(LAST_SECONDS));
        for operation in [Create, Get, Delete] {
            (0..2).for_each(|_| month.count_at(operation, None, now));
            let fault = month.check_at(operation, now).unwrap_err();
            assert_eq!(
                (fault.code(), fault.wait()),
                (ErrorCode::UpstreamQuota, Some(Duration::from_secs(10)))
            );
            assert!(month.check_at(operation, at(NEXT_MONTH)).is_ok());
        }
    }

    #[test]
    fn a_call_that_egain_never_saw_doesnt_count_and_one_in_flight_holds_its_place() {
        let month = month(1, true);
        let reserved = month.reserve(Create).unwrap();
        assert!(month.reserve(Create).is_err(), "the only place is taken");
        drop(reserved);
        month.reserve(Create).unwrap().count(None);
        assert!(month.reserve(Create).is_err());
        assert_eq!(month.made.lock().in_flight, Calls::default());
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_while_comes_back_to_its_count() {
        let (month, now) = (month(2, true), at(LAST_SECONDS));
        for wrong in [
            "2027-06-01T00:00:00Z",
            "2035-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "2026-10-01T00:00:00Z",
        ] {
            month.count_at(Create, None, now);
            month.count_at(Get, None, at(wrong));
        }
        assert!(
            month.check_at(Create, now).is_err() && month.check_at(Create, at(NEXT_MONTH)).is_ok()
        );
        assert!(month.made.lock().calls.len() <= MONTHS);
    }

    #[test]
    fn egains_own_date_wins_over_our_clock() {
        let (month, resumed) = (month(1, true), at("2035-01-01T00:00:00Z"));
        month.count_at(Create, Some(at(LAST_SECONDS)), at(LAST_SECONDS));
        assert!(
            month.check_at(Create, resumed).is_err(),
            "our clock has jumped ahead"
        );
        assert!(
            month.check_at(Create, at("1970-01-01T00:00:00Z")).is_err(),
            "or back"
        );
        month.count_at(Delete, Some(at(NEXT_MONTH)), resumed);
        assert!(
            month.check_at(Create, resumed).is_ok(),
            "eGain's month has turned"
        );
    }

    #[test]
    fn a_date_that_is_more_than_a_month_off_is_not_believed() {
        let (month, now) = (month(1, true), at(LAST_SECONDS));
        month.count_at(Create, Some(now), now);
        for wrong in [
            "2027-01-15T00:00:00Z",
            "2099-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
        ] {
            month.count_at(Get, Some(at(wrong)), now);
            assert!(month.check_at(Create, now).is_err(), "{wrong}");
        }
        // The first one is believed for want of a better one, and then our clock and eGain's agree
        // on another.
        let month = self::month(1, true);
        month.count_at(Create, Some(at("2099-01-01T00:00:00Z")), now);
        month.count_at(Get, Some(now), now);
        assert!(month.check_at(Create, now).is_ok() && month.check_at(Get, now).is_err());
    }

    #[test]
    fn without_enforcement_calls_are_only_counted() {
        let month = month(2, false);
        for _ in 0..3 {
            month.reserve(Delete).unwrap().count(None);
        }
        month.report();
        assert_eq!((month.assets.get(), month.other.get()), (0.0, 1.5));
    }

    #[test]
    fn each_mark_is_told_once() {
        let marks = |quota| {
            (1..=2 * quota)
                .filter_map(|calls| Some((calls, mark(calls, quota)?)))
                .collect::<Vec<_>>()
        };
        assert_eq!(marks(1000), [(800, 80), (1000, 100)]);
        assert_eq!(marks(1), [(1, 100)]);
    }

    #[test]
    fn the_wait_that_is_told_is_a_day_at_most() {
        let early = "2026-12-01T00:00:00Z";
        let month = month(1, true);
        month.count_at(Get, None, at(early));
        assert_eq!(
            month.check_at(Get, at(early)).unwrap_err().wait(),
            Some(LONGEST_WAIT)
        );
        assert_eq!(
            until_next_month(at(early)),
            Duration::from_secs(31 * 24 * 60 * 60)
        );
    }
}
