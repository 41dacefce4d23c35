//! Suspects that a proxy buffers request bodies.
//!
//! One body can't show it: a client beside the proxy may send a large one as fast as a proxy sends
//! what it has collected, and where storage is slower than the client, the rest waits in the
//! kernel's buffers. But a body that was waited for has passed a proxy that streams. So both are
//! counted, and where hardly any was waited for, the log says so once. `POST /v1/probe` tells for
//! certain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Version;
use http::request::Parts;

use super::client_ip;
use crate::body::arrival::{ArrivalWatch, BodyArrival};
use crate::telemetry::metrics::ServiceMetrics;

/// Smaller bodies fit the buffers that a proxy and the kernel have anyway.
const LEAST_BYTES: u64 = 1024 * 1024;

/// Bytes a second. A client that is behind a link of 1 Gbit/s (119 MiB/s with its framing) hardly
/// comes up to it, and has to be waited for.
const AT_ONCE_RATE: f64 = 100.0 * 1024.0 * 1024.0;

/// Bodies that came at once before the log says so, and how many times those that were waited for
/// they have to be: a busy machine makes some wait that needn't.
const LEAST_BODIES: u64 = 20;
const LEAST_RATIO: u64 = 19;

/// Counts how large bodies come that passed a proxy.
pub(super) struct BufferingDetector {
    metrics: Arc<ServiceMetrics>,
    has_logged: AtomicBool,
}

impl BufferingDetector {
    pub(super) fn new(metrics: &Arc<ServiceMetrics>) -> Arc<Self> {
        Arc::new(Self {
            metrics: metrics.clone(),
            has_logged: AtomicBool::new(false),
        })
    }

    /// A watch over the body of an upload that came through a proxy: its headers say so, or its
    /// version, which hardly any client has.
    pub(super) fn watch(self: &Arc<Self>, head: &Parts) -> Option<ArrivalWatch> {
        let is_proxied = client_ip::is_proxied(&head.headers) || head.version == Version::HTTP_10;
        let detector = self.clone();
        is_proxied.then(|| ArrivalWatch::new(move |arrival| detector.note(arrival)))
    }

    fn note(&self, arrival: BodyArrival) {
        if arrival.bytes < LEAST_BYTES {
            return;
        }
        let bodies = &self.metrics.proxied_bodies;
        let [at_once, gradual] =
            ["at_once", "gradual"].map(|arrival| bodies.with_label_values(&[arrival]));
        if !is_at_once(arrival) {
            gradual.inc();
            return;
        }
        at_once.inc();
        let (at_once, gradual) = (at_once.get(), gradual.get());
        let is_suspect = at_once >= LEAST_BODIES && at_once >= LEAST_RATIO * gradual;
        if is_suspect && !self.has_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                at_once,
                gradual,
                "a proxy may buffer request bodies: check with asset-gateway probe-ingress"
            );
        }
    }
}

fn is_at_once(arrival: BodyArrival) -> bool {
    arrival.waited < Duration::from_secs_f64(arrival.bytes as f64 / AT_ONCE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(metrics: &ServiceMetrics) -> [u64; 2] {
        ["at_once", "gradual"]
            .map(|arrival| metrics.proxied_bodies.with_label_values(&[arrival]).get())
    }

    fn body(mib: u64, waited: u64) -> BodyArrival {
        BodyArrival {
            bytes: mib * LEAST_BYTES,
            waited: Duration::from_millis(waited),
        }
    }

    #[test]
    fn bodies_faster_than_a_link_came_at_once() {
        let metrics = Arc::new(ServiceMetrics::new());
        let detector = BufferingDetector::new(&metrics);
        for arrival in [
            body(1, 9),
            body(8, 79),
            body(1, 11),
            body(8, 81),
            body(0, 0),
        ] {
            detector.note(arrival);
        }
        assert_eq!(counts(&metrics), [2, 2], "a small one shows nothing");
    }

    #[test]
    fn it_is_logged_after_twenty_with_hardly_any_gradual() {
        let metrics = Arc::new(ServiceMetrics::new());
        let logs_after = |gradual: u64, at_once: u64| {
            let detector = BufferingDetector::new(&metrics);
            metrics.proxied_bodies.reset();
            (0..gradual).for_each(|_| detector.note(body(1, 500)));
            (0..at_once).for_each(|_| detector.note(body(1, 0)));
            detector.has_logged.load(Ordering::Relaxed)
        };
        assert!(!logs_after(0, 19) && logs_after(0, 20) && logs_after(1, 20));
        assert!(!logs_after(2, 37) && logs_after(2, 38));
    }

    #[test]
    fn only_what_passed_a_proxy_is_watched() {
        let detector = BufferingDetector::new(&Arc::new(ServiceMetrics::new()));
        let watched = |version, header| {
            let request = http::Request::post("/v1/assets")
                .version(version)
                .header(header, "1");
            let (head, ()) = request.body(()).unwrap().into_parts();
            detector.watch(&head).is_some()
        };
        assert!(watched(Version::HTTP_11, "via") && watched(Version::HTTP_10, "accept"));
        assert!(watched(Version::HTTP_2, "x-forwarded-for"));
        assert!(!watched(Version::HTTP_11, "accept"));
    }
}
