//! The budget of eGain calls, shared fairly: a token bucket of calls, and a fair queue of waiters.
//!
//! The queue is bounded by time (backpressure): a call that would wait longer than `max_wait`,
//! computed from its own place, is refused at once. A call that later arrivals push back is refused
//! once it has waited `max_wait`. No more calls than a burst are in flight at one time, and none
//! during a pause (see [`circuit_breaker`]).

mod call_bucket;
mod circuit_breaker;
mod fair_queue;
mod shared_permits;
#[cfg(test)]
mod tests;
mod token_bucket;

use std::collections::HashSet;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{Gauge, Histogram};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use tracing::Instrument;

use crate::shared_store::{BudgetReport, BudgetSize, SharedBudget};
use crate::telemetry::metrics::ServiceMetrics;
use crate::telemetry::traces::stage_span;
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode, Stage};
use call_bucket::CallBucket;
pub(super) use circuit_breaker::CallVerdict;
use circuit_breaker::{BreakerEvent, CallGate, CircuitBreaker, PauseCause};
pub(super) use fair_queue::CallKind;
use fair_queue::{FairQueue, Waiter};
use shared_permits::ReportDue;
pub use token_bucket::CallRate;

/// For how long a call without a response keeps the bucket from filling up: eGain has counted a
/// slower call long before.
const LONGEST_RESERVATION: Duration = Duration::from_secs(1);

/// How long a call may wait for the store that replicas share, beside its wait in the queue.
const STORE_WAIT: Duration = Duration::from_millis(60);

/// Pause after a report that the store didn't respond to.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// How long calls may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct BudgetLimits {
    /// The longest wait in the queue.
    pub max_wait: Duration,
    /// The longest pause after a single 429.
    pub max_pause: Duration,
}

/// A budget of calls to one kind of routes.
pub(super) struct Budget {
    routes: &'static str,
    max_wait: Duration,
    state: Mutex<State>,
    /// One waiter holds this lock and drives the timer for the whole queue; when it is dropped, the
    /// next waiter takes over.
    timer: tokio::sync::Mutex<()>,
    /// Notified when the timer has to be computed again.
    changed: Notify,
    /// Notified when the store that replicas share may have to get a report.
    reportable: Notify,
    waited: Histogram,
    left: Gauge,
    pause: Gauge,
}

struct State {
    bucket: CallBucket,
    breaker: CircuitBreaker,
    queue: FairQueue,
    /// The numbers of the calls that were admitted and have not ended.
    in_flight: HashSet<u64>,
    next_number: u64,
}

impl Budget {
    /// With a full bucket.
    pub(super) fn new(
        rate: CallRate,
        limits: BudgetLimits,
        routes: &'static str,
        metrics: &ServiceMetrics,
    ) -> Arc<Self> {
        let state = State {
            bucket: CallBucket::full(rate, Instant::now()),
            breaker: CircuitBreaker::new(limits.max_pause),
            queue: FairQueue::new(),
            in_flight: HashSet::new(),
            next_number: 0,
        };
        Arc::new(Self {
            routes,
            max_wait: limits.max_wait,
            state: Mutex::new(state),
            timer: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            reportable: Notify::new(),
            waited: metrics.upstream_budget_wait.with_label_values(&[routes]),
            left: metrics.upstream_budget_tokens.with_label_values(&[routes]),
            pause: metrics.upstream_pause.with_label_values(&[routes]),
        })
    }

    /// Sets the gauges to the current values.
    pub(super) fn report(&self) {
        let (state, now) = (&mut *self.state.lock(), Instant::now());
        let stopped = state.breaker.cause().is_some();
        self.left
            .set(if stopped { 0.0 } else { state.bucket.left(now) });
        self.pause.set(state.pause_left(now).as_secs_f64());
    }

    /// Shares this budget with other replicas: takes permits from the store, and reports calls.
    /// While the store can't be used, this replica's own share holds. Never returns.
    pub(super) async fn keep_shared(&self, size: BudgetSize, mut store: SharedBudget) {
        self.state.lock().share(size);
        loop {
            if !store.is_up() {
                self.state.lock().bucket.lose_store(Instant::now());
                self.admit_due();
                store.changed().await;
                continue;
            }
            let (due, report) = self.state.lock().report_due();
            if let Some(report) = report {
                let grant = store.exchange(size, &report).await;
                let is_lost = grant.is_none();
                let now = Instant::now();
                self.state.lock().bucket.responded(&report, grant, now);
                self.admit_due();
                if is_lost {
                    sleep(AFTER_FAILURE).await;
                }
                continue;
            }
            let due = async {
                match due {
                    ReportDue::At(due) => sleep_until(due).await,
                    _ => pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.reportable.notified() => {}
                () = store.changed() => {}
            }
        }
    }

    fn admit_due(&self) {
        self.state.lock().admit_due();
        // The timer has to be computed again.
        self.changed.notify_one();
    }

    /// Waits for a permit to make one call for this principal. `stage` is the stage of the error if
    /// eGain is down.
    ///
    /// # Errors
    /// The wait would be too long, or was; or eGain is down, and no probe is due.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        principal: &Principal,
        kind: CallKind,
        stage: Stage,
    ) -> Result<CallPermit, Error> {
        let began = Instant::now();
        let (mut permit, admitted, store_wait) = self.enqueue(principal, kind, stage)?;
        let queueing = timeout(self.max_wait + store_wait, self.wait(admitted));
        match queueing.instrument(stage_span!("budget")).await {
            Ok(true) => {}
            Ok(false) => return Err(down(self.pause_left(), stage)),
            Err(_) => {
                let expected = self.state.lock().expected_wait(principal, kind);
                return Err(exhausted(expected));
            }
        }
        permit.queued = began.elapsed();
        self.waited.observe(permit.queued.as_secs_f64());
        Ok(permit)
    }

