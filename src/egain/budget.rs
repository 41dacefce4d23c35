//! The allowance of eGain calls, shared fairly: a bucket of calls, and a queue in which everybody
//! has their turn.
//!
//! The queue is bounded by time: whoever would wait longer than `max_wait`, reckoned from their own
//! place in it, is refused at once. Whoever lost that place to callers that came later is refused
//! when `max_wait` is over. No more calls than a burst are in flight at one time, and none during a
//! pause (see [`circuit_breaker`]).

mod circuit_breaker;
mod fair_queue;
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
use tokio::time::{Instant, sleep, timeout};

use crate::telemetry::metrics::ServiceMetrics;
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode, Stage};
pub use circuit_breaker::CallVerdict;
use circuit_breaker::{BreakerEvent, CallGate, CircuitBreaker, PauseCause};
pub use fair_queue::CallKind;
use fair_queue::{FairQueue, Waiter};
pub use token_bucket::CallRate;
use token_bucket::TokenBucket;

/// For how long a call without an answer keeps the bucket from filling up: what took longer was
/// counted long before.
const LONGEST_HOLD: Duration = Duration::from_secs(1);

/// How long anybody is kept waiting.
#[derive(Debug, Clone, Copy)]
pub struct BudgetLimits {
    /// In the queue.
    pub max_wait: Duration,
    /// By one 429.
    pub max_pause: Duration,
}

/// A budget of calls to one kind of routes.
pub struct Budget {
    routes: &'static str,
    max_wait: Duration,
    state: Mutex<State>,
    /// Held by the one who wakes up in time for all who wait. When it goes, the next takes over.
    clock: tokio::sync::Mutex<()>,
    /// Told when that one has to reckon anew.
    changed: Notify,
    waited: Histogram,
    left: Gauge,
    pause: Gauge,
}

struct State {
    bucket: TokenBucket,
    brake: CircuitBreaker,
    turns: FairQueue,
    /// The numbers of the calls that may be made or are in flight.
    going: HashSet<u64>,
    tickets: u64,
}

impl Budget {
    /// With a full bucket.
    pub fn new(
        rate: CallRate,
        limits: BudgetLimits,
        routes: &'static str,
        metrics: &ServiceMetrics,
    ) -> Arc<Self> {
        let state = State {
            bucket: TokenBucket::full(rate, Instant::now()),
            brake: CircuitBreaker::new(limits.max_pause),
            turns: FairQueue::new(),
            going: HashSet::new(),
            tickets: 0,
        };
        Arc::new(Self {
            routes,
            max_wait: limits.max_wait,
            state: Mutex::new(state),
            clock: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            waited: metrics.upstream_budget_wait.with_label_values(&[routes]),
            left: metrics.upstream_budget_tokens.with_label_values(&[routes]),
            pause: metrics.upstream_pause.with_label_values(&[routes]),
        })
    }

    /// Sets the gauges to what they are now.
    pub fn report(&self) {
        let (state, now) = (&mut *self.state.lock(), Instant::now());
        let stopped = state.brake.cause().is_some();
        self.left
            .set(if stopped { 0.0 } else { state.bucket.left(now) });
        self.pause.set(state.brake.left(now).as_secs_f64());
    }

    /// Waits for this claimant's turn to make one call. `stage` is what it is needed for, should
    /// eGain be down.
    ///
    /// # Errors
    /// The wait would be too long, or was; or eGain is down, and it isn't time for a probe.
    pub async fn spend(
        self: &Arc<Self>,
        claimant: &Principal,
        kind: CallKind,
        stage: Stage,
    ) -> Result<CallPermit, Error> {
        let began = Instant::now();
        let (mut turn, go) = self.queue(claimant, kind, stage)?;
        match timeout(self.max_wait, self.wait(go)).await {
            Ok(true) => {}
            Ok(false) => return Err(down(self.pause_left(), stage)),
            Err(_) => return Err(exhausted(self.state.lock().expected_wait(claimant, kind))),
        }
        turn.queued = began.elapsed();
        self.waited.observe(turn.queued.as_secs_f64());
        Ok(turn)
    }

