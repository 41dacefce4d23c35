//! The metrics table. A metric's doc comment is its help text.
//!
//! Label values come from closed sets only: nothing a caller sends becomes a label. What would be
//! stale between two events is read when it is scraped: see [`ServiceMetrics::at_scrape`].

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::log_output;

const PREFIX: &str = "asset_gateway_";

/// Bounds of the histograms of requests, in seconds: what a caller waits for.
const REQUEST_BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Bounds for whole files, in seconds: a photo over a phone's network, up to the largest file over
/// the slowest connection that `server.min_rate` suffers.
const TRANSFER_BOUNDS: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0,
];

/// Bounds for requests to upstreams, in seconds: calls of the API, and also uploads, which last as
/// long as their file.
const UPSTREAM_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0,
];

/// Sets a value that is only known when it is read.
type Reading = Box<dyn Fn(&ServiceMetrics) + Send>;

/// Fields of eGain's responses that may be odd: the label of `upstream_oddities_total`.
const ODD_FIELDS: [&str; 9] = [
    "access_token",
    "body",
    "contentType",
    "contentUrl",
    "contentUrlExpiry",
    "expires_in",
    "id",
    "name",
    "size",
];

/// Failures that alerts watch, as `transfer_failures_total` has them: those that aren't the
/// callers'.
const FAILURES: [[&str; 3]; 8] = [
    ["upload", "read", "gateway"],
    ["upload", "policy", "egain"],
    ["upload", "sign", "gateway"],
    ["upload", "sign", "egain"],
    ["upload", "store", "storage"],
    ["download", "sign", "gateway"],
    ["download", "sign", "egain"],
    ["download", "fetch", "storage"],
];