    /// The rest of a pause: how long until the next call may be sent.
    pub(super) fn pause_left(&self) -> Duration {
        self.state.lock().pause_left(Instant::now())
    }

    fn enqueue(
        self: &Arc<Self>,
        principal: &Principal,
        kind: CallKind,
        stage: Stage,
    ) -> Result<(CallPermit, oneshot::Receiver<()>, Duration), Error> {
        let state = &mut *self.state.lock();
        let now = Instant::now();
        let expected = state.expected_wait(principal, kind);
        if state.breaker.cause() == Some(PauseCause::Outage) && !state.may_probe(now) {
            return Err(down(state.breaker.left(now), stage));
        }
        if expected > self.max_wait {
            return Err(exhausted(expected));
        }
        let (admit, admitted) = oneshot::channel();
        let number = state.next_number;
        state.next_number += 1;
        let waiter = Waiter { number, admit };
        state.queue.join(principal, kind, waiter);
        state.admit_due();
        let mut store_wait = Duration::ZERO;
        if state.bucket.is_shared() {
            self.reportable.notify_one();
            store_wait = STORE_WAIT;
        }
        let permit = CallPermit {
            budget: self.clone(),
            principal: principal.clone(),
            kind,
            number,
            progress: Progress::Queued,
            queued: Duration::ZERO,
        };
        Ok((permit, admitted, store_wait))
    }

    /// Returns whether the call was admitted. If not, eGain is down and the queue was cleared.
    async fn wait(&self, admitted: oneshot::Receiver<()>) -> bool {
        tokio::select! {
            biased;
            result = admitted => result.is_ok(),
            () = self.drive_timer() => false,
        }
    }

