//! Who the client is, behind proxies: `Forwarded` (RFC 7239) and `X-Forwarded-For`, as
//! far as they can be believed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;
use parse_net::{ClientAddress, ForwardedSource, client_address};

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";

/// What proxies add to a request.
const MARKS: [&str; 4] = ["via", "forwarded", X_FORWARDED_FOR, "x-real-ip"];

/// The longest chain of proxies that is read.
const MOST_HOPS: u8 = 16;

/// Addresses of proxies: one, or a range in CIDR notation (RFC 4632 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpRange(IpNet);

impl FromStr for IpRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(network) = text.parse() {
            return Ok(Self(network));
        }
        match text.parse::<IpAddr>() {
            Ok(ip) => Ok(Self(ip.to_canonical().into())),
            Err(_) => Err(format!(
                "expected an IP address or a range such as 10.0.0.0/8, found {text:?}"
            )),
        }
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a request came through a proxy, as far as its headers can be believed: they only decide
/// when the response is sent.
pub(super) fn is_proxied(headers: &HeaderMap) -> bool {
    MARKS.iter().any(|mark| headers.contains_key(*mark))
}

/// Whether a header is one in which proxies say for whom they speak, and how they were reached.
pub(super) fn is_forwarding(name: &str) -> bool {
    MARKS[1..].contains(&name) || name.starts_with("x-forwarded-")
}

/// Proxies whose word counts.
pub(super) struct TrustedProxies(Vec<IpRange>);

impl TrustedProxies {
    /// Those in these networks.
    pub(super) fn new(networks: Vec<IpRange>) -> Self {
        Self(networks)
    }

    /// Who sent what came from `peer`: the last one in the chain of addresses that isn't a trusted
    /// proxy.
    ///
    /// It is `peer` itself, if that isn't trusted or the chain can't be read. A proxy writes one of
    /// the two headers and lets the other one pass, which then says whatever its client likes:
    /// where they disagree, neither is believed.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trust(peer) {
            return peer;
        }
        let forwarded = lines(headers, FORWARDED.as_str());
        let x_forwarded_for = lines(headers, X_FORWARDED_FOR);
        let one = self.rightmost_untrusted(peer, ForwardedSource::Forwarded(&forwarded));
        let other =
            self.rightmost_untrusted(peer, ForwardedSource::XForwardedFor(&x_forwarded_for));
        let client = match (forwarded.is_empty(), x_forwarded_for.is_empty()) {
            (true, _) => other,
            (_, true) => one,
            _ if one == other => one,
            _ => None,
        };
        client.unwrap_or(peer)
    }

    /// How the client reached the last trusted proxy, `http` or `https`; none if `peer` isn't
    /// trusted or doesn't say.
    pub(super) fn scheme(&self, peer: IpAddr, headers: &HeaderMap) -> Option<&'static str> {
        if !self.trust(peer) {
            return None;
        }
        let value = headers.get_all(X_FORWARDED_PROTO).iter().next_back()?;
        let last = value.to_str().ok()?.rsplit(',').next()?.trim();
        ["http", "https"]
            .into_iter()
            .find(|scheme| scheme.eq_ignore_ascii_case(last))
    }

    /// None if the chain can't be read, or the address is withheld (RFC 7239 section 6.2).
    fn rightmost_untrusted(&self, peer: IpAddr, chain: ForwardedSource<'_>) -> Option<IpAddr> {
        match client_address(peer, chain, &|proxy| self.trust(proxy), MOST_HOPS).ok()? {
            ClientAddress::Forwarded { addr, .. } => Some(addr.to_canonical()),
            _ => None,
        }
    }

    fn trust(&self, proxy: IpAddr) -> bool {
        let proxy = proxy.to_canonical();
        self.0
            .iter()
            .any(|IpRange(network)| network.contains(&proxy))
    }
}

