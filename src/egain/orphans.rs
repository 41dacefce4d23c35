//! Assets that were created and not committed: a bounded queue by due time (a delay queue), from
//! which `orphan_worker` deletes them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Span;

use crate::shared_store::OrphanJournal;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::AssetId;

/// How many assets may wait for their deletion: at one call a second, almost three hours' work, and
/// with their requests' spans some 10 MB.
const MOST_WAITING: usize = 10_000;
/// How many assets that couldn't be deleted are remembered for an operator.
const REMEMBERED: usize = 1000;

/// An asset that was created, not committed, and could not be deleted.
#[derive(Debug, Clone, Serialize)]
pub struct Orphan {
    /// Its id.
    pub id: String,
    /// When it was given up.
    pub since: Timestamp,
    /// Why it still exists: the code of the last failure, `queue-full` or `stopped`.
    pub reason: &'static str,
}

/// Takes assets that are to be deleted.
#[derive(Clone)]
pub struct OrphanQueue(Arc<Shared>);

struct Shared {
    delays: Mutex<DelayQueue>,
    /// Notified when an asset was added.
    added: Notify,
    left: Mutex<VecDeque<Orphan>>,
    /// Where the queue is written down, to outlive this process.
    journal: Option<OrphanJournal>,
    metrics: Arc<ServiceMetrics>,
}

/// Waiting assets, by due time and then in order of arrival.
#[derive(Default)]
struct DelayQueue {
    waiting: BTreeMap<(Instant, u64), WaitingOrphan>,
    number: u64,
    closed: bool,
}

/// An asset that waits for its deletion.
#[derive(Debug, Clone)]
pub(super) struct WaitingOrphan {
    pub(super) id: AssetId,
    /// The span of the request that left it, whose fields its deletion is logged with.
    pub(super) span: Span,
    pub(super) since: Instant,
    pub(super) attempts: u32,
}

impl OrphanQueue {
    /// An empty queue. Nothing is deleted until an `OrphanWorker` runs.
    pub fn new(journal: Option<OrphanJournal>, metrics: Arc<ServiceMetrics>) -> Self {
        Self(Arc::new(Shared {
            delays: Mutex::default(),
            added: Notify::new(),
            left: Mutex::default(),
            journal,
            metrics,
        }))
    }

    /// Assets that could not be deleted, the newest last; at most 1000.
    pub fn list(&self) -> Vec<Orphan> {
        self.0.left.lock().iter().cloned().collect()
    }

    /// Adds an asset without waiting: this is called from `Drop`, for example when a client
    /// disconnects. `span` is that of the request which left the asset.
    fn add(&self, id: AssetId, span: Span) {
        self.journal(|journal| journal.orphaned(&id));
        let now = Instant::now();
        let orphan = WaitingOrphan {
            id,
            span,
            since: now,
            attempts: 0,
        };
        let added = self.0.delays.lock().add(now, orphan.clone());
        match added {
            Ok(()) => self.0.added.notify_one(),
            Err(reason) => self.lose(&orphan, reason),
        }
    }

    /// Adds an asset that another replica has left.
    pub(super) fn take_over(&self, id: AssetId) {
        self.add(id, Span::none());
    }

    /// An asset needs no deletion any more.
    pub(super) fn settle(&self, id: &AssetId) {
        self.journal(|journal| journal.settled(id));
    }

    fn journal(&self, write: impl FnOnce(&OrphanJournal)) {
        if let Some(journal) = &self.0.journal {
            write(journal);
        }
    }

    /// Adds an asset whose deletion failed. Returns whether there was room.
    pub(super) fn add_again(&self, due: Instant, orphan: WaitingOrphan) -> bool {
        self.0.delays.lock().add(due, orphan).is_ok()
    }

    /// Takes the next asset if it is due. If not, returns when it will be, if there is one.
    pub(super) fn take_due(&self, now: Instant) -> Result<WaitingOrphan, Option<Instant>> {
        self.0.delays.lock().take_due(now)
    }

