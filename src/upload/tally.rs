//! Counts how an upload ended, also one whose caller left while nobody was looking.

use std::sync::Arc;

use super::length::LengthSource;
use crate::signals::metrics::Metrics;
use crate::signals::transfer::{Direction, Transfer};
use crate::words::fault::{Code, Fault};

/// One upload in the metrics.
pub struct Tally {
    metrics: Arc<Metrics>,
    transfer: Transfer,
    length_source: &'static str,
    outcome: &'static str,
}

impl Tally {
    /// An upload has begun.
    pub fn begin(metrics: &Arc<Metrics>) -> Self {
        let transfer = Transfer::begin(metrics, Direction::Upload);
        Self {
            metrics: metrics.clone(),
            transfer,
            length_source: "unknown",
            outcome: Code::CallerLeft.name(),
        }
    }

    /// Its length is known.
    pub fn measured(&mut self, source: LengthSource) {
        self.length_source = source.name();
    }

    /// It was answered as an earlier attempt was.
    pub fn replayed(&mut self, source: LengthSource) {
        self.length_source = source.name();
        self.outcome = "replayed";
        self.transfer.end(None);
    }

    /// It has ended, well or not.
    pub fn end(&mut self, fault: Option<&Fault>) {
        self.outcome = fault.map_or("stored", |fault| fault.code().name());
        self.transfer.end(fault);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.metrics
            .uploads
            .with_label_values(&[self.length_source, self.outcome])
            .inc();
    }
}
