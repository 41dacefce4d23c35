//! Patterns of hosts that a presigned URL may name (`egain.content_hosts`).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use url::{Host, Url};

/// A host that a signed URL may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This host, at any address; with a port only at that port.
    Exact {
        /// A name or an address.
        host: Host,
        /// None for any port.
        port: Option<u16>,
    },
    /// `*.suffix`: every name below it, at public addresses only.
    Below(String),
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(suffix) = text.strip_prefix("*.") else {
            return exact(text).ok_or_else(|| no_host(text));
        };
        let Ok(Host::Domain(suffix)) = Host::parse(suffix) else {
            return Err(no_host(text));
        };
        if suffix.contains('*') {
            return Err(no_host(text));
        }
        // `*.com`, `*.co.uk` or `*.blob.core.windows.net` would trust the whole world that it means
        // to keep out.
        if psl::suffix_str(&suffix).is_none_or(|public| public.len() >= suffix.len()) {
            return Err(format!(
                "{text:?} is everybody's: \
                 anyone can have a name below {suffix}; name a host of your own"
            ));
        }
        Ok(Self::Below(format!(".{suffix}")))
    }
}

fn no_host(text: &str) -> String {
    format!(
        "{text:?} is not a host: \
         write storage.example.com, storage.example.com:8443 or *.example.com"
    )
}

fn exact(text: &str) -> Option<HostPattern> {
    // Only the parser of URLs knows where the port begins in `[::1]:80`; it hides the scheme's own
    // port.
    let text: &str = match text.parse::<Ipv6Addr>() {
        Ok(v6) => &format!("[{v6}]"),
        Err(_) => text,
    };
    if text.ends_with(':') || text.contains(['*', '/', '?', '#']) {
        return None;
    }
    let url = Url::parse(&format!("http://{text}")).ok()?;
    let host = url.host()?.to_owned();
    if url.path() != "/" || !url.username().is_empty() {
        return None;
    }
    let port = match url.port() {
        None if text.ends_with(":80") => Some(80),
        port => port,
    };
    Some(HostPattern::Exact { host, port })
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { host, port: None } => write!(f, "{host}"),
            Self::Exact {
                host,
                port: Some(port),
            } => write!(f, "{host}:{port}"),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl HostPattern {
    pub(super) fn admits(&self, url: &Url) -> bool {
        match (self, url.host()) {
            (Self::Exact { host, port }, Some(named)) => {
                named.to_owned() == *host
                    && port.is_none_or(|port| url.port_or_known_default() == Some(port))
            }
            (Self::Below(suffix), Some(Host::Domain(name))) => name.ends_with(suffix.as_str()),
            _ => false,
        }
    }

    /// Whether it is a name that may lead anywhere.
    pub(super) fn names(&self, name: &str) -> bool {
        match self {
            Self::Exact {
                host: Host::Domain(exact),
                ..
            } => exact.eq_ignore_ascii_case(name),
            _ => false,
        }
    }

    /// Whether it has this URL's host, though perhaps at another port.
    pub(super) fn has_host_of(&self, url: &Url) -> bool {
        match (self, url.host()) {
            (Self::Exact { host, .. }, Some(named)) => named.to_owned() == *host,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(pattern: &str, url: &str) -> bool {
        pattern
            .parse::<HostPattern>()
            .unwrap()
            .admits(&url.parse().unwrap())
    }

    #[test]
    fn a_wildcard_admits_only_names_below_it() {
        assert!(admits("*.egain.cloud", "https://storage-ext.egain.cloud/x"));
        assert!(admits("*.egain.cloud", "https://A.B.EGAIN.cloud/x"));
        for url in [
            "https://egain.cloud/x",
            "https://evilegain.cloud/",
            "https://egain.cloud.evil.example/",
            "https://evil.example/?x=.egain.cloud",
            "https://evil.example#.egain.cloud",
            "https://127.0.0.1/",
        ] {
            assert!(!admits("*.egain.cloud", url), "{url}");
        }
    }

    #[test]
    fn an_exact_entry_admits_one_host_in_any_spelling() {
        assert!(admits("127.0.0.1", "http://2130706433:9000/"));
        assert!(admits("127.0.0.1:9000", "http://127.0.0.1:9000/"));
        assert!(!admits("127.0.0.1:9000", "http://127.0.0.1:9001/"));
        assert!(admits("[::1]:80", "http://[::1]/"));
        assert!(!admits("localhost", "http://localhost.evil.example/"));
    }

    #[test]
    fn a_wildcard_below_a_public_suffix_is_refused() {
        for everybodys in [
            "*.com",
            "*.co.uk",
            "*.com.au",
            "*.github.io",
            "*.blob.core.windows.net",
            "*.s3.amazonaws.com",
        ] {
            assert!(everybodys.parse::<HostPattern>().is_err(), "{everybodys}");
        }
        for own in [
            "*.egain.cloud",
            "*.example.co.uk",
            "*.tenant.blob.core.windows.net",
            "*.storage.internal",
        ] {
            assert!(own.parse::<HostPattern>().is_ok(), "{own}");
        }
    }

    #[test]
    fn nonsense_is_no_host() {
        for bad in [
            "", "*", "*.", "*.com", "*.a.b:80", "http://a", "a/b", "a:", "a:65536", "a b", "*.*.a",
            "u@h",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }
}
