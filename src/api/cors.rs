//! Cross-site requests (CORS, the Fetch standard's section 3.3): which web pages may call.
//!
//! A form is a "simple" request, which a browser sends without a preflight: any page could store
//! files through a visitor's gateway, unseen. So a page of another origin is refused before
//! anything happens, unless `server.cors_origins` lists it.

use std::fmt;
use std::str::FromStr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW,
    HOST, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use url::Url;

use super::problem::ErrorResponse;
use super::response::full;
use crate::body::BoxBody;
use crate::types::error::{Error, ErrorCode, Stage};

/// Headers that a page may send.
const ALLOWED: HeaderValue = HeaderValue::from_static(
    "authorization, cache-control, content-digest, content-disposition, content-type, \
     idempotency-key, if-modified-since, if-none-match, if-range, range, repr-digest, \
     want-repr-digest, x-request-id",
);

/// Headers of a response that a page may read, beside those that it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "location, x-request-id, retry-after, server-timing, content-range, etag, content-disposition",
);

/// Seconds that a browser may remember a preflight; none takes more.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");

/// An entry of `server.cors_origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigin {
    /// `*`: every page.
    Any,
    /// Pages of this origin, written as browsers do.
    Exact(String),
}

impl FromStr for CorsOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match Url::parse(text) {
            Ok(url) if is_bare_origin(&url, text) => {
                Ok(Self::Exact(url.origin().ascii_serialization()))
            }
            _ => Err(format!(
                "expected an origin such as https://app.example.com, without a path, found {text:?}"
            )),
        }
    }
}

/// Whether an http or https URL has nothing but a host and perhaps a port.
fn is_bare_origin(url: &Url, text: &str) -> bool {
    let has_user =
        url[url::Position::BeforeUsername..].len() != url[url::Position::BeforeHost..].len();
    let has_more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
    matches!(url.scheme(), "http" | "https")
        && !text.contains('*')
        && !text.ends_with('/')
        && !has_user
        && !has_more
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "*",
            Self::Exact(origin) => origin,
        })
    }
}

/// The pages that may call.
pub(super) struct CorsPolicy(Vec<CorsOrigin>);

/// Where a request was made, as far as its browser says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestInitiator {
    /// By no page, or one of our own.
    Own,
    /// By a page that is listed; its responses have this `Access-Control-Allow-Origin`.
    Listed(HeaderValue),
    /// By some other page.
    Foreign,
}

impl CorsPolicy {
    /// These, beside our own.
    pub(super) fn new(origins: Vec<CorsOrigin>) -> Self {
        Self(origins)
    }

