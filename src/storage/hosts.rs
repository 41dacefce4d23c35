//! Which hosts a signed URL may name. Hosts are compared as parsed, and addresses checked when dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fmt, io, vec};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;
use url::{Host, Url};

use super::{Config, Storage};
use crate::words::fault::{Code, Fault, Stage};
use crate::words::secret::SignedUrl;

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
        let wrong = || format!("{text:?} is not a host: write storage.example.com, storage.example.com:8443 or *.example.com");
        if let Some(suffix) = text.strip_prefix("*.") {
            let Ok(Host::Domain(suffix)) = Host::parse(suffix) else { return Err(wrong()) };
            // `*.com` would trust the whole world that it means to keep out.
            if !suffix.contains('.') || suffix.contains('*') {
                return Err(wrong());
            }
            return Ok(Self::Below(format!(".{suffix}")));
        }
        // Only the parser of URLs knows where the port begins in `[::1]:80`; it hides the scheme's own port.
        let bracketed = text.parse::<Ipv6Addr>().map(|v6| format!("[{v6}]"));
        let text = bracketed.as_deref().unwrap_or(text);
        if text.ends_with(':') {
            return Err(wrong());
        }
        let url = Url::parse(&format!("http://{text}")).map_err(|_| wrong())?;
        let host = url.host().filter(|_| url.path() == "/" && url.username().is_empty()).ok_or_else(wrong)?.to_owned();
        let port = url.port().or_else(|| text.ends_with(":80").then_some(80));
        if text.contains(['*', '/', '?', '#']) {
            return Err(wrong());
        }
        Ok(Self::Exact { host, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { host, port: None } => write!(f, "{host}"),
            Self::Exact { host, port: Some(port) } => write!(f, "{host}:{port}"),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl HostPattern {
    fn admits(&self, url: &Url) -> bool {
        match (self, url.host()) {
            (Self::Exact { host, port }, Some(named)) => {
                named.to_owned() == *host && port.is_none_or(|port| url.port_or_known_default() == Some(port))
            }
            (Self::Below(suffix), Some(Host::Domain(name))) => name.ends_with(suffix.as_str()),
            _ => false,
        }
    }

    fn names(&self, name: &str) -> bool {
        matches!(self, Self::Exact { host: Host::Domain(exact), .. } if exact.eq_ignore_ascii_case(name))
    }
}

impl Storage {
    /// Takes over a URL that eGain gave us, if it names a host that is allowed.
    pub fn admit(&self, mut url: Url) -> Result<SignedUrl, Fault> {
        if url.scheme() == "http" && !self.config.allow_http && url.set_scheme("https").is_err() {
            return Err(foreign("has no usable scheme"));
        }
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(foreign("isn't a plain https URL"));
        }
        if !self.config.content_hosts.iter().any(|pattern| pattern.admits(&url)) {
            return Err(foreign("names a host that egain.content_hosts doesn't have"));
        }
        Ok(SignedUrl::new(url))
    }
}

pub(super) fn foreign(what: &str) -> Fault {
    let detail = format!("the contentUrl that eGain gave {what}: an operator must check egain.content_hosts");
    Fault::gateway(Code::UpstreamError, Stage::Sign, detail)
}

/// Resolves names for the storage client: those that only a wildcard admits must be at public addresses.
/// Address literals never come here, but only an exact entry admits them.
#[derive(Clone)]
pub struct Guarded(Arc<Config>);

impl Guarded {
    pub fn new(config: Arc<Config>) -> Self {
        Self(config)
    }
}

impl Service<Name> for Guarded {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let anywhere = self.0.content_hosts.iter().any(|pattern| pattern.names(name.as_str()));
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<SocketAddr> = found.filter(|address| anywhere || is_public(address.ip())).collect();
            if admitted.is_empty() {
                return Err(io::Error::other("the storage host has no public address"));
            }
            Ok(admitted.into_iter())
        })
    }
}

/// Whether an address can be somebody else's machine on the internet (IANA special-purpose registries, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmark = a == 198 && (18..20).contains(&b);
    let protocol = (a, b, c) == (192, 0, 0);
    let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation() || v4.is_multicast();
    !(special || shared || benchmark || protocol || a == 0 || a >= 240)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    // Global unicast only (RFC 4291), less Teredo, documentation and 6to4, which can wrap a private address.
    a & 0xe000 == 0x2000 && !(a == 0x2001 && (b == 0 || b == 0xdb8)) && a != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(pattern: &str, url: &str) -> bool {
        pattern.parse::<HostPattern>().unwrap().admits(&url.parse().unwrap())
    }

    #[test]
    fn a_wildcard_admits_names_below_it_and_nothing_that_looks_like_it() {
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
    fn nonsense_is_no_host() {
        for bad in ["", "*", "*.", "*.com", "*.a.b:80", "http://a", "a/b", "a:", "a:65536", "a b", "*.*.a", "u@h"] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn private_addresses_are_not_public_in_any_spelling() {
        let special = "10.1.2.3 127.0.0.1 169.254.169.254 192.168.1.1 172.16.0.1 100.64.0.1 0.0.0.0 255.255.255.255 \
                       ::1 ::ffff:127.0.0.1 fd00::1 fe80::1 64:ff9b::7f00:1 2002:7f00:1::";
        for address in special.split_whitespace() {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "2606:4700::1111"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
