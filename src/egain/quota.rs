//! The monthly quota: calls are counted by method and calendar month (UTC). The log warns of their
//! number, and the gateway refuses more of them if that is wanted.
//!
//! A call counts if eGain has seen it: if it got a response or timed out, and not if no connection
//! was made. The month is eGain's own, by the `Date` of its responses, unless that is implausible.
//!
//! Replicas that share a store count together, and no restart forgets their calls. Without it each
//! counts in memory, against its share of the quota, and a restart begins at zero. In either case
//! this is a guard against surprises, not the tenant's bill.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use prometheus::Gauge;
use strum::{EnumCount, VariantArray};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::operation::EgainOperation;
use crate::shared_store::{SharedCallCount, SharedMonth};
use crate::types::error::{Error, ErrorCode, Stage};

/// The longest `Retry-After`: an operator may raise the quota before the month's end.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// A `Date` that is further off than this, both from eGain's last one and from our own clock, is
/// wrong.
const MONTH: SignedDuration = SignedDuration::from_hours(31 * 24);
/// Counts of this many months are stored: after a clock was wrong for a while, the right month's
/// count still exists.
const MONTHS: usize = 3;
/// Calls are told to the other replicas this much later, several at once.
const TOLD_AFTER: Duration = Duration::from_millis(200);
/// How often the other replicas' calls are read if this one makes none.
const READ_EVERY: Duration = Duration::from_secs(10);

/// How many calls a month allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonthlyQuota {
    /// Calls of each method that this replica may make, at least 1.
    pub calls: u64,
    /// Calls of each method that all replicas may make together, where they count together.
    pub tenant_calls: u64,
    /// Whether calls above it are refused; if not, they are only logged.
    pub enforced: bool,
}

/// The calls of this month.
pub(super) struct MonthlyUsage {
    quota: MonthlyQuota,
    counts: Mutex<CallCounts>,
    /// Notified when a call was counted.
    counted: Notify,
    assets: Gauge,
    other: Gauge,
}

struct CallCounts {
    clock: EgainClock,
    /// By the month's first day.
    calls: BTreeMap<Date, Calls>,
    /// What is known of all replicas' calls.
    shared: Option<SharedCalls>,
    /// Calls that are in flight, which may yet count.
    in_flight: Calls,
}

/// All replicas' calls in a month.
struct SharedCalls {
    month: Date,
    /// Those of this replica that are in the total.
    told: Calls,
    total: Calls,
}

/// A number of calls for each operation.
type Calls = [u64; EgainOperation::COUNT];

/// What time it is at eGain: by its last plausible `Date`, else by our own clock.
#[derive(Default)]
struct EgainClock {
    last: Option<(Timestamp, Instant)>,
}

impl EgainClock {
    fn now(&self, ours: Timestamp) -> Timestamp {
        self.since_last_date().unwrap_or(ours)
    }

    fn since_last_date(&self) -> Option<Timestamp> {
        let (date, at) = self.last?;
        let elapsed = SignedDuration::try_from(at.elapsed()).ok()?;
        date.checked_add(elapsed).ok()
    }

    /// Accepts a `Date` unless it is more than a month off, both from the last one and from our own
    /// clock.
    fn update(&mut self, date: Timestamp, ours: Timestamp) {
        let is_near = |other: Timestamp| date.duration_since(other).abs() <= MONTH;
        if self.last.is_none() || is_near(self.now(ours)) || is_near(ours) {
            self.last = Some((date, Instant::now()));
        }
    }
}

impl MonthlyUsage {
    /// Without any calls.
    pub(super) fn new(quota: MonthlyQuota, assets: Gauge, other: Gauge) -> Arc<Self> {
        let counts = CallCounts {
            clock: EgainClock::default(),
            calls: BTreeMap::new(),
            shared: None,
            in_flight: Calls::default(),
        };
        Arc::new(Self {
            quota,
            counts: Mutex::new(counts),
            counted: Notify::new(),
            assets,
            other,
        })
    }

    /// Refuses a call that can't be made this month.
    pub(super) fn check(&self, operation: EgainOperation) -> Result<(), Error> {
        self.check_at(operation, Timestamp::now())
    }

    /// Reserves a call that is about to be made, unless it is refused.
    pub(super) fn reserve(
        self: &Arc<Self>,
        operation: EgainOperation,
    ) -> Result<CallReservation, Error> {
        let mut counts = self.counts.lock();
        self.authorize(&counts, operation, Timestamp::now())?;
        counts.in_flight[operation as usize] += 1;
        Ok(CallReservation {
            usage: self.clone(),
            operation,
        })
    }