    /// Where a request was made that came over `scheme`.
    ///
    /// `Sec-Fetch-Site` can't be written by a page, and knows our own pages behind any proxy; older
    /// browsers, and plain http, send `Origin` alone. `null` is what sandboxed frames and files
    /// send: it could be anybody.
    pub(super) fn initiator(&self, head: &Parts, scheme: &str) -> RequestInitiator {
        let site = text(&head.headers, "sec-fetch-site");
        let mut origins = head.headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            _ if site == Some("same-origin") => RequestInitiator::Own,
            (None, _) if site != Some("cross-site") || is_navigation(head) => RequestInitiator::Own,
            (None, _) => {
                if self.takes_all() {
                    RequestInitiator::Own
                } else {
                    RequestInitiator::Foreign
                }
            }
            (Some(origin), None) if is_own(origin, head, scheme) => RequestInitiator::Own,
            (Some(origin), None) => self.listed(origin),
            (Some(_), Some(_)) => RequestInitiator::Foreign,
        }
    }

    fn listed(&self, origin: &HeaderValue) -> RequestInitiator {
        if self.takes_all() {
            return RequestInitiator::Listed(HeaderValue::from_static("*"));
        }
        let is_listed = |entry: &CorsOrigin| match entry {
            CorsOrigin::Exact(listed) => listed.as_bytes() == origin.as_bytes(),
            CorsOrigin::Any => false,
        };
        if self.0.iter().any(is_listed) {
            RequestInitiator::Listed(origin.clone())
        } else {
            RequestInitiator::Foreign
        }
    }

    fn takes_all(&self) -> bool {
        self.0.contains(&CorsOrigin::Any)
    }

    /// Lets a listed page read a response, also a refusal. A cache must not give it to another
    /// page.
    pub(super) fn set_headers(&self, initiator: &RequestInitiator, headers: &mut HeaderMap) {
        if !self.0.is_empty() {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let RequestInitiator::Listed(origin) = initiator {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

impl RequestInitiator {
    /// Refuses what a foreign page sends.
    pub(super) fn admit(&self) -> Result<(), Error> {
        if *self != Self::Foreign {
            return Ok(());
        }
        let detail = "web pages of other origins may not call this gateway: call it from a \
                      server, or have the page's origin listed in server.cors_origins";
        Err(Error::caller(ErrorCode::Forbidden, Stage::Admit, detail))
    }

    /// The response to the preflight of a listed page's browser, which needs no key. `refusal` is
    /// what the same request would get otherwise; where it names the methods of a route, they are
    /// what may be sent.
    pub(super) fn preflight(
        &self,
        head: &Parts,
        refusal: &ErrorResponse,
    ) -> Option<Response<BoxBody>> {
        let is_preflight = head.method == Method::OPTIONS
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let (ALLOW, methods) = refusal.header.clone()? else {
            return None;
        };
        if !is_preflight || !matches!(self, Self::Listed(_)) {
            return None;
        }
        let mut response = Response::new(full(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED);
        headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
        Some(response)
    }
}

/// Whether a person follows a link to here, from any page: nothing is sent but the address, and no
/// page reads the response.
fn is_navigation(head: &Parts) -> bool {
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    reads
        && text(&head.headers, "sec-fetch-mode") == Some("navigate")
        && text(&head.headers, "sec-fetch-dest").is_none_or(|dest| dest == "document")
}

/// Whether the page is of the host that the request goes to. Browsers write both without a scheme's
/// own port.
fn is_own(origin: &HeaderValue, head: &Parts, scheme: &str) -> bool {
    let host = match (head.uri.authority(), head.headers.get(HOST)) {
        (Some(authority), _) => authority.as_str().as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        (None, None) => return false,
    };
    match host_of(origin, scheme) {
        Some(own) => own.eq_ignore_ascii_case(host),
        None => false,
    }
}

/// Host and port of an origin with this scheme.
fn host_of<'o>(origin: &'o HeaderValue, scheme: &str) -> Option<&'o [u8]> {
    let rest = origin.as_bytes().strip_prefix(scheme.as_bytes())?;
    rest.strip_prefix(b"://")
}

fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Option<&'h str> {
    headers.get(HeaderName::from_static(name))?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> CorsPolicy {
        CorsPolicy::new(
            origins
                .iter()
                .map(|origin| origin.parse().unwrap())
                .collect(),
        )
    }

    /// A GET to `https://gw.test`.
    fn initiator(cors: &CorsPolicy, headers: &[(&str, &str)]) -> RequestInitiator {
        let mut request = http::Request::get("/v1/assets/a1").header("host", "gw.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        cors.initiator(&request.body(()).unwrap().into_parts().0, "https")
    }

    #[test]
    fn programs_and_our_own_pages_may_call() {
        let none = cors(&[]);
        for own in [
            &[][..],
            &[("origin", "https://gw.test")],
            &[("origin", "https://GW.test")],
            &[("origin", "null"), ("sec-fetch-site", "same-origin")],
            &[
                ("origin", "https://public.test"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
            &[("sec-fetch-site", "same-site")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ],
        ] {
            assert_eq!(initiator(&none, own), RequestInitiator::Own, "{own:?}");
        }
    }

    #[test]
    fn other_pages_may_not_call() {
        let one = cors(&["https://app.test"]);
        for foreign in [
            &[("origin", "https://evil.test")][..],
            &[("origin", "http://gw.test")],
            &[("origin", "https://gw.test:8443")],
            &[("origin", "https://gw.test.evil.test")],
            &[("origin", "https://app.test.evil.test")],
            &[("origin", "http://app.test")],
            &[("origin", "null")],
            &[("origin", "")],
            &[
                ("origin", "https://app.test"),
                ("origin", "https://app.test"),
            ],
            &[
                ("origin", "https://other.gw.test"),
                ("sec-fetch-site", "same-site"),
            ],
            &[("sec-fetch-site", "cross-site")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "no-cors"),
                ("sec-fetch-dest", "image"),
            ],
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
            ],
        ] {
            assert_eq!(
                initiator(&one, foreign),
                RequestInitiator::Foreign,
                "{foreign:?}"
            );
        }
    }

    #[test]
    fn listed_pages_may_call() {
        let origin = ("origin", "https://app.test");
        assert_eq!(
            initiator(&cors(&["https://APP.test:443"]), &[origin]),
            RequestInitiator::Listed("https://app.test".parse().unwrap())
        );
        let any = cors(&["*"]);
        for page in ["https://app.test", "null"] {
            assert_eq!(
                initiator(&any, &[("origin", page)]),
                RequestInitiator::Listed(HeaderValue::from_static("*")),
                "{page}"
            );
        }
        assert_eq!(
            initiator(&any, &[("sec-fetch-site", "cross-site")]),
            RequestInitiator::Own
        );
    }

    #[test]
    fn an_entry_is_an_origin_and_nothing_more() {
        let shown = |text: &str| text.parse::<CorsOrigin>().map(|origin| origin.to_string());
        assert_eq!(
            shown("http://localhost:3000").as_deref(),
            Ok("http://localhost:3000")
        );
        assert_eq!(shown("https://[::1]:443").as_deref(), Ok("https://[::1]"));
        for wrong in [
            "null",
            "app.test",
            "https://app.test/",
            "https://app.test/x",
            "https://u@app.test",
            "https://app.test?x",
            "ftp://a",
            "https://*.test",
        ] {
            let refused = shown(wrong);
            assert!(refused.is_err(), "{wrong}: {refused:?}");
        }
    }
}
