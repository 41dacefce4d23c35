//! `[otel]`: where traces go.

use url::Url;

use crate::config::schema::rules::{if_set, within};
use crate::config::schema::section;
use crate::telemetry::traces::TracesConfig;

section! {
    /// Where traces go.
    OtelSection as "otel" {
        /// A collector of traces that takes OTLP as http/protobuf, such as `http://collector:4318`;
        /// `/v1/traces` is added to it.
        endpoint: Option<Url> => "OTEL_EXPORTER_OTLP_ENDPOINT, or none";
        /// The same with its path, as it is.
        traces_endpoint: Option<Url> => "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or none";
        /// Switches traces off, whatever the environment says of a collector.
        disabled: bool = "false";
        /// The name that spans have as their service; else `OTEL_SERVICE_NAME`.
        service_name: String = "asset-gateway";
        /// How many of the requests that come without a trace begin one, 0 to 1; a request that
        /// comes with a trace follows it.
        sample_ratio: Option<f64> => "OTEL_TRACES_SAMPLER, or all" where if_set(within(0.0, 1.0));
    }
}

impl OtelSection {
    /// What traces are recorded with, if they go anywhere.
    pub fn traces(&self) -> Option<TracesConfig> {
        if self.disabled {
            return None;
        }
        let endpoint = match (&self.traces_endpoint, &self.endpoint) {
            (Some(whole), _) => whole.clone(),
            (None, Some(base)) => with_path(base),
            (None, None) => return None,
        };
        Some(TracesConfig {
            endpoint,
            service_name: self.service_name.clone(),
            sample_ratio: self.sample_ratio,
        })
    }
}

/// As OpenTelemetry has it for an endpoint of all signals.
fn with_path(base: &Url) -> Url {
    let mut endpoint = base.clone();
    let path = base.path().trim_end_matches('/');
    endpoint.set_path(&format!("{path}/v1/traces"));
    endpoint
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;

    fn endpoint(variables: &[(&str, &str)]) -> Option<String> {
        let settings = Settings::from_sources(None, variables.iter().copied()).unwrap();
        Some(settings.otel.traces()?.endpoint.to_string())
    }

    #[test]
    fn an_endpoint_is_read_as_opentelemetry_reads_it() {
        assert_eq!(endpoint(&[]), None);
        let base = |url| endpoint(&[("OTEL_EXPORTER_OTLP_ENDPOINT", url)]).unwrap();
        assert_eq!(base("http://c:4318"), "http://c:4318/v1/traces");
        assert_eq!(base("https://c/otlp/"), "https://c/otlp/v1/traces");
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:1/spans");
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:1");
        assert_eq!(endpoint(&[all, whole]).unwrap(), "http://c:1/spans");
        let own = ("ASSET_GATEWAY_OTEL__ENDPOINT", "http://own:1");
        assert_eq!(endpoint(&[all, own]).unwrap(), "http://own:1/v1/traces");
        assert_eq!(endpoint(&[all, ("OTEL_SDK_DISABLED", "true")]), None);
    }

    #[test]
    fn a_collectors_password_is_refused() {
        let url = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@c:4318");
        let errors = Settings::from_sources(None, [url]).unwrap_err().to_string();
        assert!(errors.contains("without user, password"), "{errors}");
        assert!(!errors.contains("secret"), "{errors}");
    }
}