    /// Sets the gauges, each to the method that is nearest to its quota.
    pub(super) fn report(&self) {
        let counts = self.counts.lock();
        let calls = counts.this_month(Timestamp::now());
        let mut assets = 0;
        let mut other = 0;
        for operation in EgainOperation::VARIANTS {
            let most = if operation.is_of_assets() {
                &mut assets
            } else {
                &mut other
            };
            *most = calls[*operation as usize].max(*most);
        }
        let quota = self.limit(&counts, Timestamp::now()) as f64;
        self.assets.set(assets as f64 / quota);
        self.other.set(other as f64 / quota);
    }

    fn check_at(&self, operation: EgainOperation, ours: Timestamp) -> Result<(), Error> {
        self.authorize(&self.counts.lock(), operation, ours)
    }

    /// Counts a call that eGain has seen. `date` is the `Date` of its response.
    fn count_at(&self, operation: EgainOperation, date: Option<Timestamp>, ours: Timestamp) {
        let mut counts = self.counts.lock();
        if let Some(date) = date {
            counts.clock.update(date, ours);
        }
        counts.count(operation, ours);
        let calls = counts.this_month(ours)[operation as usize];
        let limit = self.limit(&counts, ours);
        drop(counts);
        self.counted.notify_one();
        self.warn(operation, calls.saturating_sub(1), calls, limit);
    }

    /// The quota that holds: the tenant's where all replicas' calls are known.
    fn limit(&self, counts: &CallCounts, ours: Timestamp) -> u64 {
        let month = first_day(counts.clock.now(ours));
        if counts.shared_in(month).is_some() {
            self.quota.tenant_calls
        } else {
            self.quota.calls
        }
    }

    /// Counts together with other replicas. Never returns.
    pub(super) async fn keep_shared(&self, mut store: SharedMonth) {
        loop {
            store.up().await;
            let (month, counts) = self.counts.lock().to_tell(Timestamp::now());
            let name = month.strftime("%Y-%m").to_string();
            if let Some(totals) = store.exchange(&name, &counts).await {
                self.learn(month, &counts, &totals);
            }
            let _counted_or_time_to_look = timeout(READ_EVERY, self.counted.notified()).await;
            sleep(TOLD_AFTER).await;
        }
    }

    fn learn(&self, month: Date, told: &[SharedCallCount], totals: &[u64]) {
        let mut counts = self.counts.lock();
        let now = Timestamp::now();
        let before = counts.this_month(now);
        let of = |number: &dyn Fn(usize) -> u64| std::array::from_fn(number);
        counts.shared = Some(SharedCalls {
            month,
            told: of(&|operation| told[operation].made),
            total: of(&|operation| totals[operation]),
        });
        let (after, limit) = (counts.this_month(now), self.limit(&counts, now));
        drop(counts);
        for operation in EgainOperation::VARIANTS {
            let at = *operation as usize;
            self.warn(*operation, before[at], after[at], limit);
        }
    }

    fn authorize(
        &self,
        counts: &CallCounts,
        operation: EgainOperation,
        ours: Timestamp,
    ) -> Result<(), Error> {
        let counted = counts.this_month(ours)[operation as usize];
        let calls = counted + counts.in_flight[operation as usize];
        if !self.quota.enforced || calls < self.limit(counts, ours) {
            return Ok(());
        }
        let detail = "this month's quota of eGain calls is used up: wait for the next month \
                      (UTC), or an operator must raise egain.plan or egain.monthly_quota";
        let wait = until_next_month(counts.clock.now(ours)).min(LONGEST_WAIT);
        let error = Error::gateway(ErrorCode::UpstreamQuota, Stage::Budget, detail);
        Err(error.with_retry_after(wait))
    }

    /// Logs a mark that was passed.
    fn warn(&self, operation: EgainOperation, before: u64, calls: u64, quota: u64) {
        if let Some(percent) = mark(before, calls, quota) {
            let (operation, enforced) = (operation.name(), self.quota.enforced);
            tracing::warn!(
                operation,
                quota,
                enforced,
                percent,
                "monthly call quota at {percent} %"
            );
        }
    }
}

impl CallCounts {
    fn this_month(&self, ours: Timestamp) -> Calls {
        let month = first_day(self.clock.now(ours));
        let own = self.calls.get(&month).copied().unwrap_or_default();
        match self.shared_in(month) {
            Some(SharedCalls { told, total, .. }) => {
                std::array::from_fn(|at| total[at] + own[at].saturating_sub(told[at]))
            }
            None => own,
        }
    }