/// All lines of a header, in their order: a proxy may add to the last one, or add one.
fn lines<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h [u8]> {
    headers
        .get_all(name)
        .iter()
        .map(http::HeaderValue::as_bytes)
        .collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// Who it is to a gateway that trusts 10.0.0.0/8 and fd00::1.
    fn client(peer: &str, headers: &[(&str, &str)]) -> String {
        let proxies = TrustedProxies::new(
            ["10.0.0.0/8", "fd00::1"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
        );
        let header = |(name, value): &(&str, &str)| {
            (
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(header) {
            map.append(name, value);
        }
        proxies.client(peer.parse().unwrap(), &map).to_string()
    }

    const PROXY: &str = "10.0.0.1";

    fn forwarded_for(value: &str) -> String {
        client(PROXY, &[("x-forwarded-for", value)])
    }

    fn forwarded(value: &str) -> String {
        client(PROXY, &[("forwarded", value)])
    }

    #[test]
    fn a_stranger_can_claim_nothing() {
        assert_eq!(
            client("192.0.2.1", &[("x-forwarded-for", "203.0.113.7")]),
            "192.0.2.1"
        );
        assert_eq!(
            client("192.0.2.1", &[("forwarded", "for=203.0.113.7")]),
            "192.0.2.1"
        );
        assert_eq!(client(PROXY, &[]), PROXY);
    }

    #[test]
    fn what_a_proxy_was_told_before_doesnt_count() {
        assert_eq!(forwarded_for("203.0.113.7"), "203.0.113.7");
        assert_eq!(
            forwarded_for("1.1.1.1, 203.0.113.7, 10.9.9.9"),
            "203.0.113.7"
        );
        assert_eq!(
            forwarded("for=1.1.1.1;proto=https, For=203.0.113.7;by=10.0.0.1"),
            "203.0.113.7"
        );
        let two_lines = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "203.0.113.7"),
        ];
        assert_eq!(client(PROXY, &two_lines), "203.0.113.7");
        assert_eq!(
            forwarded_for("10.1.1.1, 10.2.2.2"),
            "10.1.1.1",
            "a client may be where proxies are"
        );
    }

    #[test]
    fn addresses_are_read_in_every_notation() {
        for address in ["2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:4711"] {
            assert_eq!(forwarded_for(address), "2001:db8::7");
        }
        assert_eq!(forwarded_for("203.0.113.7:4711"), "203.0.113.7");
        assert_eq!(forwarded_for("::ffff:203.0.113.7, fd00::1"), "203.0.113.7");
        for element in [
            r#"for="[2001:db8::7]:4711""#,
            r#"for="[2001:db8::7]";ext="a,b;for=1.1.1.1""#,
        ] {
            assert_eq!(forwarded(element), "2001:db8::7", "{element}");
        }
        assert_eq!(
            client("::ffff:10.0.0.1", &[("x-forwarded-for", "203.0.113.7")]),
            "203.0.113.7"
        );
    }

    #[test]
    fn an_unreadable_or_withheld_address_is_the_proxys() {
        let long = vec!["10.0.0.1"; 17].join(", ");
        for value in [
            "somebody",
            "203.0.113.7 203.0.113.8",
            "300.1.1.1",
            "203.0.113.7:99999",
            "unknown",
            &long,
        ] {
            assert_eq!(forwarded_for(value), PROXY, "{value}");
        }
        for value in [
            "for=unknown",
            "for=_hidden",
            "proto=https",
            "203.0.113.7",
            r#"for="203.0.113.7"#,
            "for=[::1",
            "\u{e4}",
        ] {
            assert_eq!(forwarded(value), PROXY, "{value}");
        }
    }

    #[test]
    fn of_two_headers_that_disagree_neither_is_believed() {
        let both = |one, other| client(PROXY, &[("forwarded", one), ("x-forwarded-for", other)]);
        assert_eq!(both("for=203.0.113.7", "203.0.113.7"), "203.0.113.7");
        assert_eq!(both("for=1.1.1.1", "203.0.113.7"), PROXY);
        assert_eq!(both("for=203.0.113.7", "somebody"), PROXY);
    }

    #[test]
    fn only_a_trusted_proxy_says_how_it_was_reached() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let scheme = |peer: &str, said: &str| {
            let headers = [(
                HeaderName::from_static(X_FORWARDED_PROTO),
                HeaderValue::from_str(said).unwrap(),
            )];
            proxies.scheme(peer.parse().unwrap(), &headers.into_iter().collect())
        };
        assert_eq!(
            (scheme(PROXY, "https"), scheme(PROXY, "https, HTTP")),
            (Some("https"), Some("http"))
        );
        assert_eq!(
            (scheme("192.0.2.1", "https"), scheme(PROXY, "gopher")),
            (None, None)
        );
    }

    #[test]
    fn a_network_is_an_address_or_a_range() {
        let shown = |text: &str| text.parse::<IpRange>().map(|network| network.to_string());
        assert_eq!(shown("10.0.0.0/8").unwrap(), "10.0.0.0/8");
        assert_eq!(shown("fd00::1").unwrap(), "fd00::1/128");
        assert_eq!(shown("::ffff:10.0.0.1").unwrap(), "10.0.0.1/32");
        assert!(
            shown("ingress").unwrap_err().contains("found \"ingress\"")
                && shown("10.0.0.0/33").is_err()
        );
    }
}
