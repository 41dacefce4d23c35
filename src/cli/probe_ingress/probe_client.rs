//! One probe: a request whose body takes its time, and when its response came.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::api::PROBLEM_TYPES;
use crate::body::paced::PacedBody;
use crate::cli::client::caller_key::CallerKey;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// The most that is read of a response.
const LONGEST_RESPONSE: usize = 256 * 1024;

/// How often a busy gateway is tried again, and after which time at most.
const RETRIES: u32 = 2;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How a body says where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Framing {
    /// By `Content-Length`.
    Declared,
    /// In chunks.
    Chunked,
}

/// A request that is sent piece by piece.
#[derive(Debug, Clone)]
pub(super) struct ProbeRequest {
    pub framing: Framing,
    pub size: u64,
    /// The size of a piece, in bytes.
    pub piece: usize,
    /// The time between two pieces.
    pub interval: Duration,
    /// What the gateway shall do with its response.
    pub query: String,
    /// The longest time for all of it.
    pub patience: Duration,
}

impl Default for ProbeRequest {
    /// An empty one, to which the gateway responds at once.
    fn default() -> Self {
        Self {
            framing: Framing::Declared,
            size: 0,
            piece: 1,
            interval: Duration::ZERO,
            query: String::new(),
            patience: Duration::from_secs(10),
        }
    }
}

/// What the gateway says of a request, as far as it is used here.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::cli) struct ProbeReport {
    service: String,
    pub http_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    pub forwarding_headers: Vec<String>,
    #[serde(skip_serializing)]
    body: Arrivals,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Arrivals {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, Deserialize)]
struct Piece {
    ms: u64,
}

impl ProbeReport {
    /// The time from the first piece of the body that arrived to the last.
    pub(super) fn arriving(&self) -> Duration {
        let pieces = &self.body.pieces;
        let ms = match (pieces.first(), pieces.last()) {
            (Some(first), Some(last)) => last.ms.saturating_sub(first.ms),
            _ => 0,
        };
        Duration::from_millis(ms)
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.http_version)?;
        if let Some(via) = &self.via {
            write!(f, ", via {via}")?;
        }
        if !self.forwarding_headers.is_empty() {
            write!(f, ", with {}", self.forwarding_headers.join(", "))?;
        }
        Ok(())
    }
}

/// How a probe ended.
#[derive(Debug)]
pub(super) enum ProbeOutcome {
    /// The gateway responded.
    Response(ProbeResponse),
    /// The gateway refused.
    Refused(Problem),
    /// Something else responded, after this time.
    Foreign { status: u16, after: Duration },
    /// No connection was made.
    NotConnected { cause: String },
    /// The connection broke, or nothing came, after this time.
    Broken { after: Duration },
}

/// A response of the gateway, as far as it came.
#[derive(Debug)]
pub(super) struct ProbeResponse {
    pub report: ProbeReport,
    /// The time from the first piece of the request's body that was sent to the last.
    pub sending: Duration,
    /// The time from the response's first line to its last that came.
    pub receiving: Duration,
    /// Whether the whole response came.
    pub is_whole: bool,
    /// When its last line came, from the beginning of the request on. A proxy that cuts a response
    /// may close the connection later (Envoy: a second).
    pub after: Duration,
}

/// A problem document of the gateway.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    r#type: String,
    pub status: u16,
    pub detail: String,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// Sends probes, each over a connection of its own.
pub(in crate::cli) struct ProbeClient {
    http: Client,
    url: Url,
}

impl ProbeClient {
    /// A client of the gateway at `base`. Proxies of the environment aren't used: what is in
    /// front of the gateway is tested, not what is in front of this machine.
    pub(in crate::cli) fn new(base: &Url, key: Option<CallerKey>) -> Result<Self, String> {
        let headers: HeaderMap = key
            .map(|key| (AUTHORIZATION, key.header()))
            .into_iter()
            .collect();
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .http1_only()
            .connect_timeout(CONNECT)
            .user_agent(concat!("asset-gateway/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .build()
            .map_err(|error| error.to_string())?;
        let mut url = base.clone();
        let path = format!("{}/v1/probe", base.path().trim_end_matches('/'));
        url.set_path(&path);
        url.set_fragment(None);
        Ok(Self { http, url })
    }

    /// Sends it, and once more where the gateway is busy.
    pub(super) async fn send(&self, probe: &ProbeRequest) -> ProbeOutcome {
        for _ in 0..RETRIES {
            match self.try_once(probe).await {
                ProbeOutcome::Refused(Problem {
                    retry_after: Some(pause),
                    ..
                }) => sleep(pause.min(LONGEST_PAUSE)).await,
                other => return other,
            }
        }
        self.try_once(probe).await
    }

    async fn try_once(&self, probe: &ProbeRequest) -> ProbeOutcome {
        let began = Instant::now();
        let exchange = self.exchange(probe, began);
        let outcome = timeout(probe.patience, exchange).await;
        outcome.unwrap_or_else(|_| ProbeOutcome::Broken {
            after: began.elapsed(),
        })
    }

    async fn exchange(&self, probe: &ProbeRequest, began: Instant) -> ProbeOutcome {
        let sent = Arc::new(Mutex::new(Span::default()));
        let mut url = self.url.clone();
        url.set_query(Some(probe.query.as_str()).filter(|query| !query.is_empty()));
        let mut request = self.http.post(url);
        if probe.framing == Framing::Declared {
            request = request.header(CONTENT_LENGTH, probe.size);
        }
        let request = request.body(body(probe, sent.clone()));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return not_sent(error, began.elapsed()),
        };
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let text = Text::read(response).await;
        let after = began.elapsed();
        if let Some(report) = text.report().filter(|_| status == 200) {
            return ProbeOutcome::Response(ProbeResponse {
                report,
                sending: sent.lock().length(),
                receiving: text.lines.length(),
                is_whole: text.is_whole(probe),
                after: text.lines.last().map_or(after, |last| last - began),
            });
        }
        match serde_json::from_str::<Problem>(&text.text) {
            Ok(problem) if problem.r#type.starts_with(PROBLEM_TYPES) => {
                ProbeOutcome::Refused(Problem {
                    retry_after,
                    ..problem
                })
            }
            // The head of a response of ours came, and was cut before its first line.
            _ if status == 200 && text.text.is_empty() => ProbeOutcome::Broken { after },
            _ => ProbeOutcome::Foreign { status, after },
        }
    }
}