    /// What is left of a pause: how soon the next call may go.
    pub fn pause_left(&self) -> Duration {
        self.state.lock().brake.left(Instant::now())
    }

    fn queue(
        self: &Arc<Self>,
        claimant: &Principal,
        kind: CallKind,
        stage: Stage,
    ) -> Result<(CallPermit, oneshot::Receiver<()>), Error> {
        let state = &mut *self.state.lock();
        let (now, expected) = (Instant::now(), state.expected_wait(claimant, kind));
        if state.brake.cause() == Some(PauseCause::Outage) && !state.may_probe(now) {
            return Err(down(state.brake.left(now), stage));
        }
        if expected > self.max_wait {
            return Err(exhausted(expected));
        }
        let ((go, went), number) = (oneshot::channel(), state.tickets);
        state.tickets += 1;
        state.turns.join(claimant, kind, Waiter { number, go });
        state.call_up();
        let turn = CallPermit {
            budget: self.clone(),
            claimant: claimant.clone(),
            kind,
            number,
            progress: Progress::Queued,
            queued: Duration::ZERO,
        };
        Ok((turn, went))
    }

    /// Whether it was called up. If not, everybody was sent away, as eGain is down.
    async fn wait(&self, went: oneshot::Receiver<()>) -> bool {
        tokio::select! {
            biased;
            called = went => called.is_ok(),
            () = self.keep_time() => false,
        }
    }

