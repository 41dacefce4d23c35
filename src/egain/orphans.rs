//! Deletes assets that were created and not kept. One worker, one bounded queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::Egain;
use crate::signals::metrics::Metrics;
use crate::words::asset::AssetId;
use crate::words::caller::Claimant;
use crate::words::fault::{Code, Fault};

/// How many assets may wait for their deletion: at one call a second, a quarter of an hour's work.
const QUEUE: usize = 1024;
/// How many that couldn't be deleted are remembered for an operator.
const REMEMBERED: usize = 1000;

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
pub struct Orphans {
    queue: mpsc::Sender<AssetId>,
    left: Arc<Mutex<VecDeque<Orphan>>>,
    metrics: Arc<Metrics>,
}

/// The worker's half.
pub struct Worker {
    egain: Egain,
    queue: mpsc::Receiver<AssetId>,
    current: Option<AssetId>,
    orphans: Orphans,
}

impl Orphans {
    /// The queue and its worker. The worker does nothing until it is run.
    pub fn new(egain: Egain, metrics: Arc<Metrics>) -> (Self, Worker) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let orphans = Self { queue: sender, left: Arc::default(), metrics };
        (orphans.clone(), Worker { egain, queue, current: None, orphans })
    }

    /// Never waits: it is called where a caller has left, from `Drop`.
    pub fn hand_over(&self, id: AssetId) {
        let (id, reason) = match self.queue.try_send(id) {
            Ok(()) => return,
            Err(TrySendError::Full(id)) => (id, "queue-full"),
            Err(TrySendError::Closed(id)) => (id, "stopped"),
        };
        self.lose(&id, reason);
    }

    /// What could not be deleted, the newest last; at most 1000.
    pub fn list(&self) -> Vec<Orphan> {
        self.left.lock().iter().cloned().collect()
    }

    fn lose(&self, id: &AssetId, reason: &'static str) {
        self.metrics.orphans.with_label_values(&["lost"]).inc();
        self.remember(id, reason);
    }

    fn remember(&self, id: &AssetId, reason: &'static str) {
        tracing::error!(asset = id.as_str(), reason, "an asset that nobody keeps is left in eGain");
        let mut left = self.left.lock();
        if left.len() == REMEMBERED {
            left.pop_front();
        }
        left.push_back(Orphan { id: id.as_str().to_owned(), since: Timestamp::now(), reason });
    }
}

/// An asset that is handed over unless it is kept.
pub struct Claim {
    id: Option<AssetId>,
    orphans: Orphans,
}

impl Claim {
    /// On an asset that was just created.
    pub fn on(id: AssetId, orphans: Orphans) -> Self {
        Self { id: Some(id), orphans }
    }

    /// The asset is to stay.
    pub fn keep(mut self) -> AssetId {
        self.id.take().expect("a claim holds its id until it is kept")
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.orphans.hand_over(id);
        }
    }
}

impl Worker {
    /// Works until `stop` is cancelled and the queue is empty.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let next = tokio::select! {
                biased;
                next = self.queue.recv() => next,
                () = stop.cancelled(), if !self.queue.is_closed() => { self.queue.close(); continue }
            };
            match next {
                Some(id) => {
                    self.current = Some(id.clone());
                    self.delete(&id, &stop).await;
                    self.current = None;
                }
                None => return,
            }
        }
    }

    /// Tries for about two minutes; once the service is stopping, only once.
    async fn delete(&self, id: &AssetId, stop: &CancellationToken) {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_secs(2))
            .with_max_delay(Duration::from_secs(60))
            .with_max_times(6)
            .with_jitter();
        let patiently = (|| self.egain.delete_asset(id, &Claimant::Gateway)).retry(pauses).when(Fault::is_retryable);
        let deleted = tokio::select! {
            deleted = patiently, if !stop.is_cancelled() => deleted,
            () = stop.cancelled() => self.egain.delete_asset(id, &Claimant::Gateway).await,
        };
        let result = match deleted {
            Ok(()) => "deleted",
            Err(fault) if fault.code() == Code::NotFound => "deleted",
            Err(fault) => {
                self.orphans.remember(id, fault.code().name());
                "failed"
            }
        };
        self.orphans.metrics.orphans.with_label_values(&[result]).inc();
    }
}

/// Given up with work left: an operator must know of what.
impl Drop for Worker {
    fn drop(&mut self) {
        let current = self.current.take();
        for id in current.into_iter().chain(std::iter::from_fn(|| self.queue.try_recv().ok())) {
            self.orphans.lose(&id, "stopped");
        }
    }
}
