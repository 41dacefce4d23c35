//! What a replica knows of the budget that all replicas share: the permits it holds, and when to
//! ask for more.
//!
//! The store hands out permits, a few at a time if many calls wait. The order of calls stays the
//! replica's own (fair queue).

use std::time::Duration;

use tokio::time::Instant;

use crate::shared_store::{BudgetGrant, BudgetReport, BudgetSize};

/// Permits that no call wants any more go back after this time: the next call may be about to come.
const UNUSED: Duration = Duration::from_millis(250);
/// Calls that were made are reported after this time at the latest, several at once if there are.
const LATEST_REPORT: Duration = Duration::from_millis(20);
/// A replica that waits asks at least this often, or it loses its place among the others.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// For this much time permits are taken at once.
const BATCH: Duration = Duration::from_millis(100);
/// While an exchange is in flight, its end is looked for at this interval at the latest.
const IN_FLIGHT: Duration = Duration::from_millis(5);

pub(super) struct SharedPermits {
    size: BudgetSize,
    /// Whether the store responded to the last report. If not, the replica's own share holds.
    is_usable: bool,
    /// Whether it was lost since, so that calls were made by the own share.
    was_lost: bool,
    /// Permits that weren't used yet.
    in_hand: u32,
    in_flight: u32,
    /// Calls since the start, also those that were made while the store was lost.
    spent: i64,
    /// When a permit may be had again.
    next: Instant,
    /// From one permit of this replica to the next, while it shares them with others that wait.
    interval: Duration,
    /// The end of a pause that any replica has met.
    paused_until: Instant,
    /// A pause that this replica has met, and not reported yet.
    pause: Option<Duration>,
    unreported_since: Option<Instant>,
    unused_since: Instant,
    /// Permits that were left for everybody when the store responded last.
    free: u32,
    responded: Instant,
}

/// When to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReportDue {
    Now,
    At(Instant),
    /// Not before something changes.
    Later,
}

