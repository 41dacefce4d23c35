//! The SSRF guard: a presigned URL may only name a host that is allowed.
//!
//! Hosts are compared as parsed. A name that only a wildcard allows must also resolve to a public
//! address, which is checked when the connection is made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{io, vec};

use http::uri::PathAndQuery;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;
use url::Url;

use super::config::StorageConfig;
use super::host_pattern::HostPattern;
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::secret::SignedUrl;

/// A host that is named is held to how it is named: a wildcard beside it widens nothing, as only
/// the name is looked at when it is dialled.
fn is_admitted(hosts: &[HostPattern], url: &Url) -> bool {
    let is_named = hosts.iter().any(|pattern| pattern.has_host_of(url));
    hosts.iter().any(|pattern| {
        pattern.admits(url) && (!is_named || matches!(pattern, HostPattern::Exact { .. }))
    })
}

/// Takes over a URL that eGain gave, if it names a host that is allowed. What follows its host
/// stays byte for byte as it was signed.
pub(super) fn check_url(config: &StorageConfig, signed: &SignedUrl) -> Result<SignedUrl, Error> {
    let mut url = signed.parsed();
    if url.scheme() == "http" && !config.allow_http && url.set_scheme("https").is_err() {
        return Err(disallowed_host("has no usable scheme"));
    }
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || has_credentials {
        return Err(disallowed_host("isn't a plain https URL"));
    }
    if !is_admitted(&config.content_hosts, &url) {
        return Err(disallowed_host(
            "names a host that egain.content_hosts doesn't have",
        ));
    }
    let Some(target) = target(signed.expose()) else {
        return Err(unusable_url());
    };
    let checked = format!("{}{target}", url.origin().ascii_serialization());
    SignedUrl::parse(&checked).ok_or_else(unusable_url)
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
    let parsed = PathAndQuery::try_from(target.as_str()).ok()?;
    if parsed.as_str() == target {
        Some(parsed)
    } else {
        None
    }
}

fn disallowed_host(what: &str) -> Error {
    let detail = format!(
        "the contentUrl that eGain gave {what}: an operator must check egain.content_hosts"
    );
    Error::gateway(ErrorCode::UpstreamError, Stage::Sign, detail)
}

pub(super) fn unusable_url() -> Error {
    let detail = "the contentUrl that eGain gave has characters that no request can carry as they \
                  were signed: report the request id to eGain's support";
    Error::egain(ErrorCode::UpstreamError, Stage::Sign, detail)
}

/// Resolves names for the storage client: those that only a wildcard admits must be at public
/// addresses. Address literals never come here, but only an exact entry admits them.
#[derive(Clone)]
pub(super) struct SsrfGuard(Arc<StorageConfig>);

impl SsrfGuard {
    pub(super) fn new(config: Arc<StorageConfig>) -> Self {
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
            let resolved = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<SocketAddr> = resolved
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

    #[test]
    fn a_named_port_excludes_the_hosts_other_ports() {
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
    fn what_was_signed_stays_unchanged_or_is_refused() {
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
        for unusable in [
            "https://s.test/a b?c",
            "https://s.test/a\tb",
            "https://s.test\\@evil.test/x",
            "https:s.test/x",
        ] {
            assert_eq!(target(unusable), None, "{unusable}");
        }
    }

    #[test]
    fn private_addresses_are_not_public_in_any_spelling() {
        let special = "10.1.2.3 127.0.0.1 169.254.169.254 192.168.1.1 172.16.0.1 100.64.0.1 \
                       0.0.0.0 255.255.255.255 \
                       ::1 ::ffff:127.0.0.1 fd00::1 fe80::1 64:ff9b::7f00:1 2002:7f00:1::";
        for address in special.split_whitespace() {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "2606:4700::1111"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
