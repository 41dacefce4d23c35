//! Counts how an upload ended, also one whose client disconnected before its response.

use std::sync::Arc;

use super::length_source::LengthSource;
use crate::telemetry::metrics::ServiceMetrics;
use crate::telemetry::transfer::{TransferDirection, TransferRecord};
use crate::types::error::{Error, ErrorCode};

/// One upload in the metrics.
pub(super) struct UploadMetrics {
    metrics: Arc<ServiceMetrics>,
    transfer: TransferRecord,
    length_source: &'static str,
    outcome: &'static str,
}

impl UploadMetrics {
    /// An upload has begun.
    pub(super) fn begin(metrics: &Arc<ServiceMetrics>) -> Self {
        let transfer = TransferRecord::begin(metrics, TransferDirection::Upload);
        Self {
            metrics: metrics.clone(),
            transfer,
            length_source: "unknown",
            outcome: ErrorCode::CallerLeft.name(),
        }
    }

    /// Its length is known.
    pub(super) fn measured(&mut self, source: LengthSource) {
        self.length_source = source.name();
    }

    /// It got the response of an earlier attempt.
    pub(super) fn replayed(&mut self, source: LengthSource) {
        self.length_source = source.name();
        self.outcome = "replayed";
        self.transfer.end(None);
    }

    /// It has ended, well or not.
    pub(super) fn end(&mut self, error: Option<&Error>) {
        self.outcome = match error {
            Some(error) => error.code().name(),
            None => "stored",
        };
        self.transfer.end(error);
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
