//! Deletes orphans: assets that were created and not committed. One worker takes them from the
//! queue.
//!
//! An asset whose deletion failed goes back to the queue with a growing pause (backoff), and is
//! tried for a day; it holds up no other. While calls pause or there is no token, no deletion is
//! tried, and none counts as tried.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::call_error::CallError;
use super::egain_client::EgainClient;
use super::orphans::{OrphanQueue, WaitingOrphan};
use crate::types::error::ErrorCode;

/// For how long a deletion is tried: an outage of eGain's is over by then, or an operator knows of
/// it.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// Between the first attempt and the second; each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// A day of attempts costs some thirty calls at this pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// The pause where no call could be made and it isn't known when one can be.
const USUAL_WAIT: Duration = Duration::from_secs(30);
/// The shortest pause where no call could be made.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// The task that deletes what is in the queue.
pub struct OrphanWorker {
    egain: EgainClient,
    current: Option<WaitingOrphan>,
    orphans: OrphanQueue,
}

impl OrphanWorker {
    /// Does nothing until it is run.
    pub fn new(egain: EgainClient, orphans: OrphanQueue) -> Self {
        Self {
            egain,
            current: None,
            orphans,
        }
    }

    /// Works until `stop` is cancelled, and then tries to delete each remaining asset once more.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.orphans.take_due(Instant::now()) {
                Ok(orphan) => self.attempt_in_span(orphan).await,
                Err(due) => self.rest(due, &stop).await,
            }
        }
        self.orphans.close();
        while let Some(orphan) = self.orphans.take_next() {
            self.attempt_in_span(orphan).await;
        }
    }

    /// Waits until the next asset is due, another one is added, or it is time to stop.
    async fn rest(&self, due: Option<Instant>, stop: &CancellationToken) {
        let until_due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = until_due => {}
            () = self.orphans.added() => {}
            () = stop.cancelled() => {}
        }
    }

    /// Logs with the fields of the request that left the asset.
    async fn attempt_in_span(&mut self, orphan: WaitingOrphan) {
        let span = orphan.span.clone();
        self.attempt(orphan).instrument(span).await;
    }

    /// One call for one asset. If it fails, the asset goes back to the queue, or is given up.
    async fn attempt(&mut self, orphan: WaitingOrphan) {
        self.current = Some(orphan.clone());
        match self.egain.delete_orphan(&orphan.id).await {
            Ok(()) => self.deleted(&orphan),
            Err(failure) if failure.error.code() == ErrorCode::NotFound => self.deleted(&orphan),
            Err(failure) => self.retry_or_give_up(orphan, &failure),
        }
        self.current = None;
    }

    fn deleted(&self, orphan: &WaitingOrphan) {
        self.orphans.count("deleted");
        self.orphans.settle(&orphan.id);
    }

    fn retry_or_give_up(&self, mut orphan: WaitingOrphan, failure: &CallError) {
        let due = next_attempt(&mut orphan, failure, Instant::now());
        let id = orphan.id.clone();
        let attempts = orphan.attempts;
        let code = failure.error.code().name();
        tracing::debug!(
            asset = id.as_str(),
            attempts,
            code,
            "orphaned asset is not deleted yet"
        );
        if let Some(due) = due
            && self.orphans.add_again(due, orphan)
        {
            return;
        }
        self.orphans.count("failed");
        self.orphans.remember(&id, code);
        self.orphans.settle(&id);
    }
}

/// Dropped with work left: an operator has to know of which assets.
impl Drop for OrphanWorker {
    fn drop(&mut self) {
        self.orphans.close();
        if let Some(orphan) = self.current.take() {
            self.orphans.lose(&orphan, "stopped");
        }
        while let Some(orphan) = self.orphans.take_next() {
            self.orphans.lose(&orphan, "stopped");
        }
    }
}

/// When to try again after a failure; none if it is time to give up.
fn next_attempt(orphan: &mut WaitingOrphan, failure: &CallError, now: Instant) -> Option<Instant> {
    let pause = if failure.attempted {
        orphan.attempts += 1;
        // The exponent is bounded only against overflow.
        FIRST_PAUSE
            .saturating_mul(1 << (orphan.attempts - 1).min(16))
            .min(LONGEST_PAUSE)
    } else {
        let wait = failure.error.retry_after().unwrap_or(USUAL_WAIT);
        wait.clamp(LEAST_WAIT, LONGEST_PAUSE)
    };
    let is_final = failure.attempted && !failure.error.is_retryable();
    if is_final || now >= orphan.since + PATIENCE {
        return None;
    }
    Some(now + pause)
}

#[cfg(test)]
mod tests {
    use tracing::Span;

    use super::*;
    use crate::types::asset::AssetId;
    use crate::types::error::{Error, Stage};

    const MINUTE: Duration = Duration::from_secs(60);

    fn orphan(now: Instant) -> WaitingOrphan {
        WaitingOrphan {
            id: AssetId::parse("1").unwrap(),
            span: Span::none(),
            since: now,
            attempts: 0,
        }
    }

    fn failure(attempted: bool, wait: Option<Duration>) -> CallError {
        let error = Error::egain(ErrorCode::UpstreamUnavailable, Stage::Delete, "down")
            .with_retryable(true);
        CallError::of(
            wait.into_iter().fold(error, Error::with_retry_after),
            attempted,
        )
    }

    #[test]
    fn retry_pauses_grow_to_an_hour_for_a_day() {
        let mut now = Instant::now();
        let (begin, mut orphan) = (now, orphan(now));
        let mut pauses = Vec::new();
        while let Some(due) = next_attempt(&mut orphan, &failure(true, None), now) {
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
    fn a_call_that_was_not_sent_is_no_attempt() {
        let now = Instant::now();
        let mut orphan = orphan(now);
        for (wait, pause) in [
            (None, USUAL_WAIT),
            (Some(Duration::ZERO), LEAST_WAIT),
            (Some(MINUTE), MINUTE),
        ] {
            let due = next_attempt(&mut orphan, &failure(false, wait), now);
            assert_eq!(due, Some(now + pause));
        }
        assert_eq!(orphan.attempts, 0);
        let due = next_attempt(&mut orphan, &failure(false, None), now + PATIENCE);
        assert_eq!(due, None, "but not for ever");
    }

    #[test]
    fn a_final_refusal_is_given_up_at_once() {
        let refused = Error::caller(ErrorCode::Conflict, Stage::Delete, "in use");
        let now = Instant::now();
        let due = next_attempt(&mut orphan(now), &CallError::of(refused, true), now);
        assert_eq!(due, None);
    }
}