impl SharedPermits {
    pub(super) fn new(size: BudgetSize, now: Instant) -> Self {
        Self {
            size,
            is_usable: false,
            was_lost: false,
            in_hand: 0,
            in_flight: 0,
            spent: 0,
            next: now,
            interval: Duration::ZERO,
            paused_until: now,
            pause: None,
            unreported_since: None,
            unused_since: now,
            free: 0,
            responded: now,
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.is_usable
    }

    pub(super) fn size(&self) -> BudgetSize {
        self.size
    }

    /// Calls that could be made at once.
    pub(super) fn left(&self) -> f64 {
        f64::from(self.in_hand) + f64::from(self.free)
    }

    /// What is left of a pause that any replica has met.
    pub(super) fn pause_left(&self, now: Instant) -> Duration {
        if self.is_usable {
            self.paused_until.saturating_duration_since(now)
        } else {
            Duration::ZERO
        }
    }

    /// How long until this many calls may be made, as far as it is known.
    pub(super) fn expected_wait(&self, calls: usize, now: Instant) -> Duration {
        let missing = calls.saturating_sub(self.in_hand as usize);
        if missing == 0 {
            return Duration::ZERO;
        }
        let further = u32::try_from(missing - 1).unwrap_or(u32::MAX);
        let free = self.free.min(further);
        self.next.saturating_duration_since(now) + self.interval.saturating_mul(further - free)
    }

    /// How long until the next call may be made; a little if that isn't known before an exchange
    /// has ended.
    pub(super) fn next_wait(&self, now: Instant) -> Duration {
        match self.in_hand {
            0 => self.expected_wait(1, now).max(IN_FLIGHT),
            _ => Duration::ZERO,
        }
    }

    pub(super) fn reserve(&mut self) {
        self.in_hand = self.in_hand.saturating_sub(1);
        self.in_flight += 1;
    }

    /// A reserved call isn't made: its permit is good for another one.
    pub(super) fn cancel(&mut self, now: Instant) {
        self.in_flight -= 1;
        if self.is_usable {
            self.in_hand += 1;
            self.unused_since = now;
        }
    }

    pub(super) fn commit(&mut self, now: Instant) {
        self.in_flight -= 1;
        self.spent += 1;
        self.unreported_since.get_or_insert(now);
    }

    /// A committed call never reached eGain.
    pub(super) fn refund(&mut self, now: Instant) {
        self.spent -= 1;
        self.unreported_since.get_or_insert(now);
    }

    /// eGain has asked for a pause.
    pub(super) fn pause(&mut self, pause: Duration) {
        self.pause = Some(pause);
        self.in_hand = 0;
    }

    /// When to report, while this many calls wait for permits.
    pub(super) fn due(&self, waiting: usize, now: Instant) -> ReportDue {
        let wants = self.wants(waiting) > 0;
        if !self.is_usable || self.pause.is_some() {
            return ReportDue::Now;
        }
        let next = wants.then_some(self.next);
        let report = self
            .unreported_since
            .map(|since| since + self.report_delay());
        let unused = self.in_hand > 0 && waiting == 0;
        let give_back = unused.then_some(self.unused_since + UNUSED);
        match [next, report, give_back].into_iter().flatten().min() {
            Some(due) if due <= now => ReportDue::Now,
            Some(due) => ReportDue::At(due),
            None => ReportDue::Later,
        }
    }

    /// The report that is due.
    pub(super) fn report(&mut self, waiting: usize, level: f64, now: Instant) -> BudgetReport {
        if waiting == 0 && now >= self.unused_since + UNUSED {
            self.in_hand = 0;
        }
        self.unreported_since = None;
        BudgetReport {
            spent: self.spent,
            held: self.in_hand + self.in_flight,
            want: self.wants(waiting),
            level,
            pause: self.pause.take(),
            is_back: self.was_lost,
        }
    }

    /// The store's response. None if there was none.
    pub(super) fn responded(
        &mut self,
        report: &BudgetReport,
        grant: Option<BudgetGrant>,
        now: Instant,
    ) {
        let Some(grant) = grant else {
            self.pause = self.pause.or(report.pause);
            return;
        };
        (self.is_usable, self.was_lost) = (true, false);
        self.in_hand += grant.permits;
        self.unused_since = now;
        (self.free, self.responded) = (grant.free, now);
        let shared_by = f64::from(grant.waiting.max(1));
        self.interval = Duration::from_secs_f64((shared_by / self.size.per_second).min(1e9));
        self.next = if grant.permits < report.want {
            now + grant.wait.min(LONGEST_WAIT)
        } else {
            now
        };
        self.paused_until = now + grant.pause;
        if !grant.pause.is_zero() {
            self.in_hand = 0;
        }
    }

    /// The store is lost. What it has granted goes back with the next report, which it gets as soon
    /// as it is there again. Returns how full the budget is at most, 0 to 1.
    pub(super) fn lose_store(&mut self, now: Instant) -> f64 {
        if !self.is_usable {
            self.was_lost |= self.spent > 0;
            return 1.0;
        }
        // Others that wait ask at least this often, and may have used up what came in.
        let unseen = now.saturating_duration_since(self.responded);
        let refilled = unseen.saturating_sub(LONGEST_WAIT).as_secs_f64();
        let free = f64::from(self.free) + refilled * self.size.per_second;
        (self.is_usable, self.was_lost, self.in_hand) = (false, true, 0);
        (free / f64::from(self.size.burst)).min(1.0)
    }

    /// A call counts as in flight until it is reported. So the delay is short beside the time that
    /// the bucket takes to fill.
    fn report_delay(&self) -> Duration {
        let BudgetSize {
            per_second, burst, ..
        } = self.size;
        let fills_in = f64::from(burst) / per_second;
        LATEST_REPORT.min(Duration::from_secs_f64(fills_in / 20.0))
    }

    fn wants(&self, waiting: usize) -> u32 {
        let batch = (self.size.per_second * BATCH.as_secs_f64()).ceil() as u32;
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        waiting.saturating_sub(self.in_hand).min(batch.max(1))
    }
}