    fn shared_in(&self, month: Date) -> Option<&SharedCalls> {
        self.shared.as_ref().filter(|shared| shared.month == month)
    }

    /// This month, and what the other replicas have to know of it.
    fn to_tell(&self, ours: Timestamp) -> (Date, Vec<SharedCallCount>) {
        let month = first_day(self.clock.now(ours));
        let own = self.calls.get(&month).copied().unwrap_or_default();
        let shared = self.shared_in(month);
        let count = |at: usize| SharedCallCount {
            made: own[at],
            told: shared.map_or(0, |shared| shared.told[at]),
            total: shared.map_or(0, |shared| shared.total[at]),
        };
        (month, (0..EgainOperation::COUNT).map(count).collect())
    }

    fn count(&mut self, operation: EgainOperation, ours: Timestamp) {
        let month = first_day(self.clock.now(ours));
        self.calls.entry(month).or_default()[operation as usize] += 1;
        while self.calls.len() > MONTHS {
            // The month that is furthest from now comes from a wrong clock, or is the oldest.
            let distance = |other: &Date| (other.duration_since(month)).abs();
            let months = self.calls.keys().copied();
            let furthest = months.max_by_key(distance);
            self.calls
                .remove(&furthest.expect("there is more than one"));
        }
    }
}

/// A reserved call. It counts only if eGain has seen the call.
pub(super) struct CallReservation {
    usage: Arc<MonthlyUsage>,
    operation: EgainOperation,
}

impl CallReservation {
    /// eGain has seen the call. `date` is the `Date` of its response.
    pub(super) fn count(self, date: Option<Timestamp>) {
        self.usage.count_at(self.operation, date, Timestamp::now());
    }
}

impl Drop for CallReservation {
    fn drop(&mut self) {
        self.usage.counts.lock().in_flight[self.operation as usize] -= 1;
    }
}

