//! Graceful shutdown: from the stop signal to the end, as a state that every layer may read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The steps of the service's life, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ShutdownPhase {
    /// Not all listeners are bound yet.
    Starting,
    /// Ready.
    Serving,
    /// Stop signal received: readiness fails, but every request is still served, and each response
    /// closes its connection.
    NotReady,
    /// New uploads are refused while requests in flight finish.
    Draining,
}

/// The service's phase, and the requests in flight. Clones share it.
#[derive(Clone)]
pub struct Shutdown(Arc<Inner>);

struct Inner {
    phase: AtomicU8,
    /// Requests that began before draining, and those that began later.
    early: TaskTracker,
    late: TaskTracker,
    finishing: TaskTracker,
    not_ready: CancellationToken,
    closing: CancellationToken,
    abort: CancellationToken,
}

impl Shutdown {
    /// A service that is starting.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            phase: AtomicU8::new(ShutdownPhase::Starting as u8),
            early: TaskTracker::new(),
            late: TaskTracker::new(),
            finishing: TaskTracker::new(),
            not_ready: CancellationToken::new(),
            closing: CancellationToken::new(),
            abort: CancellationToken::new(),
        }))
    }

    /// The current phase.
    pub fn phase(&self) -> ShutdownPhase {
        match self.0.phase.load(Ordering::Acquire) {
            0 => ShutdownPhase::Starting,
            1 => ShutdownPhase::Serving,
            2 => ShutdownPhase::NotReady,
            _ => ShutdownPhase::Draining,
        }
    }

    /// Moves on to `phase`. Phases never go back.
    pub fn enter(&self, phase: ShutdownPhase) {
        self.0.phase.fetch_max(phase as u8, Ordering::AcqRel);
        if phase >= ShutdownPhase::NotReady {
            self.0.not_ready.cancel();
        }
    }

    /// Held by a request until the last byte of its response.
    pub fn track_request(&self) -> TaskTrackerToken {
        if self.phase() < ShutdownPhase::Draining {
            self.0.early.token()
        } else {
            self.0.late.token()
        }
    }

    /// Held by work that outlives its request, until it is done.
    pub fn track_finishing(&self) -> TaskTrackerToken {
        self.0.finishing.token()
    }

    /// Requests in flight.
    pub fn running(&self) -> usize {
        self.0.early.len() + self.0.late.len()
    }

    /// Resolves when all requests that began before draining have finished, and the work that
    /// outlives them. Later requests aren't waited for: they may keep coming.
    pub async fn early_requests_ended(&self) {
        for tracker in [&self.0.early, &self.0.finishing] {
            tracker.close();
            tracker.wait().await;
        }
    }

    /// Resolves when no request is in flight, and no work that outlives one.
    pub async fn idle(&self) {
        self.early_requests_ended().await;
        self.0.late.close();
        self.0.late.wait().await;
    }

    /// Cancelled when connections of clients must shut down gracefully.
    pub fn not_ready(&self) -> CancellationToken {
        self.0.not_ready.clone()
    }

    /// Cancelled when listeners must stop accepting.
    pub fn closing(&self) -> CancellationToken {
        self.0.closing.clone()
    }

    /// Cancelled when requests still in flight must be aborted.
    pub fn abort(&self) -> CancellationToken {
        self.0.abort.clone()
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}
