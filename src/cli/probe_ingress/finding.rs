//! What was found, by name, and what to change.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use strum::IntoStaticStr;

use super::probe_client::Framing;

/// What was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum CutTransfer {
    /// A request's body that was sent slowly.
    Request,
    /// A response that began late.
    LateResponse,
    /// A response that came slowly.
    SlowResponse,
}

/// One thing that was found. Its kind in JSON is its name in kebab case.
#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(in crate::cli) enum ProbeFinding {
    /// Request bodies reach the gateway while they are sent.
    Streams,
    /// A request body reaches the gateway only after its end was sent.
    Buffered { framings: Vec<Framing> },
    /// A response reaches the client only after its end.
    ResponseBuffered,
    /// Something ends a transfer that is alive.
    Cut {
        transfer: CutTransfer,
        after: Duration,
    },
    /// Something refuses larger bodies. `status` is its response's, where it sent one.
    Limited { bytes: u64, status: Option<u16> },
    /// The proxy speaks HTTP/1.0 to the gateway.
    #[strum(serialize = "http-1.0-upstream")]
    Http10Upstream,
    /// Something refuses a request that a gateway takes.
    Rejected { status: u16, what: &'static str },
    /// The gateway itself refuses to be probed.
    Refused { status: u16, detail: String },
    /// Something else than a gateway responds, or nothing that could be understood.
    NotAGateway { status: Option<u16> },
    /// No connection.
    NotReachable { cause: String },
    /// The gateway doesn't know the key, or it may not read.
    WrongKey { detail: String },
}

impl ProbeFinding {
    /// Its name, with its number.
    pub(in crate::cli) fn name(&self) -> String {
        match self {
            Self::Streams => "streams".to_owned(),
            Self::Buffered { .. } => "buffered".to_owned(),
            Self::ResponseBuffered => "response buffered".to_owned(),
            Self::Cut { after, .. } => format!("cut after {} s", seconds(*after)),
            Self::Limited { bytes, .. } => format!("limited to {bytes} bytes"),
            Self::Http10Upstream => "HTTP/1.0 upstream".to_owned(),
            Self::Rejected { status, .. } => format!("rejected with {status}"),
            Self::Refused { status, .. } => format!("refused with {status}"),
            Self::NotAGateway { .. } => "not a gateway".to_owned(),
            Self::NotReachable { .. } => "not reachable".to_owned(),
            Self::WrongKey { .. } => "wrong key".to_owned(),
        }
    }

    /// What was seen.
    pub(in crate::cli) fn detail(&self) -> String {
        match self {
            Self::Streams => "request bodies reach the gateway while they are sent".to_owned(),
            Self::Buffered { framings } => {
                let which = match framings.as_slice() {
                    [Framing::Chunked] => "a chunked request body reaches",
                    [Framing::Declared] => "a request body with a Content-Length reaches",
                    _ => "request bodies reach",
                };
                format!("{which} the gateway only after the last byte was sent")
            }
            Self::ResponseBuffered => "a response is collected before it reaches the client".into(),
            Self::Cut { transfer, .. } => match transfer {
                CutTransfer::Request => "a request body that is sent slowly is cut".to_owned(),
                CutTransfer::LateResponse => "a response that begins late is cut".to_owned(),
                CutTransfer::SlowResponse => "a response that comes slowly is cut".to_owned(),
            },
            Self::Limited { status, .. } => match status {
                Some(status) => format!("larger request bodies get {status}, not by the gateway"),
                None => "the connection of a larger request body is reset".to_owned(),
            },
            Self::Http10Upstream => "requests reach the gateway over HTTP/1.0".to_owned(),
            Self::Rejected { what, .. } => format!("{what} is refused, not by the gateway"),
            Self::Refused { detail, .. } | Self::WrongKey { detail } => detail.clone(),
            Self::NotAGateway { status } => match status {
                Some(status) => format!("something else responds to POST /v1/probe, with {status}"),
                None => "the connection ends without a response".to_owned(),
            },
            Self::NotReachable { cause } => cause.clone(),
        }
    }

