//! One request to eGain or storage in the metrics.

use http::StatusCode;
use tokio::time::Instant;

use super::metrics::ServiceMetrics;

/// How a request to an upstream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// With a response.
    Responded(StatusCode),
    /// With none in time.
    TimedOut,
    /// With none at all.
    Failed,
}

impl UpstreamOutcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Responded(status) => match status.as_u16() / 100 {
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                5 => "5xx",
                _ => "other",
            },
            Self::TimedOut => "timeout",
            Self::Failed => "error",
        }
    }
}

impl ServiceMetrics {
    /// Counts a request that was sent at `began`, and the time until its response.
    pub fn record_upstream(&self, operation: &str, began: Instant, outcome: UpstreamOutcome) {
        let labels = [operation, outcome.name()];
        self.upstream_requests.with_label_values(&labels).inc();
        self.upstream_request_duration
            .with_label_values(&labels)
            .observe(began.elapsed().as_secs_f64());
    }
}
