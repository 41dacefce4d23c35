//! Deletes assets that were created and not kept. One worker, one bounded queue by due time (a
//! delay queue).
//!
//! A deletion that failed goes to the end, with a growing pause, and is tried for a day; it holds
//! up no other. While calls pause or there is no token, nothing is tried, and nothing counts as
//! tried.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::EgainClient;
use super::client::CallError;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::AssetId;
use crate::types::error::ErrorCode;

/// How many assets may wait for their deletion: at one call a second, almost three hours' work, and
/// with their requests' spans some 10 MB.
const MOST_WAITING: usize = 10_000;
/// How many that couldn't be deleted are remembered for an operator.
const REMEMBERED: usize = 1000;
/// For how long a deletion is tried: an outage of eGain's is over by then, or an operator knows of
/// it.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// Between the first attempt and the second; each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// A day of attempts costs some thirty calls at this pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// Where no call could be made and nobody says when one can be.
const USUAL_WAIT: Duration = Duration::from_secs(30);
/// Where no call could be made, at least.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// An asset that was created, not kept, and could not be deleted.
#[derive(Debug, Clone, Serialize)]
pub struct Orphan {
    /// Its id.
    pub id: String,
    /// When it was given up.
    pub since: Timestamp,
    /// Why it is still there: the code of the last failure, `queue-full` or `stopped`.
    pub reason: &'static str,
}

/// The way to hand over an asset that nobody keeps.
#[derive(Clone)]
pub struct OrphanQueue(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Told when something was added.
    added: Notify,
    left: Mutex<VecDeque<Orphan>>,
    metrics: Arc<ServiceMetrics>,
}

/// Those that wait, by when they are due and in which order they came.
#[derive(Default)]
struct Queue {
    waiting: BTreeMap<(Instant, u64), Waiting>,
    number: u64,
    closed: bool,
}

#[derive(Debug, Clone)]
struct Waiting {
    id: AssetId,
    /// Of the request that left it, whose fields its deletion is logged with.
    span: Span,
    since: Instant,
    attempts: u32,
}

/// The worker's half.
pub struct OrphanWorker {
    egain: EgainClient,
    current: Option<Waiting>,
    orphans: OrphanQueue,
}

impl OrphanQueue {
    /// The queue and its worker. The worker does nothing until it is run.
    pub fn new(egain: EgainClient, metrics: Arc<ServiceMetrics>) -> (Self, OrphanWorker) {
        let shared = Shared {
            queue: Mutex::default(),
            added: Notify::new(),
            left: Mutex::default(),
            metrics,
        };
        let orphans = Self(Arc::new(shared));
        (
            orphans.clone(),
            OrphanWorker {
                egain,
                current: None,
                orphans,
            },
        )
    }

    /// Never waits: it is called where a caller has left, from `Drop`. `span` is that of the
    /// request which left the asset.
    fn hand_over(&self, id: AssetId, span: Span) {
        let now = Instant::now();
        let orphan = Waiting {
            id,
            span,
            since: now,
            attempts: 0,
        };
        let refused = self.0.queue.lock().add(now, orphan.clone()).err();
        match refused {
            None => self.0.added.notify_one(),
            Some(reason) => self.lose(&orphan, reason),
        }
    }

    /// What could not be deleted, the newest last; at most 1000.
    pub fn list(&self) -> Vec<Orphan> {
        self.0.left.lock().iter().cloned().collect()
    }

    /// Whether it is due or not.
    fn take_next(&self) -> Option<Waiting> {
        self.0
            .queue
            .lock()
            .waiting
            .pop_first()
            .map(|(_, waiting)| waiting)
    }

    fn lose(&self, orphan: &Waiting, reason: &'static str) {
        self.count("lost");
        orphan.span.in_scope(|| self.remember(&orphan.id, reason));
    }

    fn count(&self, result: &str) {
        self.0.metrics.orphans.with_label_values(&[result]).inc();
    }