    /// Takes the next asset, due or not.
    pub(super) fn take_next(&self) -> Option<WaitingOrphan> {
        let (_, orphan) = self.0.delays.lock().waiting.pop_first()?;
        Some(orphan)
    }

    /// Returns once an asset was added.
    pub(super) async fn added(&self) {
        self.0.added.notified().await;
    }

    /// Refuses assets from now on.
    pub(super) fn close(&self) {
        self.0.delays.lock().closed = true;
    }

    /// Gives an asset up of which no deletion was tried to the end.
    pub(super) fn lose(&self, orphan: &WaitingOrphan, reason: &'static str) {
        self.count("lost");
        orphan.span.in_scope(|| self.remember(&orphan.id, reason));
    }

    pub(super) fn count(&self, result: &str) {
        self.0.metrics.orphans.with_label_values(&[result]).inc();
    }

    pub(super) fn remember(&self, id: &AssetId, reason: &'static str) {
        tracing::error!(
            asset = id.as_str(),
            reason,
            "orphaned asset was not deleted"
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

impl DelayQueue {
    /// Adds an asset, or returns why it can't be added.
    fn add(&mut self, due: Instant, orphan: WaitingOrphan) -> Result<(), &'static str> {
        if self.closed {
            return Err("stopped");
        }
        if self.waiting.len() >= MOST_WAITING {
            return Err("queue-full");
        }
        self.number += 1;
        self.waiting.insert((due, self.number), orphan);
        Ok(())
    }

    fn take_due(&mut self, now: Instant) -> Result<WaitingOrphan, Option<Instant>> {
        let Some(first) = self.waiting.first_entry() else {
            return Err(None);
        };
        let (due, _) = *first.key();
        if due <= now {
            Ok(first.remove())
        } else {
            Err(Some(due))
        }
    }
}

/// An asset that goes to the queue of orphans when this guard is dropped, unless it is committed
/// (RAII).
pub struct UncommittedAsset {
    id: Option<AssetId>,
    span: Span,
    orphans: OrphanQueue,
}

impl UncommittedAsset {
    /// Guards an asset that was just created, for the request whose span is the current one.
    pub fn new(id: AssetId, orphans: OrphanQueue) -> Self {
        orphans.journal(|journal| journal.created(&id));
        Self {
            id: Some(id),
            span: Span::current(),
            orphans,
        }
    }

    /// The asset stays.
    pub fn commit(mut self) -> AssetId {
        let id = self
            .id
            .take()
            .expect("only this method takes the id, and it consumes the asset");
        self.orphans.settle(&id);
        id
    }
}

impl Drop for UncommittedAsset {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.orphans.add(id, self.span.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn waiting(number: usize, now: Instant) -> WaitingOrphan {
        WaitingOrphan {
            id: AssetId::parse(&number.to_string()).unwrap(),
            span: Span::none(),
            since: now,
            attempts: 0,
        }
    }

    #[test]
    fn the_queue_is_bounded_and_goes_by_due_time() {
        let (mut queue, now) = (DelayQueue::default(), Instant::now());
        queue.add(now + MINUTE, waiting(1, now)).unwrap();
        assert_eq!(queue.take_due(now).unwrap_err(), Some(now + MINUTE));
        queue.add(now, waiting(2, now)).unwrap();
        queue.add(now, waiting(3, now)).unwrap();
        let mut next = |at| match queue.take_due(at) {
            Ok(orphan) => orphan.id.as_str().to_owned(),
            Err(_) => String::new(),
        };
        assert_eq!(
            [next(now), next(now), next(now), next(now + MINUTE)],
            ["2", "3", "", "1"]
        );
        for number in 0..MOST_WAITING {
            queue.add(now, waiting(number, now)).unwrap();
        }
        assert_eq!(queue.add(now, waiting(0, now)), Err("queue-full"));
    }
}