    /// Admits waiters when they are due, until the waiter that runs this is admitted, too.
    async fn drive_timer(&self) {
        let _driver = self.timer.lock().await;
        loop {
            let wait = self.state.lock().admit_due();
            self.reportable.notify_one();
            let due = async {
                match wait {
                    Some(wait) => sleep(wait).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn log(&self, event: BreakerEvent) {
        let routes = self.routes;
        let BreakerEvent::Stopped {
            cause,
            retry_after,
            pause,
        } = event
        else {
            tracing::info!(routes, "eGain accepts calls again");
            return;
        };
        let retry_after_ms = retry_after.map(|retry_after| retry_after.as_millis() as u64);
        let pause_ms = pause.as_millis() as u64;
        match cause {
            PauseCause::TooMany => tracing::warn!(
                routes,
                retry_after_ms,
                pause_ms,
                "eGain responds with 429 to calls: calls pause"
            ),
            PauseCause::Outage => tracing::warn!(
                routes,
                retry_after_ms,
                pause_ms,
                "eGain is down: one call at a time probes whether it is back"
            ),
        }
    }
}

impl State {
    /// Admits as many waiters as may be admitted now. Returns how long until the next one may be,
    /// if there is one and only time is missing.
    fn admit_due(&mut self) -> Option<Duration> {
        let now = Instant::now();
        loop {
            let wait = self.wait_of_next(now)?;
            if !wait.is_zero() {
                return Some(wait);
            }
            let waiter = self.queue.next()?;
            self.bucket.reserve();
            self.breaker.admitted(waiter.number);
            self.in_flight.insert(waiter.number);
            // If nobody receives it, the permit is about to be dropped and cancels its reservation.
            let _received = waiter.admit.send(());
        }
    }

    /// None where the queue is empty, or where a call has to end first.
    fn wait_of_next(&mut self, now: Instant) -> Option<Duration> {
        if self.queue.is_empty() || self.in_flight.len() >= self.bucket.burst() {
            return None;
        }
        match self.breaker.gate(now) {
            CallGate::Open => Some(self.bucket.next_wait(now)),
            CallGate::Shut(pause) => Some(pause.max(self.bucket.next_wait(now))),
            CallGate::Probing => None,
        }
    }

    /// The wait from the principal's own place. A probe in flight may end at any moment, so it adds
    /// nothing.
    fn expected_wait(&mut self, principal: &Principal, kind: CallKind) -> Duration {
        let (now, ahead) = (Instant::now(), self.queue.ahead(principal, kind));
        let refill = self.bucket.expected_wait(ahead + 1, now);
        let refill = refill.max(self.bucket.pause_left(now));
        match self.breaker.gate(now) {
            CallGate::Shut(pause) => pause.max(refill),
            CallGate::Open | CallGate::Probing => refill,
        }
    }

    /// How long until the next call may be sent: by eGain's response to this replica, or to another
    /// one.
    fn pause_left(&self, now: Instant) -> Duration {
        self.breaker.left(now).max(self.bucket.pause_left(now))
    }

    fn share(&mut self, size: BudgetSize) {
        if self.bucket.shared_size().is_none() {
            self.bucket.share(size, Instant::now());
        }
    }

    /// When the store has to get a report, and that report if it is now.
    fn report_due(&mut self) -> (ReportDue, Option<BudgetReport>) {
        let now = Instant::now();
        let waiting = match self.breaker.gate(now) {
            CallGate::Open => self.queue.len(),
            CallGate::Shut(Duration::ZERO) => self.queue.len().min(1),
            CallGate::Shut(_) | CallGate::Probing => 0,
        };
        let room = self.bucket.burst().saturating_sub(self.in_flight.len());
        let waiting = waiting.min(room);
        let due = self.bucket.report_due(waiting, now);
        let report = (due == ReportDue::Now).then(|| self.bucket.report(waiting, now));
        (due, report.flatten())
    }

    /// Whether a call that arrives during an outage may probe whether it is over.
    fn may_probe(&self, now: Instant) -> bool {
        self.breaker.gate(now) == CallGate::Shut(Duration::ZERO) && self.queue.is_empty()
    }

    /// A call has ended, with a verdict or without.
    fn ended(&mut self, number: u64, progress: Progress) -> Option<BreakerEvent> {
        let now = Instant::now();
        let Progress::Ended { verdict, committed } = progress else {
            self.breaker.withdrawn(number);
            match progress {
                Progress::Queued => self.bucket.cancel(now),
                Progress::Sent => self.bucket.commit(now),
                _ => {}
            }
            return None;
        };
        match (verdict, committed) {
            (CallVerdict::Unsent, true) => self.bucket.refund(now),
            (CallVerdict::Unsent, false) => self.bucket.cancel(now),
            (_, true) => {}
            (_, false) => self.bucket.commit(now),
        }
        if matches!(verdict, CallVerdict::TooMany(_)) {
            self.bucket.empty();
        }
        let event = self.breaker.ended(number, verdict, now);
        if matches!(verdict, CallVerdict::TooMany(_)) {
            self.bucket.tell_pause(self.breaker.left(now));
        }
        if matches!(
            event,
            Some(BreakerEvent::Stopped {
                cause: PauseCause::Outage,
                ..
            })
        ) {
            // No waiter could be admitted: all are refused at once.
            self.queue = FairQueue::new();
        }
        event
    }
}

/// A place in the queue, and then the permit to make a call. Dropped before that, it costs no
/// call.
pub(super) struct CallPermit {
    budget: Arc<Budget>,
    principal: Principal,
    kind: CallKind,
    number: u64,
    progress: Progress,
    /// How long it queued.
    pub queued: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    Queued,
    /// Sent, and not counted yet.
    Sent,
    /// Sent and counted, though there is no response yet.
    Committed,
    Ended {
        verdict: CallVerdict,
        committed: bool,
    },
}

impl CallPermit {
    /// Makes the call. It counts from its response on, and not at all if `verdict_of` says that it
    /// wasn't sent.
    pub(super) async fn run<T>(
        mut self,
        call: impl Future<Output = T>,
        verdict_of: impl FnOnce(&T) -> CallVerdict,
    ) -> T {
        self.progress = Progress::Sent;
        let mut call = pin!(call);
        let (result, committed) = match timeout(LONGEST_RESERVATION, &mut call).await {
            Ok(result) => (result, false),
            Err(_) => {
                self.commit();
                (call.await, true)
            }
        };
        self.progress = Progress::Ended {
            verdict: verdict_of(&result),
            committed,
        };
        result
    }

    fn commit(&mut self) {
        self.progress = Progress::Committed;
        self.budget.state.lock().bucket.commit(Instant::now());
        self.budget.changed.notify_one();
        self.budget.reportable.notify_one();
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let event = {
            let state = &mut *self.budget.state.lock();
            let event = if state.in_flight.remove(&self.number) {
                state.ended(self.number, self.progress)
            } else {
                state.queue.leave(&self.principal, self.kind, self.number);
                None
            };
            state.admit_due();
            event
        };
        // The next waiter may be due earlier now.
        self.budget.changed.notify_one();
        self.budget.reportable.notify_one();
        if let Some(event) = event {
            self.budget.log(event);
        }
    }
}

fn exhausted(wait: Duration) -> Error {
    let detail = "the budget of eGain calls is used up for now: try again later, or raise \
                  egain.plan with the tenant's plan";
    Error::gateway(ErrorCode::UpstreamBudget, Stage::Budget, detail).with_retry_after(wait)
}

fn down(wait: Duration, stage: Stage) -> Error {
    let detail = "eGain is down, and this request isn't the next probe: try again later";
    Error::egain(ErrorCode::UpstreamUnavailable, stage, detail).with_retry_after(wait)
}