    fn remember(&self, id: &AssetId, reason: &'static str) {
        tracing::error!(
            asset = id.as_str(),
            reason,
            "an asset that nobody keeps is left in eGain"
        );
        let mut left = self.0.left.lock();
        if left.len() == REMEMBERED {
            left.pop_front();
        }
        left.push_back(Orphan {
            id: id.as_str().to_owned(),
            since: Timestamp::now(),
            reason,
        });
    }
}

impl Queue {
    /// Adds one, or says why it can't be.
    fn add(&mut self, due: Instant, waiting: Waiting) -> Result<(), &'static str> {
        if self.closed {
            return Err("stopped");
        }
        if self.waiting.len() >= MOST_WAITING {
            return Err("queue-full");
        }
        self.number += 1;
        self.waiting.insert((due, self.number), waiting);
        Ok(())
    }

    /// Takes the next one if it is due; else says when it will be, if there is one.
    fn take_due(&mut self, now: Instant) -> Result<Waiting, Option<Instant>> {
        let first = self.waiting.first_entry().ok_or(None)?;
        let (due, _) = *first.key();
        if due <= now {
            Ok(first.remove())
        } else {
            Err(Some(due))
        }
    }
}

impl Waiting {
    /// When to try again after a failure; None where it is time to give up.
    fn due_again(&mut self, failure: &CallError, now: Instant) -> Option<Instant> {
        let pause = if failure.attempted {
            self.attempts += 1;
            FIRST_PAUSE
                .saturating_mul(1 << (self.attempts - 1).min(16))
                .min(LONGEST_PAUSE)
        } else {
            failure
                .fault
                .wait()
                .unwrap_or(USUAL_WAIT)
                .clamp(LEAST_WAIT, LONGEST_PAUSE)
        };
        let is_final = failure.attempted && !failure.fault.is_retryable();
        (!is_final && now < self.since + PATIENCE).then_some(now + pause)
    }
}

/// An asset that is handed over unless it is kept.
pub struct UncommittedAsset {
    id: Option<AssetId>,
    span: Span,
    orphans: OrphanQueue,
}

impl UncommittedAsset {
    /// On an asset that was just created, for the request whose span this is called in.
    pub fn on(id: AssetId, orphans: OrphanQueue) -> Self {
        Self {
            id: Some(id),
            span: Span::current(),
            orphans,
        }
    }

    /// The asset is to stay.
    pub fn keep(mut self) -> AssetId {
        self.id
            .take()
            .expect("a claim holds its id until it is kept")
    }
}

impl Drop for UncommittedAsset {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.orphans.hand_over(id, self.span.clone());
        }
    }
}

impl OrphanWorker {
    /// Works until `stop` is cancelled, and then tries each one that is left for a last time.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let taken = self.orphans.0.queue.lock().take_due(Instant::now());
            match taken {
                Ok(waiting) => self.attempt_in_span(waiting).await,
                Err(due) => self.rest(due, &stop).await,
            }
        }
        self.orphans.0.queue.lock().closed = true;
        while let Some(waiting) = self.orphans.take_next() {
            self.attempt_in_span(waiting).await;
        }
    }

    /// Until the next one is due, another one is handed over, or it is time to stop.
    async fn rest(&self, due: Option<Instant>, stop: &CancellationToken) {
        let until_due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = until_due => {}
            () = self.orphans.0.added.notified() => {}
            () = stop.cancelled() => {}
        }
    }

    /// As for the request that left the asset.
    async fn attempt_in_span(&mut self, waiting: Waiting) {
        let span = waiting.span.clone();
        self.attempt(waiting).instrument(span).await;
    }

    /// One call for one asset. If it fails, the asset goes to the end of the queue, or is given up.
    async fn attempt(&mut self, mut waiting: Waiting) {
        self.current = Some(waiting.clone());
        let deleted = self.egain.delete_orphan(&waiting.id).await;
        let id = waiting.id.clone();
        match deleted {
            Ok(()) => self.orphans.count("deleted"),
            Err(failure) if failure.fault.code() == ErrorCode::NotFound => {
                self.orphans.count("deleted")
            }
            Err(failure) => {
                let due = waiting.due_again(&failure, Instant::now());
                let (attempts, code) = (waiting.attempts, failure.fault.code().name());
                tracing::debug!(
                    asset = id.as_str(),
                    attempts,
                    code,
                    "an asset that nobody keeps isn't deleted yet"
                );
                let again =
                    due.is_some_and(|due| self.orphans.0.queue.lock().add(due, waiting).is_ok());
                if !again {
                    self.orphans.count("failed");
                    self.orphans.remember(&id, code);
                }
            }
        }
        self.current = None;
    }
}