    /// What to change; None where all is well.
    pub(in crate::cli) fn change(&self) -> Option<&'static str> {
        Some(match self {
            Self::Streams => return None,
            Self::Buffered { .. } => {
                "nginx: proxy_request_buffering off and proxy_http_version 1.1; ingress-nginx: \
                 the annotation proxy-request-buffering \"off\""
            }
            Self::ResponseBuffered => {
                "nginx: proxy_buffering off; ingress-nginx: the annotation proxy-buffering \"off\""
            }
            Self::Cut { transfer, .. } => match transfer {
                CutTransfer::Request => {
                    "allow a request as long as the slowest upload takes; nginx: \
                     client_body_timeout; HAProxy: timeout client; Gateway API: timeouts.request 0s"
                }
                CutTransfer::LateResponse | CutTransfer::SlowResponse => {
                    "nginx: proxy_read_timeout; HAProxy: timeout server; Envoy: the route's \
                     timeout 0s; Gateway API: timeouts.request and timeouts.backendRequest 0s"
                }
            },
            Self::Limited { .. } => {
                "allow more than limits.max_asset_size; nginx: client_max_body_size; \
                 ingress-nginx: the annotation proxy-body-size; Caddy: request_body; \
                 Squid: request_body_max_size"
            }
            Self::Http10Upstream => {
                "nginx: proxy_http_version 1.1 and proxy_set_header Connection \"\""
            }
            Self::Rejected { .. } => "let the proxy pass such requests to the gateway",
            Self::Refused { .. } => "see the gateway's log",
            Self::NotAGateway { .. } => {
                "check the URL and the ingress's route; an older gateway has no POST /v1/probe"
            }
            Self::NotReachable { .. } => "check the URL, its name in DNS, and its certificate",
            Self::WrongKey { .. } => "give a caller's key with --key or ASSET_GATEWAY_KEY",
        })
    }

    pub(super) fn to_json(&self) -> Value {
        let kind: &str = self.into();
        let mut shown = json!({"kind": kind, "name": self.name(), "detail": self.detail()});
        if let Some(change) = self.change() {
            shown["change"] = json!(change);
        }
        match self {
            Self::Cut { after, .. } => shown["afterSeconds"] = json!(seconds(*after)),
            Self::Limited { bytes, .. } => shown["bytes"] = json!(bytes),
            _ => {}
        }
        shown
    }
}

/// One line.
impl fmt::Display for ProbeFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.detail())?;
        match self.change() {
            Some(change) => write!(f, " -> {change}"),
            None => Ok(()),
        }
    }
}

/// To the nearest second: a timeout is configured in whole ones.
fn seconds(after: Duration) -> u64 {
    after.as_secs_f64().round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_that_says_its_change() {
        let cut = ProbeFinding::Cut {
            transfer: CutTransfer::LateResponse,
            after: Duration::from_millis(15_040),
        };
        let line = cut.to_string();
        assert!(line.starts_with("cut after 15 s: a response that begins late is cut -> nginx: "));
        assert!(line.contains("timeouts.backendRequest 0s") && !line.contains('\n'));
        assert_eq!(ProbeFinding::Streams.to_string().matches("->").count(), 0);
    }

    #[test]
    fn json_has_the_kind_and_the_number() {
        let limited = ProbeFinding::Limited {
            bytes: 1 << 20,
            status: Some(413),
        };
        let shown = limited.to_json();
        assert_eq!(
            (&shown["kind"], &shown["bytes"], &shown["name"]),
            (
                &json!("limited"),
                &json!(1_048_576),
                &json!("limited to 1048576 bytes")
            )
        );
        assert_eq!(
            ProbeFinding::Http10Upstream.to_json()["kind"],
            "http-1.0-upstream"
        );
    }
}
