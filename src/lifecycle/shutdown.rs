//! The way from "told to stop" to "stopped", as a state that every floor may read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How far the service has come in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ShutdownPhase {
    /// Not all listeners are bound yet.
    Starting,
    /// All is well.
    Serving,
    /// Told to stop: not ready any more, but everything is still served, each answer closing its
    /// connection.
    NotReady,
    /// New uploads are refused while the running ones finish.
    Draining,
}

/// The service's phase, and who still has work under way.
#[derive(Clone)]
pub struct Shutdown(Arc<Inner>);

struct Inner {
    phase: AtomicU8,
    /// Those that began before draining, and those that came later.
    early: TaskTracker,
    late: TaskTracker,
    finishing: TaskTracker,
    leaving: CancellationToken,
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
            leaving: CancellationToken::new(),
            closing: CancellationToken::new(),
            abort: CancellationToken::new(),
        }))
    }

    /// Where the service stands.
    pub fn phase(&self) -> ShutdownPhase {
        match self.0.phase.load(Ordering::Acquire) {
            0 => ShutdownPhase::Starting,
            1 => ShutdownPhase::Serving,
            2 => ShutdownPhase::NotReady,
            _ => ShutdownPhase::Draining,
        }
    }

    /// Moves on. Phases never go back.
    pub fn enter(&self, phase: ShutdownPhase) {
        self.0.phase.fetch_max(phase as u8, Ordering::AcqRel);
        if phase >= ShutdownPhase::NotReady {
            self.0.leaving.cancel();
        }
    }

    /// Held by an exchange until its last byte.
    pub fn exchange(&self) -> TaskTrackerToken {
        if self.phase() < ShutdownPhase::Draining {
            self.0.early.token()
        } else {
            self.0.late.token()
        }
    }

    /// Held by what must go on when its exchange has ended, until it is done.
    pub fn finishing(&self) -> TaskTrackerToken {
        self.0.finishing.token()
    }

    /// Exchanges under way.
    pub fn running(&self) -> usize {
        self.0.early.len() + self.0.late.len()
    }

    /// Resolves when all exchanges that began before draining are over, and all that outlives them.
    /// Those that come later may have no end.
    pub async fn settled(&self) {
        for tracker in [&self.0.early, &self.0.finishing] {
            tracker.close();
            tracker.wait().await;
        }
    }

    /// Resolves when no exchange is under way, and nothing that outlives one.
    pub async fn idle(&self) {
        self.settled().await;
        self.0.late.close();
        self.0.late.wait().await;
    }

    /// Cancelled when connections must be asked to go elsewhere.
    pub fn leaving(&self) -> CancellationToken {
        self.0.leaving.clone()
    }

    /// Cancelled when listeners must stop accepting.
    pub fn closing(&self) -> CancellationToken {
        self.0.closing.clone()
    }

    /// Cancelled when whatever still runs must be cut.
    pub fn abort(&self) -> CancellationToken {
        self.0.abort.clone()
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}
