//! One transfer in the metrics, from its beginning until it is dropped.

use std::sync::Arc;
use std::time::Instant;

use super::metrics::ServiceMetrics;
use crate::types::error::{Blame, Error, Stage};

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum TransferDirection {
    /// From a caller to storage.
    Upload,
    /// From storage to a caller.
    Download,
}

impl TransferDirection {
    fn name(self) -> &'static str {
        self.into()
    }
}

/// A transfer in flight. Unless [`TransferRecord::end`] says otherwise, its client has
/// disconnected.
pub struct TransferRecord {
    metrics: Arc<ServiceMetrics>,
    direction: TransferDirection,
    began: Instant,
    failure: Option<(Stage, Blame)>,
}

impl TransferRecord {
    /// A transfer has begun.
    pub fn begin(metrics: &Arc<ServiceMetrics>, direction: TransferDirection) -> Self {
        metrics
            .transfers_in_flight
            .with_label_values(&[direction.name()])
            .inc();
        let stage = if direction == TransferDirection::Upload {
            Stage::Read
        } else {
            Stage::Fetch
        };
        Self {
            metrics: metrics.clone(),
            direction,
            began: Instant::now(),
            failure: Some((stage, Blame::Caller)),
        }
    }

    /// It has ended, well or not.
    pub fn end(&mut self, error: Option<&Error>) {
        self.failure = error.map(|error| (error.stage(), error.blame()));
    }
}

impl Drop for TransferRecord {
    fn drop(&mut self) {
        let metrics = &self.metrics;
        let direction = self.direction.name();
        metrics
            .transfers_in_flight
            .with_label_values(&[direction])
            .dec();
        match self.failure {
            Some((stage, blame)) => {
                metrics
                    .transfer_failures
                    .with_label_values(&[direction, stage.name(), blame.name()])
                    .inc();
            }
            None => metrics
                .transfer_duration
                .with_label_values(&[direction])
                .observe(self.began.elapsed().as_secs_f64()),
        }
    }
}
