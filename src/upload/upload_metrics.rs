//! Counts how an upload ended, also one whose caller left while nobody was looking.

use std::sync::Arc;

use super::length::LengthSource;
use crate::telemetry::metrics::ServiceMetrics;
use crate::telemetry::transfer::{TransferDirection, TransferRecord};
use crate::types::error::{Error, ErrorCode};

/// One upload in the metrics.
pub struct UploadMetrics {
    metrics: Arc<ServiceMetrics>,
    transfer: TransferRecord,
    length_source: &'static str,
    outcome: &'static str,
}

impl UploadMetrics {
    /// An upload has begun.
    pub fn begin(metrics: &Arc<ServiceMetrics>) -> Self {
        let transfer = TransferRecord::begin(metrics, TransferDirection::Upload);
        Self {
            metrics: metrics.clone(),
            transfer,
            length_source: "unknown",
            outcome: ErrorCode::CallerLeft.name(),
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
    pub fn end(&mut self, fault: Option<&Error>) {
        self.outcome = fault.map_or("stored", |fault| fault.code().name());
        self.transfer.end(fault);
    }
}

impl Drop for UploadMetrics {
    fn drop(&mut self) {
        self.metrics
            .uploads
            .with_label_values(&[self.length_source, self.outcome])
            .inc();
    }
}
