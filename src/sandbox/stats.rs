//! Calls and the responses to them, counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::StatusCode;
use parking_lot::Mutex;
use serde::Serialize;

use super::asset_view::AssetView;
use super::call_log::RecordedCall;
use super::faults::Fault;
use super::operation::SandboxOperation;

/// Everything that a test may want to know afterwards, or in the middle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SandboxStats {
    /// Calls by operation; all operations are there.
    pub operations: BTreeMap<SandboxOperation, CallStats>,
    /// Bytes of files that storage took in, also of those that it didn't keep.
    pub bytes_received: u64,
    /// Bytes of files that storage gave out.
    pub bytes_sent: u64,
    /// Assets that exist.
    pub assets: Vec<AssetView>,
    /// Faults that are still to come.
    pub faults: Vec<Fault>,
    /// The latest calls, the oldest first.
    pub recent: Vec<RecordedCall>,
}

/// Calls of one operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CallStats {
    /// That began.
    pub calls: u64,
    /// That met a fault.
    pub faulted: u64,
    /// Responses by status. A cut connection is none.
    pub answers: BTreeMap<u16, u64>,
    /// That were there at one time, at most.
    pub most_at_once: u64,
    /// That are there now.
    #[serde(skip)]
    now: u64,
}

impl SandboxStats {
    /// How often `operation` was called.
    pub fn calls(&self, operation: SandboxOperation) -> u64 {
        self.operations
            .get(&operation)
            .map_or(0, |calls| calls.calls)
    }

    /// How many responses of `operation` had `status`.
    pub fn answers(&self, operation: SandboxOperation, status: StatusCode) -> u64 {
        let answers = self.operations.get(&operation).map(|calls| &calls.answers);
        answers
            .and_then(|answers| answers.get(&status.as_u16()))
            .copied()
            .unwrap_or(0)
    }
}

/// A call that is there.
pub(super) struct Presence {
    tally: Arc<StatsTally>,
    operation: SandboxOperation,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut operations = self.tally.operations.lock();
        // A reset may have removed it.
        let calls = operations.entry(self.operation).or_default();
        calls.now = calls.now.saturating_sub(1);
    }
}

/// The running count.
#[derive(Debug, Default)]
pub(super) struct StatsTally {
    operations: Mutex<BTreeMap<SandboxOperation, CallStats>>,
    received: AtomicU64,
    sent: AtomicU64,
}

impl StatsTally {
    /// A call has begun. It is there until what is returned goes.
    pub(super) fn began(self: &Arc<Self>, operation: SandboxOperation, faulted: bool) -> Presence {
        let mut operations = self.operations.lock();
        let calls = operations.entry(operation).or_default();
        calls.calls += 1;
        calls.faulted += u64::from(faulted);
        calls.now += 1;
        calls.most_at_once = calls.most_at_once.max(calls.now);
        Presence {
            tally: self.clone(),
            operation,
        }
    }

    pub(super) fn responded(&self, operation: SandboxOperation, status: StatusCode) {
        *self
            .operations
            .lock()
            .entry(operation)
            .or_default()
            .answers
            .entry(status.as_u16())
            .or_default() += 1;
    }

    pub(super) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    pub(super) fn read(
        &self,
        assets: Vec<AssetView>,
        faults: Vec<Fault>,
        recent: Vec<RecordedCall>,
    ) -> SandboxStats {
        let mut operations = self.operations.lock().clone();
        for operation in SandboxOperation::ALL {
            operations.entry(*operation).or_default();
        }
        let bytes_received = self.received.load(Relaxed);
        let bytes_sent = self.sent.load(Relaxed);
        SandboxStats {
            operations,
            bytes_received,
            bytes_sent,
            assets,
            faults,
            recent,
        }
    }

    pub(super) fn reset(&self) {
        self.operations.lock().clear();
        self.received.store(0, Relaxed);
        self.sent.store(0, Relaxed);
    }
}