/// Given up with work left: an operator must know of what.
impl Drop for OrphanWorker {
    fn drop(&mut self) {
        self.orphans.0.queue.lock().closed = true;
        let rest = std::iter::from_fn(|| self.orphans.take_next());
        for orphan in self.current.take().into_iter().chain(rest) {
            self.orphans.lose(&orphan, "stopped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::error::{Error, Stage};

    const MINUTE: Duration = Duration::from_secs(60);

    fn waiting(number: usize, now: Instant) -> Waiting {
        Waiting {
            id: AssetId::parse(&number.to_string()).unwrap(),
            span: Span::none(),
            since: now,
            attempts: 0,
        }
    }

    fn failure(attempted: bool, wait: Option<Duration>) -> CallError {
        let fault =
            Error::egain(ErrorCode::UpstreamUnavailable, Stage::Delete, "down").retryable(true);
        CallError::of(wait.into_iter().fold(fault, Error::retry_after), attempted)
    }

    #[test]
    fn pauses_grow_to_an_hour_and_end_after_a_day() {
        let mut now = Instant::now();
        let (begin, mut orphan) = (now, waiting(1, now));
        let mut pauses = Vec::new();
        while let Some(due) = orphan.due_again(&failure(true, None), now) {
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(
            (&pauses[..4], pauses.last()),
            ([2, 4, 8, 16].as_slice(), Some(&3600))
        );
        assert!(
            (30..40).contains(&pauses.len()) && now - begin >= PATIENCE,
            "{} attempts",
            pauses.len()
        );
    }

    #[test]
    fn what_wasnt_tried_is_no_attempt() {
        let now = Instant::now();
        let mut orphan = waiting(1, now);
        for (wait, pause) in [
            (None, USUAL_WAIT),
            (Some(Duration::ZERO), LEAST_WAIT),
            (Some(MINUTE), MINUTE),
        ] {
            assert_eq!(
                orphan.due_again(&failure(false, wait), now),
                Some(now + pause)
            );
        }
        assert_eq!(orphan.attempts, 0);
        assert_eq!(
            orphan.due_again(&failure(false, None), now + PATIENCE),
            None,
            "but not for ever"
        );
    }

    #[test]
    fn what_is_refused_for_good_is_given_up_at_once() {
        let refused = Error::caller(ErrorCode::Conflict, Stage::Delete, "in use");
        let now = Instant::now();
        assert_eq!(
            waiting(1, now).due_again(&CallError::of(refused, true), now),
            None
        );
    }

    #[test]
    fn the_queue_is_bounded_and_goes_by_due_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(now + MINUTE, waiting(1, now)).unwrap();
        assert_eq!(queue.take_due(now).unwrap_err(), Some(now + MINUTE));
        queue.add(now, waiting(2, now)).unwrap();
        queue.add(now, waiting(3, now)).unwrap();
        let mut next = |at| {
            queue
                .take_due(at)
                .map(|waiting| waiting.id.as_str().to_owned())
                .ok()
        };
        assert_eq!(
            [next(now), next(now), next(now), next(now + MINUTE)].map(|id| id.unwrap_or_default()),
            ["2", "3", "", "1"]
        );
        for number in 0..MOST_WAITING {
            queue.add(now, waiting(number, now)).unwrap();
        }
        assert_eq!(queue.add(now, waiting(0, now)), Err("queue-full"));
    }
}
