//! The allowance of eGain calls, shared fairly: a bucket of calls, and a queue in which everybody has their turn.
//!
//! The queue is bounded by time: whoever would wait longer than `max_wait`, reckoned from their own place in it, is refused
//! at once. Whoever lost that place to callers that came later is refused when `max_wait` is over.

mod bucket;
#[cfg(test)]
mod tests;
mod turns;

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{Gauge, Histogram};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::words::caller::Claimant;
use crate::words::fault::{Code, Fault, Stage};
use bucket::Bucket;
pub use bucket::Rate;
pub use turns::Kind;
use turns::{Ticket, Turns};

/// For how long a call without an answer keeps the bucket from filling up: what took longer was counted long before.
const LONGEST_HOLD: Duration = Duration::from_secs(1);

/// A budget of calls.
pub struct Budget {
    max_wait: Duration,
    state: Mutex<State>,
    /// Held by the one who wakes up in time for all who wait. When it goes, the next takes over.
    clock: tokio::sync::Mutex<()>,
    waited: Histogram,
    left: Gauge,
}

struct State {
    bucket: Bucket,
    turns: Turns,
    tickets: u64,
}

impl Budget {
    /// With a full bucket.
    pub fn new(rate: Rate, max_wait: Duration, waited: Histogram, left: Gauge) -> Arc<Self> {
        left.set(f64::from(rate.burst));
        let state = State { bucket: Bucket::full(rate, Instant::now()), turns: Turns::new(), tickets: 0 };
        Arc::new(Self { max_wait, state: Mutex::new(state), clock: tokio::sync::Mutex::default(), waited, left })
    }

    /// Waits for this claimant's turn to make one call.
    pub async fn spend(self: &Arc<Self>, claimant: &Claimant, kind: Kind) -> Result<Turn, Fault> {
        let began = Instant::now();
        let (mut turn, go) = self.queue(claimant, kind)?;
        timeout(self.max_wait, self.wait(go)).await.map_err(|_| exhausted(self.expected_wait(claimant, kind)))?;
        turn.queued = began.elapsed();
        self.waited.observe(turn.queued.as_secs_f64());
        Ok(turn)
    }

    /// eGain said 429: nothing is asked for so long.
    pub fn pause(&self, wait: Duration) {
        let bucket = &mut self.state.lock().bucket;
        bucket.pause(Instant::now() + wait);
        self.left.set(bucket.left());
    }

    fn queue(self: &Arc<Self>, claimant: &Claimant, kind: Kind) -> Result<(Turn, oneshot::Receiver<()>), Fault> {
        let state = &mut *self.state.lock();
        let expected = state.expected_wait(claimant, kind);
        if expected > self.max_wait {
            return Err(exhausted(expected));
        }
        let ((go, went), number) = (oneshot::channel(), state.tickets);
        state.tickets += 1;
        state.turns.join(claimant, kind, Ticket { number, go });
        self.call_up(state);
        let turn = Turn { budget: self.clone(), claimant: claimant.clone(), kind, number, sent: false, queued: Duration::ZERO };
        Ok((turn, went))
    }

    fn expected_wait(&self, claimant: &Claimant, kind: Kind) -> Duration {
        self.state.lock().expected_wait(claimant, kind)
    }

    async fn wait(&self, went: oneshot::Receiver<()>) {
        tokio::select! {
            biased;
            _ = went => {}
            () = self.keep_time() => {}
        }
    }

    /// Calls up whoever's turn it is, until the one who does this is called up, too.
    async fn keep_time(&self) {
        let _clock = self.clock.lock().await;
        loop {
            let wait = self.call_up(&mut self.state.lock());
            match wait {
                Some(wait) => sleep(wait).await,
                None => pending().await,
            }
        }
    }

    /// Calls up as many as may go now. Says how long until the next one may, if somebody waits.
    fn call_up(&self, state: &mut State) -> Option<Duration> {
        let now = Instant::now();
        let wait = loop {
            let wait = (!state.turns.is_empty()).then(|| state.bucket.time_until(1, now));
            if wait != Some(Duration::ZERO) {
                break wait;
            }
            state.bucket.hold();
            // Where nobody hears it, the turn is about to be dropped and gives back what it holds.
            let _heard = state.turns.next().map(|ticket| ticket.go.send(()));
        };
        self.left.set(state.bucket.left());
        wait
    }
}

impl State {
    fn expected_wait(&mut self, claimant: &Claimant, kind: Kind) -> Duration {
        let ahead = self.turns.ahead(claimant, kind);
        self.bucket.time_until(ahead + 1, Instant::now())
    }
}

/// A place in the queue, and then the right to make a call. Dropped before that, it takes nothing with it.
pub struct Turn {
    budget: Arc<Budget>,
    claimant: Claimant,
    kind: Kind,
    number: u64,
    sent: bool,
    /// How long it queued.
    pub queued: Duration,
}

impl Turn {
    /// Makes the call. It counts from its answer on.
    pub async fn make<T>(mut self, call: impl Future<Output = T>) -> T {
        self.sent = true;
        let mut call = pin!(call);
        let soon = timeout(LONGEST_HOLD, &mut call).await;
        drop(self);
        match soon {
            Ok(answer) => answer,
            Err(_) => call.await,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let state = &mut *self.budget.state.lock();
        if self.sent {
            state.bucket.settle(Instant::now());
        } else if !state.turns.leave(&self.claimant, self.kind, self.number) {
            state.bucket.give_back();
        }
        self.budget.call_up(state);
    }
}

fn exhausted(wait: Duration) -> Fault {
    let detail = "the allowance of eGain calls is used up for now: try again later, or raise egain.plan with the tenant's plan";
    Fault::gateway(Code::UpstreamBudget, Stage::Budget, detail).retry_after(wait)
}
