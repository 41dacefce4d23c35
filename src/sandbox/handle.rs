//! A part of the stand-in's powers, for what doesn't own it.

use std::sync::Arc;

use super::control;
use super::state::SandboxState;
use super::stats::SandboxStats;

/// Looks into a running stand-in and lets things go wrong there.
#[derive(Clone)]
pub struct SandboxHandle(pub(super) Arc<SandboxState>);

impl SandboxHandle {
    /// What was requested so far, and the responses.
    pub fn stats(&self) -> SandboxStats {
        self.0.stats()
    }

    /// Adds a fault or a list of them, in JSON.
    ///
    /// # Errors
    /// The JSON is broken or has a name that no fault has.
    pub fn add_faults(&self, json: &[u8]) -> serde_json::Result<()> {
        control::parse(json)?
            .into_iter()
            .for_each(|fault| self.0.faults.add(fault));
        Ok(())
    }

    /// Forgets the faults that are still to come.
    pub fn clear_faults(&self) {
        self.0.faults.clear();
    }
}