fn not_sent(error: reqwest::Error, after: Duration) -> ProbeOutcome {
    if error.is_connect() {
        ProbeOutcome::NotConnected {
            cause: innermost(&error.without_url()),
        }
    } else {
        ProbeOutcome::Broken { after }
    }
}

/// The first and the last of several moments.
#[derive(Debug, Default, Clone, Copy)]
struct Span(Option<(Instant, Instant)>);

impl Span {
    fn note(&mut self) {
        let now = Instant::now();
        let first = self.0.map_or(now, |(first, _)| first);
        self.0 = Some((first, now));
    }

    fn last(self) -> Option<Instant> {
        self.0.map(|(_, last)| last)
    }

    fn length(self) -> Duration {
        self.0.map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

/// Zeros, as a body. `sent` is when its pieces were taken.
fn body(probe: &ProbeRequest, sent: Arc<Mutex<Span>>) -> reqwest::Body {
    let piece = Bytes::from(vec![0; probe.piece]);
    let whole = probe.size / probe.piece as u64;
    let rest = piece.slice(..(probe.size % probe.piece as u64) as usize);
    let pieces = std::iter::repeat_n(piece, whole as usize)
        .chain((!rest.is_empty()).then_some(rest))
        .inspect(move |_| sent.lock().note());
    reqwest::Body::wrap(PacedBody::new(pieces, probe.interval))
}

/// A response's text, and when its lines came.
struct Text {
    text: String,
    lines: Span,
    has_ended: bool,
}

impl Text {
    /// Reads as much as there is, up to a bound.
    async fn read(mut response: Response) -> Self {
        let mut read = Self {
            text: String::new(),
            lines: Span::default(),
            has_ended: false,
        };
        while read.text.len() < LONGEST_RESPONSE {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    read.text.push_str(&String::from_utf8_lossy(&chunk));
                    read.lines.note();
                }
                Ok(None) => {
                    read.has_ended = true;
                    break;
                }
                Err(_) => break,
            }
        }
        read
    }

    fn report(&self) -> Option<ProbeReport> {
        let report: ProbeReport = serde_json::from_str(self.text.lines().next()?).ok()?;
        (report.service == "asset-gateway").then_some(report)
    }

    /// A response in lines says itself which one is the last: over HTTP/1.0 a cut looks like an
    /// end.
    fn is_whole(&self, probe: &ProbeRequest) -> bool {
        let has_last = || self.text.ends_with("\"last\":true}\n");
        self.has_ended && (!probe.query.contains("lines=") || has_last())
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// What was wrong in the end: "connection refused", an unknown host, a certificate.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_front_of_the_gateway_stays() {
        let url = |base: &str| {
            let client = ProbeClient::new(&base.parse().unwrap(), None).unwrap();
            client.url.to_string()
        };
        assert_eq!(url("https://a.example"), "https://a.example/v1/probe");
        assert_eq!(url("http://a.example/b/"), "http://a.example/b/v1/probe");
    }

    fn text(text: &str) -> Text {
        Text {
            text: text.to_owned(),
            lines: Span::default(),
            has_ended: true,
        }
    }

    #[test]
    fn another_services_json_is_no_report() {
        let report = |shown: &str| text(shown).report().is_some();
        assert!(report(r#"{"service":"asset-gateway"}"#));
        assert!(!report(r#"{"service":"another"}"#) && !report("<html>") && !report(""));
    }

    #[test]
    fn a_response_without_its_last_line_isnt_whole() {
        let probe = ProbeRequest {
            query: "lines=2&interval_ms=1".to_owned(),
            ..ProbeRequest::default()
        };
        assert!(text("{}\n{\"line\":1}\n{\"line\":2,\"last\":true}\n").is_whole(&probe));
        assert!(!text("{}\n{\"line\":1}\n").is_whole(&probe));
        assert!(text("{}\n").is_whole(&ProbeRequest::default()));
    }
}