    /// Calls up whoever's turn it is, until the one who does this is called up, too.
    async fn keep_time(&self) {
        let _clock = self.clock.lock().await;
        loop {
            let wait = self.state.lock().call_up();
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

    fn tell(&self, news: BreakerEvent) {
        let routes = self.routes;
        let ms = |wait: Duration| wait.as_millis() as u64;
        match news {
            BreakerEvent::Stopped {
                cause: PauseCause::TooMany,
                asked,
                pause,
            } => {
                let (asked_ms, pause_ms) = (asked.map(ms), ms(pause));
                tracing::warn!(
                    routes,
                    asked_ms,
                    pause_ms,
                    "eGain refuses calls as too many: calls pause"
                );
            }
            BreakerEvent::Stopped {
                cause: PauseCause::Outage,
                asked,
                pause,
            } => {
                let (asked_ms, pause_ms) = (asked.map(ms), ms(pause));
                tracing::warn!(
                    routes,
                    asked_ms,
                    pause_ms,
                    "eGain is down: one call at a time probes whether it is back"
                );
            }
            BreakerEvent::Over { .. } => tracing::info!(routes, "eGain takes calls again"),
        }
    }
}

impl State {
    /// Calls up as many as may go now. Says how long until the next one may, if somebody waits and
    /// time alone decides.
    fn call_up(&mut self) -> Option<Duration> {
        let now = Instant::now();
        loop {
            let wait = self.wait_of_the_next(now)?;
            if !wait.is_zero() {
                return Some(wait);
            }
            let ticket = self.turns.next()?;
            self.bucket.hold();
            self.brake.goes(ticket.number);
            self.going.insert(ticket.number);
            // Where nobody hears it, the turn is about to be dropped and gives back what it holds.
            let _heard = ticket.go.send(());
        }
    }

    /// None where nobody waits, or where the end of a call decides.
    fn wait_of_the_next(&mut self, now: Instant) -> Option<Duration> {
        if self.turns.is_empty() || self.going.len() >= self.bucket.burst() {
            return None;
        }
        match self.brake.gate(now) {
            CallGate::Open => Some(self.bucket.time_until(1, now)),
            CallGate::Shut(pause) => Some(pause.max(self.bucket.time_until(1, now))),
            CallGate::Probing => None,
        }
    }

    /// From one's own place. A probe that is in flight may end every moment.
    fn expected_wait(&mut self, claimant: &Principal, kind: CallKind) -> Duration {
        let (now, ahead) = (Instant::now(), self.turns.ahead(claimant, kind));
        let refill = self.bucket.time_until(ahead + 1, now);
        match self.brake.gate(now) {
            CallGate::Shut(pause) => pause.max(refill),
            CallGate::Open | CallGate::Probing => refill,
        }
    }

    /// Whether one that comes now, during an outage, is the one to see whether it is over.
    fn may_probe(&self, now: Instant) -> bool {
        self.brake.gate(now) == CallGate::Shut(Duration::ZERO) && self.turns.is_empty()
    }

    /// A call has ended with this verdict, or nobody knows how.
    fn ended(&mut self, number: u64, progress: Progress) -> Option<BreakerEvent> {
        let now = Instant::now();
        let Progress::Ended { verdict, settled } = progress else {
            self.brake.stays(number);
            match progress {
                Progress::Queued => self.bucket.give_back(),
                Progress::Sent => self.bucket.settle(now),
                _ => {}
            }
            return None;
        };
        match (verdict, settled) {
            (CallVerdict::Unsent, true) => self.bucket.refund(),
            (CallVerdict::Unsent, false) => self.bucket.give_back(),
            (_, true) => {}
            (_, false) => self.bucket.settle(now),
        }
        if matches!(verdict, CallVerdict::TooMany(_)) {
            self.bucket.empty();
        }
        let news = self.brake.ended(number, verdict, now);
        if matches!(
            news,
            Some(BreakerEvent::Stopped {
                cause: PauseCause::Outage,
                ..
            })
        ) {
            // Who waits would wait for nothing: told at once.
            self.turns = FairQueue::new();
        }
        news
    }
}

/// A place in the queue, and then the right to make a call. Dropped before that, it takes nothing
/// with it.
pub struct CallPermit {
    budget: Arc<Budget>,
    claimant: Principal,
    kind: CallKind,
    number: u64,
    progress: Progress,
    /// How long it queued.
    pub queued: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    Queued,
    /// And not counted yet.
    Sent,
    /// And counted, though there is no answer yet.
    Settled,
    Ended {
        verdict: CallVerdict,
        settled: bool,
    },
}

impl CallPermit {
    /// Makes the call. It counts from its answer on, and not at all where `judge` says that it
    /// wasn't sent.
    pub async fn make<T>(
        mut self,
        call: impl Future<Output = T>,
        judge: impl FnOnce(&T) -> CallVerdict,
    ) -> T {
        self.progress = Progress::Sent;
        let mut call = pin!(call);
        let (answer, settled) = match timeout(LONGEST_HOLD, &mut call).await {
            Ok(answer) => (answer, false),
            Err(_) => {
                self.settle();
                (call.await, true)
            }
        };
        self.progress = Progress::Ended {
            verdict: judge(&answer),
            settled,
        };
        answer
    }

    fn settle(&mut self) {
        self.progress = Progress::Settled;
        self.budget.state.lock().bucket.settle(Instant::now());
        self.budget.changed.notify_one();
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let news = {
            let state = &mut *self.budget.state.lock();
            let news = if state.going.remove(&self.number) {
                state.ended(self.number, self.progress)
            } else {
                state.turns.leave(&self.claimant, self.kind, self.number);
                None
            };
            state.call_up();
            news
        };
        // Whoever keeps the time reckons anew: what it waits for may be nearer now.
        self.budget.changed.notify_one();
        if let Some(news) = news {
            self.budget.tell(news);
        }
    }
}

fn exhausted(wait: Duration) -> Error {
    let detail = "the allowance of eGain calls is used up for now: try again later, or raise egain.plan with the tenant's plan";
    Error::gateway(ErrorCode::UpstreamBudget, Stage::Budget, detail).retry_after(wait)
}

fn down(wait: Duration, stage: Stage) -> Error {
    let detail =
        "eGain is down: it is asked again now and then, and not for this request; try again later";
    Error::egain(ErrorCode::UpstreamUnavailable, stage, detail).retry_after(wait)
}
