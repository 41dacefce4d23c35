//! How many calls may be made now: by the budget that all replicas share, or else by this replica's
//! own share.

use std::time::Duration;

use tokio::time::Instant;

use super::shared_permits::{ReportDue, SharedPermits};
use super::token_bucket::{CallRate, TokenBucket};
use crate::shared_store::{BudgetGrant, BudgetReport, BudgetSize};

/// The own share is counted also while the shared budget holds, so that it isn't full when that is
/// lost.
pub(super) struct CallBucket {
    own: TokenBucket,
    own_burst: u32,
    shared: Option<SharedPermits>,
}

impl CallBucket {
    pub(super) fn full(rate: CallRate, now: Instant) -> Self {
        Self {
            own: TokenBucket::full(rate, now),
            own_burst: rate.burst,
            shared: None,
        }
    }

    /// Shares this budget with other replicas from now on.
    pub(super) fn share(&mut self, size: BudgetSize, now: Instant) {
        self.shared = Some(SharedPermits::new(size, now));
    }

    fn usable(&self) -> Option<&SharedPermits> {
        self.shared.as_ref().filter(|shared| shared.is_usable())
    }

    /// Whether permits are fetched from the store.
    pub(super) fn is_shared(&self) -> bool {
        self.usable().is_some()
    }

    /// The size of the shared budget.
    pub(super) fn shared_size(&self) -> Option<BudgetSize> {
        self.shared.as_ref().map(SharedPermits::size)
    }

    /// Calls that may be in flight at one time.
    pub(super) fn burst(&self) -> usize {
        match self.usable() {
            Some(shared) => shared.size().burst as usize,
            None => self.own.burst(),
        }
    }

    /// Calls that could be made at once.
    pub(super) fn left(&mut self, now: Instant) -> f64 {
        let own = self.own.left(now);
        self.usable().map_or(own, SharedPermits::left)
    }

    /// What is left of a pause that another replica has met.
    pub(super) fn pause_left(&self, now: Instant) -> Duration {
        match &self.shared {
            Some(shared) => shared.pause_left(now),
            None => Duration::ZERO,
        }
    }

    /// How long until the next call may be made.
    pub(super) fn next_wait(&mut self, now: Instant) -> Duration {
        match self.usable() {
            Some(shared) => shared.next_wait(now),
            None => self.own.time_until(1, now),
        }
    }

    /// How long until this many calls may be made, if those in flight have ended by then.
    pub(super) fn expected_wait(&mut self, calls: usize, now: Instant) -> Duration {
        match self.usable() {
            Some(shared) => shared.expected_wait(calls, now),
            None => self.own.time_until(calls, now),
        }
    }

    /// Reserves a call; only if [`Self::next_wait`] is zero.
    pub(super) fn reserve(&mut self) {
        self.own.reserve();
        if let Some(shared) = &mut self.shared {
            shared.reserve();
        }
    }

    /// A reserved call isn't made.
    pub(super) fn cancel(&mut self, now: Instant) {
        self.own.cancel();
        if let Some(shared) = &mut self.shared {
            shared.cancel(now);
        }
    }

    /// A call was made: eGain has counted it by now.
    pub(super) fn commit(&mut self, now: Instant) {
        self.own.commit(now);
        if let Some(shared) = &mut self.shared {
            shared.commit(now);
        }
    }

    /// A committed call never reached eGain.
    pub(super) fn refund(&mut self, now: Instant) {
        self.own.refund();
        if let Some(shared) = &mut self.shared {
            shared.refund(now);
        }
    }

    /// eGain's own bucket is empty, and calls pause.
    pub(super) fn empty(&mut self) {
        self.own.empty();
    }

    /// Tells the other replicas of a pause that eGain has asked for.
    pub(super) fn tell_pause(&mut self, pause: Duration) {
        if let Some(shared) = &mut self.shared {
            shared.pause(pause);
        }
    }

    /// When the store is to be told of calls, or asked for permits, while this many calls wait.
    pub(super) fn report_due(&self, waiting: usize, now: Instant) -> ReportDue {
        match &self.shared {
            Some(shared) => shared.due(waiting, now),
            None => ReportDue::Later,
        }
    }

    /// The report that is due.
    pub(super) fn report(&mut self, waiting: usize, now: Instant) -> Option<BudgetReport> {
        let level = self.own.left(now) / f64::from(self.own_burst);
        let shared = self.shared.as_mut()?;
        Some(shared.report(waiting, level, now))
    }

    /// The store's response to a report, or none.
    pub(super) fn responded(
        &mut self,
        report: &BudgetReport,
        grant: Option<BudgetGrant>,
        now: Instant,
    ) {
        let is_lost = grant.is_none();
        if let Some(shared) = &mut self.shared {
            shared.responded(report, grant, now);
        }
        if is_lost {
            self.lose_store(now);
        }
    }

    /// The store is lost: this replica's own share holds, which isn't fuller than the whole was.
    pub(super) fn lose_store(&mut self, now: Instant) {
        if let Some(shared) = &mut self.shared {
            let level = shared.lose_store(now);
            self.own.limit(level * f64::from(self.own_burst), now);
        }
    }
}