/// The percentage that is logged: the last one that was reached between two counts.
fn mark(before: u64, calls: u64, quota: u64) -> Option<u8> {
    let passed = |mark: u64| before < mark && mark <= calls;
    if passed(quota) {
        Some(100)
    } else if passed(quota - quota / 5) {
        Some(80)
    } else {
        None
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
    let Ok(next) = next else {
        return LONGEST_WAIT;
    };
    let left = next.timestamp().duration_since(now);
    left.try_into().unwrap_or(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::ServiceMetrics;
    use EgainOperation::{CreateAsset, DeleteAsset, GetAsset};

    const LAST_SECONDS: &str = "2026-11-30T23:59:50Z";
    const NEXT_MONTH: &str = "2026-12-01T00:00:01Z";

    fn usage(calls: u64, enforced: bool) -> Arc<MonthlyUsage> {
        let gauges = ServiceMetrics::new().upstream_quota_used;
        let [assets, other] = ["assets", "other"].map(|routes| gauges.with_label_values(&[routes]));
        let quota = MonthlyQuota {
            calls,
            tenant_calls: 10 * calls,
            enforced,
        };
        MonthlyUsage::new(quota, assets, other)
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn each_method_has_its_own_monthly_quota() {
        let (usage, now) = (usage(2, true), at(LAST_SECONDS));
        for operation in [CreateAsset, GetAsset, DeleteAsset] {
            (0..2).for_each(|_| usage.count_at(operation, None, now));
            let error = usage.check_at(operation, now).unwrap_err();
            assert_eq!(
                (error.code(), error.retry_after()),
                (ErrorCode::UpstreamQuota, Some(Duration::from_secs(10)))
            );
            assert!(usage.check_at(operation, at(NEXT_MONTH)).is_ok());
        }
    }

    #[test]
    fn sent_calls_count_and_calls_in_flight_are_reserved() {
        let usage = usage(1, true);
        let reserved = usage.reserve(CreateAsset).unwrap();
        assert!(
            usage.reserve(CreateAsset).is_err(),
            "the only call is reserved"
        );
        drop(reserved);
        usage.reserve(CreateAsset).unwrap().count(None);
        assert!(usage.reserve(CreateAsset).is_err());
        assert_eq!(usage.counts.lock().in_flight, Calls::default());
    }

    #[test]
    fn a_clock_that_recovers_finds_its_count_again() {
        let (usage, now) = (usage(2, true), at(LAST_SECONDS));
        for wrong in [
            "2027-06-01T00:00:00Z",
            "2035-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "2026-10-01T00:00:00Z",
        ] {
            usage.count_at(CreateAsset, None, now);
            usage.count_at(GetAsset, None, at(wrong));
        }
        assert!(
            usage.check_at(CreateAsset, now).is_err()
                && usage.check_at(CreateAsset, at(NEXT_MONTH)).is_ok()
        );
        assert!(usage.counts.lock().calls.len() <= MONTHS);
    }

    #[test]
    fn egains_own_date_wins_over_our_clock() {
        let (usage, resumed) = (usage(1, true), at("2035-01-01T00:00:00Z"));
        usage.count_at(CreateAsset, Some(at(LAST_SECONDS)), at(LAST_SECONDS));
        assert!(
            usage.check_at(CreateAsset, resumed).is_err(),
            "our clock has jumped ahead"
        );
        assert!(
            usage
                .check_at(CreateAsset, at("1970-01-01T00:00:00Z"))
                .is_err(),
            "or back"
        );
        usage.count_at(DeleteAsset, Some(at(NEXT_MONTH)), resumed);
        assert!(
            usage.check_at(CreateAsset, resumed).is_ok(),
            "a new month has begun at eGain"
        );
    }

    #[test]
    fn a_date_more_than_a_month_off_is_ignored() {
        let (usage, now) = (usage(1, true), at(LAST_SECONDS));
        usage.count_at(CreateAsset, Some(now), now);
        for wrong in [
            "2027-01-15T00:00:00Z",
            "2099-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
        ] {
            usage.count_at(GetAsset, Some(at(wrong)), now);
            assert!(usage.check_at(CreateAsset, now).is_err(), "{wrong}");
        }
        // The first `Date` is accepted for want of a better one, and then our clock and eGain's
        // agree on another.
        let usage = self::usage(1, true);
        usage.count_at(CreateAsset, Some(at("2099-01-01T00:00:00Z")), now);
        usage.count_at(GetAsset, Some(now), now);
        assert!(usage.check_at(CreateAsset, now).is_ok() && usage.check_at(GetAsset, now).is_err());
    }

    #[test]
    fn without_enforcement_calls_are_only_counted() {
        let usage = usage(2, false);
        for _ in 0..3 {
            usage.reserve(DeleteAsset).unwrap().count(None);
        }
        usage.report();
        assert_eq!((usage.assets.get(), usage.other.get()), (0.0, 1.5));
    }

    #[test]
    fn each_mark_is_logged_once() {
        let marks = |quota| {
            (1..=2 * quota)
                .filter_map(|calls| Some((calls, mark(calls - 1, calls, quota)?)))
                .collect::<Vec<_>>()
        };
        assert_eq!(marks(1000), [(800, 80), (1000, 100)]);
        assert_eq!(marks(1), [(1, 100)]);
        assert_eq!(mark(0, 2000, 1000), Some(100), "others made most of them");
    }

    #[test]
    fn all_replicas_calls_count_against_the_tenants_quota() {
        let usage = usage(2, true);
        (0..2).for_each(|_| usage.reserve(CreateAsset).unwrap().count(None));
        assert!(usage.reserve(CreateAsset).is_err(), "it is alone");
        let (month, counts) = usage.counts.lock().to_tell(Timestamp::now());
        let at = CreateAsset as usize;
        assert_eq!((counts[at].made, counts[at].told), (2, 0));
        let mut totals = [0; EgainOperation::COUNT];
        totals[at] = 18;
        usage.learn(month, &counts, &totals);
        usage.reserve(CreateAsset).unwrap().count(None);
        let (_, counts) = usage.counts.lock().to_tell(Timestamp::now());
        let told = SharedCallCount {
            made: 3,
            told: 2,
            total: 18,
        };
        assert_eq!(counts[at], told);
        usage.reserve(CreateAsset).unwrap().count(None);
        assert!(usage.reserve(CreateAsset).is_err(), "20 of 20");
    }

    #[test]
    fn the_retry_after_is_a_day_at_most() {
        let early = "2026-12-01T00:00:00Z";
        let usage = usage(1, true);
        usage.count_at(GetAsset, None, at(early));
        assert_eq!(
            usage
                .check_at(GetAsset, at(early))
                .unwrap_err()
                .retry_after(),
            Some(LONGEST_WAIT)
        );
        assert_eq!(
            until_next_month(at(early)),
            Duration::from_secs(31 * 24 * 60 * 60)
        );
    }
}
