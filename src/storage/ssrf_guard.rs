//! Which hosts a signed URL may name. Hosts are compared as parsed, and addresses checked when
//! dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fmt, io, vec};

use http::uri::PathAndQuery;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;
use url::{Host, Url};

use super::{StorageClient, StorageConfig};
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::secret::SignedUrl;

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
        let wrong = || {
            format!(
                "{text:?} is not a host: write storage.example.com, storage.example.com:8443 or *.example.com"
            )
        };
        if let Some(suffix) = text.strip_prefix("*.") {
            let Ok(Host::Domain(suffix)) = Host::parse(suffix) else {
                return Err(wrong());
            };
            if suffix.contains('*') {
                return Err(wrong());
            }
            // `*.com`, `*.co.uk` or `*.blob.core.windows.net` would trust the whole world that it
            // means to keep out.
            if psl::suffix_str(&suffix).is_none_or(|public| public.len() >= suffix.len()) {
                return Err(format!(
                    "{text:?} is everybody's: anyone can have a name below {suffix}; name a host of your own"
                ));
            }
            return Ok(Self::Below(format!(".{suffix}")));
        }
        // Only the parser of URLs knows where the port begins in `[::1]:80`; it hides the scheme's
        // own port.
        let bracketed = text.parse::<Ipv6Addr>().map(|v6| format!("[{v6}]"));
        let text = bracketed.as_deref().unwrap_or(text);
        if text.ends_with(':') {
            return Err(wrong());
        }
        let url = Url::parse(&format!("http://{text}")).map_err(|_| wrong())?;
        let host = url
            .host()
            .filter(|_| url.path() == "/" && url.username().is_empty())
            .ok_or_else(wrong)?
            .to_owned();
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
            Self::Exact {
                host,
                port: Some(port),
            } => write!(f, "{host}:{port}"),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl HostPattern {
    fn admits(&self, url: &Url) -> bool {
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
    fn names(&self, name: &str) -> bool {
        matches!(self, Self::Exact { host: Host::Domain(exact), .. } if exact.eq_ignore_ascii_case(name))
    }

    /// Whether it has this URL's host, though perhaps at another port.
    fn has_host_of(&self, url: &Url) -> bool {
        matches!((self, url.host()), (Self::Exact { host, .. }, Some(named)) if named.to_owned() == *host)
    }
}

/// A host that is named is held to how it is named: a wildcard beside it widens nothing, as only
/// the name is looked at when it is dialled.
fn is_admitted(hosts: &[HostPattern], url: &Url) -> bool {
    let is_named = hosts.iter().any(|pattern| pattern.has_host_of(url));
    hosts.iter().any(|pattern| {
        pattern.admits(url) && (!is_named || matches!(pattern, HostPattern::Exact { .. }))
    })
}

impl StorageClient {
    /// Takes over a URL that eGain gave us, if it names a host that is allowed. What follows its
    /// host stays byte for byte as it was signed.
    pub fn admit(&self, given: &SignedUrl) -> Result<SignedUrl, Error> {
        let mut url = given.parsed();
        if url.scheme() == "http" && !self.config.allow_http && url.set_scheme("https").is_err() {
            return Err(foreign("has no usable scheme"));
        }
        if !matches!(url.scheme(), "http" | "https")
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(foreign("isn't a plain https URL"));
        }
        if !is_admitted(&self.config.content_hosts, &url) {
            return Err(foreign(
                "names a host that egain.content_hosts doesn't have",
            ));
        }
        let target = target(given.expose()).ok_or_else(unaskable)?;
        SignedUrl::parse(&format!("{}{target}", url.origin().ascii_serialization()))
            .ok_or_else(unaskable)
    }
}