/// One row of the table, for documents and the tests that compare them.
#[derive(Debug, Clone, Copy)]
pub struct MetricRow {
    /// Name without the prefix `asset_gateway_`.
    pub name: &'static str,
    /// Label names.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

macro_rules! table {
    ($(
        $(#[doc = $help:literal])+
        $field:ident: $kind:ident $name:literal [$($label:literal),*],
    )*) => {
        /// Every metric the service has.
        pub struct ServiceMetrics {
            registry: Registry,
            readings: Mutex<Vec<Reading>>,
            $($(#[doc = $help])+ pub $field: $kind,)*
        }

        /// The same table as data.
        pub const TABLE: &[MetricRow] = &[$(
            MetricRow { name: $name, labels: &[$($label),*], help: concat!($($help),+) },
        )*];

        impl ServiceMetrics {
            /// Registers everything in a registry of its own, so that several services fit in one
            /// process.
            pub fn new() -> Self {
                let registry = Registry::new();
                let metrics = Self {
                    $($field: register(
                        &registry,
                        make::$kind($name, concat!($($help),+).trim(), &[$($label),*]),
                    ),)*
                    registry,
                    readings: Mutex::default(),
                };
                let process = prometheus::process_collector::ProcessCollector::for_self();
                metrics.registry.register(Box::new(process))
                    .expect("the process collector is registered once");
                metrics.begin_at_zero();
                metrics
            }
        }
    };
}

table! {
    /// HTTP requests completed; 499 for a client that disconnected.
    http_requests: IntCounterVec "http_requests_total" ["route", "method", "status"],
    /// Seconds from a request's head to the last byte of its response.
    http_request_duration: HistogramVec "http_request_duration_seconds"
        ["route", "method", "status"],
    /// File bytes moved.
    transfer_bytes: IntCounterVec "transfer_bytes_total" ["direction", "channel"],
    /// Seconds a transfer took that ended well, from its request to its last byte.
    transfer_duration: HistogramVec "transfer_duration_seconds" ["direction"],
    /// Transfers in flight.
    transfers_in_flight: IntGaugeVec "transfers_in_flight" ["direction"],
    /// Uploads by how their length was known and how they ended (`stored`, `replayed` or the
    /// error's code).
    uploads: IntCounterVec "uploads_total" ["length_source", "outcome"],
    /// Requests refused because of the caller, a rule or a limit, by the error's code;
    /// `would_reject` counts what `policy.report_only` let pass.
    rejected: IntCounterVec "rejected_total" ["code"],
    /// Uploads of at least 1 MiB that came through a proxy: `gradual` if the gateway waited for
    /// their bytes, `at_once` if it hardly did, as behind a proxy that buffers request bodies.
    proxied_bodies: IntCounterVec "proxied_bodies_total" ["arrival"],
    /// Transfers that failed.
    transfer_failures: IntCounterVec "transfer_failures_total" ["direction", "stage", "blame"],
    /// Requests to eGain, storage and the issuer of callers' tokens (`jwks`), by operation and
    /// outcome (a status class, `timeout` or `error`).
    upstream_requests: IntCounterVec "upstream_requests_total" ["operation", "outcome"],
    /// Seconds a request took: to eGain until its whole response, to storage until the response's
    /// head.
    upstream_request_duration: HistogramVec "upstream_request_duration_seconds"
        ["operation", "outcome"],
    /// Seconds calls waited for the allowance of eGain calls.
    upstream_budget_wait: HistogramVec "upstream_budget_wait_seconds" ["routes"],
    /// Calls that could be made at once.
    upstream_budget_tokens: GaugeVec "upstream_budget_tokens" ["routes"],
    /// Seconds until a call may go again, while a 429 or an outage of eGain holds them back; 0 when
    /// they go.
    upstream_pause: GaugeVec "upstream_pause_seconds" ["routes"],
    /// This month's calls of the method that has the least left, as a part of
    /// `egain.monthly_quota`.
    upstream_quota_used: GaugeVec "upstream_quota_used_ratio" ["routes"],
    /// When the access token expires, in Unix seconds; 0 for none.
    token_expiry: Gauge "token_expiry_timestamp_seconds" [],
    /// Fields of eGain's responses that differed from the documented form; readable ones are used
    /// all the same. `body` for JSON that is broken.
    upstream_oddities: IntCounterVec "upstream_oddities_total" ["field"],
    /// Names that eGain refused for their characters, and took with plain ones.
    names_folded: IntCounter "names_folded_total" [],
    /// Seconds since the attachment rules of the account that was read longest ago were read from
    /// eGain; 0 for none.
    rules_age: Gauge "rules_age_seconds" [],
    /// 1 while the store that replicas share can be used; 0 also where there is none.
    shared_store_up: IntGauge "shared_store_up" [],
    /// 1 from the moment that the service begins to shut down.
    draining: IntGauge "draining" [],
    /// Lookups in the cache of signed URLs: `hit`, `miss`, `coalesced`, and `shared_hit` for what
    /// another replica has fetched.
    url_cache_requests: IntCounterVec "url_cache_requests_total" ["result"],
    /// Signed URLs that storage refused before their expiry.
    url_early_death: IntCounter "url_early_death_total" [],
    /// Entries in the cache of signed URLs.
    url_cache_entries: IntGauge "url_cache_entries" [],
    /// Bytes spooled because their length wasn't known.
    spool_bytes: IntGauge "spool_bytes" [],
    /// The cap on spooled bytes.
    spool_limit: IntGauge "spool_limit_bytes" [],
    /// Assets that were created and not committed: `deleted`, `failed` (see `/orphans`), `lost`
    /// (the queue was full, or the service stopped).
    orphans: IntCounterVec "orphans_total" ["result"],
    /// Lines of the log that were dropped, as nobody took them or they couldn't be written.
    log_lines_dropped: IntCounter "log_lines_dropped_total" [],
    /// Always 1; version and commit are its labels.
    build_info: IntGaugeVec "build_info" ["version", "commit"],
}

/// Makers by kind, so that the table's rows all look alike.
#[expect(non_snake_case, reason = "named after the types they make")]
mod make {
    use super::*;

    pub(super) fn IntCounter(name: &str, help: &str, _: &[&str]) -> IntCounter {
        IntCounter::with_opts(opts(name, help)).expect(name)
    }

    pub(super) fn IntCounterVec(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        IntCounterVec::new(opts(name, help), labels).expect(name)
    }

    pub(super) fn IntGauge(name: &str, help: &str, _: &[&str]) -> IntGauge {
        IntGauge::with_opts(opts(name, help)).expect(name)
    }

    pub(super) fn IntGaugeVec(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        IntGaugeVec::new(opts(name, help), labels).expect(name)
    }

    pub(super) fn Gauge(name: &str, help: &str, _: &[&str]) -> Gauge {
        Gauge::with_opts(opts(name, help)).expect(name)
    }

    pub(super) fn GaugeVec(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        GaugeVec::new(opts(name, help), labels).expect(name)
    }

    pub(super) fn HistogramVec(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let buckets = match name {
            "transfer_duration_seconds" => &TRANSFER_BOUNDS[..],
            "upstream_request_duration_seconds" => &UPSTREAM_BOUNDS,
            _ => &REQUEST_BOUNDS,
        };
        HistogramVec::new(
            HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec()),
            labels,
        )
        .expect(name)
    }

    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("{PREFIX}{name}"), help)
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry
        .register(Box::new(collector.clone()))
        .expect("every name in the table is unique");
    collector
}

impl Default for ServiceMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ServiceMetrics {
    /// A rate that is alerted on must be there before the first event.
    fn begin_at_zero(&self) {
        for result in ["hit", "miss", "coalesced", "shared_hit"] {
            self.url_cache_requests.with_label_values(&[result]);
        }
        for result in ["deleted", "failed", "lost"] {
            self.orphans.with_label_values(&[result]);
        }
        for code in ["overloaded", "upstream-budget"] {
            self.rejected.with_label_values(&[code]);
        }
        for labels in FAILURES {
            self.transfer_failures.with_label_values(&labels);
        }
        for field in ODD_FIELDS {
            self.upstream_oddities.with_label_values(&[field]);
        }
        for arrival in ["at_once", "gradual"] {
            self.proxied_bodies.with_label_values(&[arrival]);
        }
        for direction in ["upload", "download"] {
            self.transfers_in_flight.with_label_values(&[direction]);
        }
    }

    /// Has this done whenever somebody scrapes, before anything is shown. It must not wait, nor
    /// hold these metrics itself.
    pub fn at_scrape(&self, reading: impl Fn(&Self) + Send + 'static) {
        self.readings.lock().push(Box::new(reading));
    }

    /// Everything in Prometheus' text format 0.0.4.
    pub fn render(&self) -> Vec<u8> {
        let readings = self.readings.lock();
        readings.iter().for_each(|read| read(self));
        // One scrape at a time: a counter only takes what is added to it.
        self.log_lines_dropped
            .inc_by(log_output::dropped_lines().saturating_sub(self.log_lines_dropped.get()));
        drop(readings);
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory doesn't fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_by_itself_is_read_when_scraped() {
        let metrics = ServiceMetrics::new();
        let clock = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(1));
        let read = clock.clone();
        metrics.at_scrape(move |metrics| {
            metrics
                .spool_bytes
                .set(read.load(std::sync::atomic::Ordering::Relaxed))
        });
        for value in [1, 5] {
            clock.store(value, std::sync::atomic::Ordering::Relaxed);
            let shown = String::from_utf8(metrics.render()).unwrap();
            assert!(
                shown.contains(&format!("\nasset_gateway_spool_bytes {value}\n")),
                "{shown}"
            );
        }
    }

    /// A quantile is only as exact as the bounds around it, and those of one metric stay the same
    /// for dashboards.
    #[test]
    fn histograms_reach_from_a_lookup_to_the_longest_transfer() {
        let metrics = ServiceMetrics::new();
        metrics
            .transfer_duration
            .with_label_values(&["upload"])
            .observe(400.0);
        metrics
            .http_request_duration
            .with_label_values(&["/v1/assets", "POST", "201"])
            .observe(0.004);
        let shown = String::from_utf8(metrics.render()).unwrap();
        for expected in [
            "transfer_duration_seconds_bucket{direction=\"upload\",le=\"180\"} 0",
            "transfer_duration_seconds_bucket{direction=\"upload\",le=\"600\"} 1",
            "method=\"POST\",route=\"/v1/assets\",status=\"201\",le=\"0.005\"} 1",
        ] {
            assert!(shown.contains(expected), "{expected} in {shown}");
        }
    }

    #[test]
    fn two_services_fit_in_one_process() {
        let (one, two) = (ServiceMetrics::new(), ServiceMetrics::new());
        one.url_early_death.inc();
        assert_eq!(two.url_early_death.get(), 0);
        assert!(
            String::from_utf8(one.render())
                .unwrap()
                .contains("asset_gateway_url_early_death_total 1")
        );
    }
}
