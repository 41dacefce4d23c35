//! The month's allowance: calls are counted by method and calendar month (UTC), warned of, and refused if that is wanted.
//!
//! Counted in memory, by this replica alone: a restart begins at zero. What was counted before isn't known, so this is
//! a guard against surprises, not the tenant's bill.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use prometheus::Gauge;

use super::calls::Operation;
use crate::words::fault::{Code, Fault, Stage};

/// The longest wait that is told: an operator may raise the quota before the month's end.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What may be asked in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Calls of each method, at least 1.
    pub calls: u64,
    /// Whether calls above it are refused; if not, they are told in the log.
    pub enforced: bool,
}

/// What was asked this month.
pub struct Month {
    quota: Quota,
    made: Mutex<Made>,
    assets: Gauge,
    other: Gauge,
}

struct Made {
    /// The month's first day.
    month: Date,
    calls: [u64; Operation::ALL.len()],
}

impl Month {
    /// Nothing was asked yet.
    pub fn new(quota: Quota, assets: Gauge, other: Gauge) -> Self {
        Self { quota, made: Mutex::new(Made::begin(first_day(Timestamp::now()))), assets, other }
    }

    /// Refuses a call that can't be made this month.
    pub fn check(&self, operation: Operation) -> Result<(), Fault> {
        self.check_at(operation, Timestamp::now())
    }

    /// Counts a call that is about to be made, unless it is refused.
    pub fn count(&self, operation: Operation) -> Result<(), Fault> {
        self.count_at(operation, Timestamp::now())
    }

    fn check_at(&self, operation: Operation, now: Timestamp) -> Result<(), Fault> {
        let mut made = self.made.lock();
        made.turn_over(first_day(now));
        self.permit(made.calls[operation as usize], now)
    }

    fn count_at(&self, operation: Operation, now: Timestamp) -> Result<(), Fault> {
        let mut made = self.made.lock();
        made.turn_over(first_day(now));
        let calls = &mut made.calls[operation as usize];
        self.permit(*calls, now)?;
        *calls += 1;
        self.warn(operation, *calls);
        self.tell(&made);
        Ok(())
    }

    fn permit(&self, calls: u64, now: Timestamp) -> Result<(), Fault> {
        if !self.quota.enforced || calls < self.quota.calls {
            return Ok(());
        }
        let detail = "this month's quota of eGain calls is used up: wait for the next month (UTC), or an operator must raise egain.plan or egain.monthly_quota";
        Err(Fault::gateway(Code::UpstreamQuota, Stage::Budget, detail).retry_after(until_next_month(now).min(LONGEST_WAIT)))
    }

    fn warn(&self, operation: Operation, calls: u64) {
        let Quota { calls: quota, enforced } = self.quota;
        if let Some(percent) = mark(calls, quota) {
            let operation = operation.name();
            tracing::warn!(operation, quota, enforced, percent, "so much of this month's quota of eGain calls is used");
        }
    }

    /// Of the method that is nearest to its end.
    fn tell(&self, made: &Made) {
        for (gauge, of_assets) in [(&self.assets, true), (&self.other, false)] {
            let methods = Operation::ALL.iter().filter(|operation| operation.is_of_assets() == of_assets);
            let most = methods.map(|operation| made.calls[*operation as usize]).max().unwrap_or(0);
            gauge.set(most as f64 / self.quota.calls as f64);
        }
    }
}

impl Made {
    fn begin(month: Date) -> Self {
        Self { month, calls: Default::default() }
    }

    /// A clock that is set back doesn't begin the old month again.
    fn turn_over(&mut self, month: Date) {
        if month > self.month {
            *self = Self::begin(month);
        }
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
    let next = first_day(now).last_of_month().tomorrow().and_then(|day| day.to_zoned(TimeZone::UTC));
    next.ok().and_then(|next| next.timestamp().duration_since(now).try_into().ok()).unwrap_or(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::metrics::Metrics;
    use Operation::{Create, Delete, Get};

    const LAST_SECONDS: &str = "2026-11-30T23:59:50Z";

    fn month(calls: u64, enforced: bool, now: &str) -> Month {
        let gauges = Metrics::new().upstream_quota_used;
        let [assets, other] = ["assets", "other"].map(|routes| gauges.with_label_values(&[routes]));
        let month = Month::new(Quota { calls, enforced }, assets, other);
        month.made.lock().month = first_day(at(now));
        month
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn each_method_has_a_quota_of_its_own_until_the_month_ends() {
        let (month, now) = (month(2, true, LAST_SECONDS), at(LAST_SECONDS));
        for operation in [Create, Get, Delete] {
            assert!(month.count_at(operation, now).is_ok() && month.count_at(operation, now).is_ok());
            let fault = month.count_at(operation, now).unwrap_err();
            assert_eq!((fault.code(), fault.wait()), (Code::UpstreamQuota, Some(Duration::from_secs(10))));
            assert!(month.check_at(operation, now).is_err());
            assert!(month.check_at(operation, at("2026-12-01T00:00:00Z")).is_ok());
            month.made.lock().month = first_day(now);
        }
    }

    #[test]
    fn a_new_month_begins_at_zero_and_a_clock_that_is_set_back_begins_none() {
        let month = month(10, true, LAST_SECONDS);
        for time in [LAST_SECONDS, "2026-12-01T00:00:01Z", LAST_SECONDS] {
            month.count_at(Create, at(time)).unwrap();
        }
        assert_eq!((month.made.lock().calls[Create as usize], month.assets.get(), month.other.get()), (2, 0.2, 0.0));
    }

    #[test]
    fn without_enforcement_calls_are_only_counted() {
        let (month, now) = (month(2, false, LAST_SECONDS), at(LAST_SECONDS));
        for _ in 0..3 {
            month.check_at(Delete, now).unwrap();
            month.count_at(Delete, now).unwrap();
        }
        assert_eq!((month.assets.get(), month.other.get()), (0.0, 1.5));
    }

    #[test]
    fn each_mark_is_told_once() {
        let marks = |quota| (1..=2 * quota).filter_map(|calls| Some((calls, mark(calls, quota)?))).collect::<Vec<_>>();
        assert_eq!(marks(1000), [(800, 80), (1000, 100)]);
        assert_eq!(marks(1), [(1, 100)]);
    }

    #[test]
    fn the_wait_that_is_told_is_a_day_at_most() {
        let early = "2026-12-01T00:00:00Z";
        let month = month(1, true, early);
        month.count_at(Get, at(early)).unwrap();
        assert_eq!(month.check_at(Get, at(early)).unwrap_err().wait(), Some(LONGEST_WAIT));
        assert_eq!(until_next_month(at(early)), Duration::from_secs(31 * 24 * 60 * 60));
    }
}
