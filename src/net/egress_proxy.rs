//! The egress proxy: https connections to eGain, storage and a token issuer go through it by
//! CONNECT (RFC 9110 section 9.3.6), except to hosts that are exempt.
//!
//! The proxy resolves the names of those hosts. So the SSRF guard can only look at the name, not at
//! the address: what else a name may lead to is the proxy's to refuse.

use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use secrecy::{ExposeSecret, SecretString};

/// Which connections go through a proxy. Its `Debug` shows no password.
#[derive(Debug, Clone, Default)]
pub struct EgressProxy(Option<Arc<Proxy>>);

#[derive(Debug)]
struct Proxy {
    address: SecretString,
    exempt: String,
    matcher: Matcher,
}

impl EgressProxy {
    /// A proxy at `http://[user:password@]host:port`, or none. `exempt` lists domains, addresses
    /// and networks that are reached directly, as curl reads `NO_PROXY`.
    pub fn new(address: Option<&SecretString>, exempt: Option<&str>) -> Self {
        let Some(address) = address else {
            return Self::default();
        };
        let exempt = exempt.unwrap_or_default().to_owned();
        let matcher = Matcher::builder()
            .https(address.expose_secret())
            .no(exempt.as_str())
            .build();
        Self(Some(Arc::new(Proxy {
            address: address.clone(),
            exempt,
            matcher,
        })))
    }

    /// How to reach the proxy, if a connection to `destination` goes through it.
    pub(super) fn intercept(&self, destination: &Uri) -> Option<Intercept> {
        self.0.as_ref()?.matcher.intercept(destination)
    }

    /// The same rules for reqwest, which would otherwise read the environment by itself.
    ///
    /// # Errors
    /// The address isn't a URL.
    pub fn apply_to(
        &self,
        client: reqwest::ClientBuilder,
    ) -> Result<reqwest::ClientBuilder, reqwest::Error> {
        let client = client.no_proxy();
        let Some(proxy) = &self.0 else {
            return Ok(client);
        };
        let exempt = reqwest::NoProxy::from_string(&proxy.exempt);
        let proxy = reqwest::Proxy::https(proxy.address.expose_secret())?.no_proxy(exempt);
        Ok(client.proxy(proxy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intercepted(exempt: &str, destination: &'static str) -> bool {
        let address = SecretString::from("http://user:secret@proxy.test:3128");
        let proxy = EgressProxy::new(Some(&address), Some(exempt));
        proxy.intercept(&Uri::from_static(destination)).is_some()
    }

    #[test]
    fn only_https_goes_through_the_proxy() {
        assert!(intercepted("", "https://api.egain.cloud/assets"));
        assert!(!intercepted("", "http://api.egain.cloud/assets"));
        let none = EgressProxy::default();
        let destination = Uri::from_static("https://api.egain.cloud/assets");
        assert!(none.intercept(&destination).is_none());
    }

    #[test]
    fn exempt_hosts_are_reached_directly() {
        for exempt in [
            "egain.cloud",
            ".egain.cloud",
            "x.test, api.egain.cloud",
            "*",
        ] {
            assert!(!intercepted(exempt, "https://api.egain.cloud/"), "{exempt}");
        }
        for exempt in ["other.cloud", "gain.cloud", "10.0.0.0/8"] {
            assert!(intercepted(exempt, "https://api.egain.cloud/"), "{exempt}");
        }
        assert!(!intercepted("10.0.0.0/8", "https://10.1.2.3/"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let address = SecretString::from("http://user:secret@proxy.test:3128");
        let proxy = EgressProxy::new(Some(&address), None);
        let shown = format!("{proxy:?}");
        assert!(
            !shown.contains("secret@") && !shown.contains("dXNlcj"),
            "{shown}"
        );
        assert!(proxy.apply_to(reqwest::Client::builder()).is_ok());
    }
}