/// Path and query, if a request can carry them as they are.
fn target(url: &str) -> Option<PathAndQuery> {
    let (_, after_scheme) = url.split_once("://")?;
    let (authority, _) = after_scheme.split_at(
        after_scheme
            .find(['/', '?', '#'])
            .unwrap_or(after_scheme.len()),
    );
    // Clients take this for a slash, so that the host ends there.
    if authority.contains('\\') {
        return None;
    }
    let target = after_scheme[authority.len()..]
        .split('#')
        .next()
        .unwrap_or_default();
    let target = if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("/{target}")
    };
    PathAndQuery::try_from(target.as_str())
        .ok()
        .filter(|parsed| parsed.as_str() == target)
}

pub(super) fn foreign(what: &str) -> Error {
    let detail = format!(
        "the contentUrl that eGain gave {what}: an operator must check egain.content_hosts"
    );
    Error::gateway(ErrorCode::UpstreamError, Stage::Sign, detail)
}

pub(super) fn unaskable() -> Error {
    let detail = "the contentUrl that eGain gave has characters that no request can carry as they were signed: ask eGain's \
                  support, giving the request id";
    Error::egain(ErrorCode::UpstreamError, Stage::Sign, detail)
}

/// Resolves names for the storage client: those that only a wildcard admits must be at public
/// addresses. Address literals never come here, but only an exact entry admits them.
#[derive(Clone)]
pub struct SsrfGuard(Arc<StorageConfig>);

impl SsrfGuard {
    pub fn new(config: Arc<StorageConfig>) -> Self {
        Self(config)
    }
}

impl Service<Name> for SsrfGuard {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let anywhere = self
            .0
            .content_hosts
            .iter()
            .any(|pattern| pattern.names(name.as_str()));
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<SocketAddr> = found
                .filter(|address| anywhere || is_public(address.ip()))
                .collect();
            if admitted.is_empty() {
                return Err(io::Error::other("the storage host has no public address"));
            }
            Ok(admitted.into_iter())
        })
    }
}

/// Whether an address can be somebody else's machine on the internet (IANA special-purpose
/// registries, RFC 6890).
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
    let special = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || v4.is_multicast();
    !(special || shared || benchmark || protocol || a == 0 || a >= 240)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    // Global unicast only (RFC 4291), less Teredo, documentation and 6to4, which can wrap a private
    // address.
    a & 0xe000 == 0x2000 && !(a == 0x2001 && (b == 0 || b == 0xdb8)) && a != 0x2002
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
    fn a_wildcard_below_which_anybody_can_have_a_name_is_refused() {
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
    fn a_host_that_is_named_at_one_port_isnt_admitted_at_another() {
        let hosts =
            ["*.egain.cloud", "in.egain.cloud:8443"].map(|pattern| pattern.parse().unwrap());
        for (url, admitted) in [
            ("https://in.egain.cloud:8443/x", true),
            ("https://in.egain.cloud/x", false),
            ("https://IN.egain.cloud:443/x", false),
            ("https://other.egain.cloud/x", true),
        ] {
            assert_eq!(
                is_admitted(&hosts, &url.parse().unwrap()),
                admitted,
                "{url}"
            );
        }
    }

    #[test]
    fn what_was_signed_stays_byte_for_byte_or_is_refused() {
        for signed in [
            "/up/a%2Fb%27c%7E?sig=ab%2Bcd%3D",
            "/up/fred's.jpg?sig=a",
            "/up/x?sig=a'b",
            "/up/{x}?sig=a|b",
            "/up/a/./b/../c?sig=a",
            "/up//a?sig=%e2%82%ac&x=%E2",
            "/?a=b?c/d",
        ] {
            for host in [
                "https://s.test",
                "https://S.test:8443",
                "http://127.0.0.1:1",
            ] {
                assert_eq!(target(&format!("{host}{signed}")).unwrap(), signed);
            }
        }
        assert_eq!(target("https://s.test?sig=a#b").unwrap(), "/?sig=a");
        assert_eq!(target("https://s.test").unwrap(), "/");
        for unaskable in [
            "https://s.test/a b?c",
            "https://s.test/a\tb",
            "https://s.test\\@evil.test/x",
            "https:s.test/x",
        ] {
            assert_eq!(target(unaskable), None, "{unaskable}");
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
