//! What an answer of eGain's means. What isn't documented is tolerated in more than one form.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use headers::HeaderMapExt;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::words::fault::{Code, Fault, Stage, UpstreamAnswer};

/// A message that is passed on is cut here.
const LONGEST_MESSAGE: usize = 300;
/// How long a signed URL is believed to live at the most, whatever its expiry says.
const LONGEST_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A whole answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    pub(super) headers: HeaderMap,
    pub(super) received: Instant,
}

/// eGain's error document; a load balancer in front may answer something else entirely.
#[derive(Deserialize, Default)]
struct ErrorDocument {
    code: Option<serde_json::Value>,
    #[serde(rename = "developerMessage", alias = "developermessage", alias = "message")]
    developer_message: Option<String>,
}

#[derive(Deserialize, Default)]
struct OAuthDocument {
    error: Option<String>,
    error_description: Option<String>,
}

impl Answer {
    /// One that came just now.
    pub fn of(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self { status, body, headers, received: Instant::now() }
    }

    /// The body as JSON, for an answer that was a success.
    pub fn json<T: DeserializeOwned>(&self, stage: Stage) -> Result<T, Fault> {
        // serde's own message may quote the answer, and with it a token or a signed URL.
        serde_json::from_slice(&self.body).map_err(|_| {
            let detail = "eGain's answer isn't the JSON that its documents promise: try again";
            let upstream = UpstreamAnswer { status: Some(self.status.as_u16()), ..UpstreamAnswer::default() };
            Fault::egain(Code::UpstreamError, stage, detail).upstream(upstream).retryable(true)
        })
    }

    /// When a signed URL ends on our monotonic clock, reckoned from the upstream's own `Date`: clocks drift.
    pub fn deadline(&self, expiry: &str) -> Option<Instant> {
        if expiry.starts_with("9999-") {
            return self.received.checked_add(LONGEST_LIFE);
        }
        let expiry = SystemTime::from(expiry.parse::<Timestamp>().ok()?);
        // `Date` has whole seconds: it may be almost one behind, which counts for a URL that lives for a few.
        let date = self.headers.typed_get::<headers::Date>().map(|date| SystemTime::from(date) + Duration::from_secs(1));
        let life = expiry.duration_since(date.unwrap_or_else(SystemTime::now)).unwrap_or(Duration::ZERO).min(LONGEST_LIFE);
        self.received.checked_add(life)
    }

    /// How long eGain asks us to wait: `Retry-After` (seconds or a date), or `X-RateLimit-Reset` (a date-time).
    pub fn asked_wait(&self) -> Option<Duration> {
        let until = |at: SystemTime| at.duration_since(self.now()).unwrap_or(Duration::ZERO);
        let after = self.text("retry-after").and_then(|value| match value.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => httpdate::parse_http_date(value).ok().map(until),
        });
        let reset = || match self.text("x-ratelimit-reset")?.parse::<Timestamp>() {
            Ok(at) => Some(until(at.into())),
            Err(_) => self.text("x-ratelimit-reset")?.parse().ok().map(Duration::from_secs),
        };
        // A wait beyond an hour says more about the header than about the limit.
        after.or_else(reset).map(|wait| wait.min(Duration::from_secs(3600)))
    }

    fn text(&self, header: &str) -> Option<&str> {
        self.headers.get(header)?.to_str().ok().map(str::trim)
    }

    fn now(&self) -> SystemTime {
        self.headers.typed_get::<headers::Date>().map_or_else(SystemTime::now, SystemTime::from)
    }

    /// What eGain said, as far as it may be shown: without `secret`, which it was sent and may quote.
    pub fn said(&self, secret: &str) -> UpstreamAnswer {
        let document: ErrorDocument = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = document.code.map(|code| code.as_str().map_or_else(|| code.to_string(), str::to_owned));
        self.shown(secret, code, document.developer_message)
    }

    /// The same of an answer in the form of RFC 6749 section 5.2.
    pub fn oauth_said(&self, secret: &str) -> UpstreamAnswer {
        let document: OAuthDocument = serde_json::from_slice(&self.body).unwrap_or_default();
        self.shown(secret, document.error, document.error_description)
    }

    fn shown(&self, secret: &str, code: Option<String>, message: Option<String>) -> UpstreamAnswer {
        let blot = |text: String| if secret.is_empty() { text } else { text.replace(secret, "[hidden]") };
        let cut = |text| without_queries(&blot(text)).chars().take(LONGEST_MESSAGE).collect();
        UpstreamAnswer { status: Some(self.status.as_u16()), code: code.map(cut), developer_message: message.map(cut) }
    }
}

/// The same text, its URLs without their queries: one may be a signature.
fn without_queries(text: &str) -> String {
    let ends_url = |c: char| c.is_whitespace() || c.is_control() || "\"'<>".contains(c);
    let word = |word: &str| match word.find("://").and_then(|at| Some(at + word[at..].find('?')?)) {
        Some(query) => format!("{}?[hidden]{}", &word[..query], word.matches(ends_url).next_back().unwrap_or_default()),
        None => word.to_owned(),
    };
    text.split_inclusive(ends_url).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let headers = headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        Answer::of(StatusCode::BAD_REQUEST, headers, Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn an_expiry_is_reckoned_by_the_upstreams_own_clock() {
        let date = ("date", "Thu, 27 Jan 2022 20:03:25 GMT");
        let answer = answer(&[date], "");
        let left = answer.deadline("2022-01-27T20:04:25.498Z").unwrap() - answer.received;
        assert_eq!(left, Duration::from_millis(59_498), "Date may be a second behind");
        assert_eq!(answer.deadline("2022-01-27T20:00:00Z"), Some(answer.received), "a past expiry is over at once");
        assert_eq!(answer.deadline("9999-12-31T23:59:59Z").unwrap() - answer.received, LONGEST_LIFE);
        assert_eq!(answer.deadline("soon"), None);
    }

    #[test]
    fn every_form_of_asking_to_wait_is_understood() {
        let date = ("date", "Thu, 27 Jan 2022 20:03:25 GMT");
        for header in [
            ("retry-after", "7"),
            ("retry-after", "Thu, 27 Jan 2022 20:03:32 GMT"),
            ("x-ratelimit-reset", "2022-01-27T20:03:32Z"),
            ("x-ratelimit-reset", "7"),
        ] {
            assert_eq!(answer(&[date, header], "").asked_wait(), Some(Duration::from_secs(7)), "{header:?}");
        }
        assert_eq!(answer(&[date], "").asked_wait(), None);
    }

    #[test]
    fn errors_are_read_in_every_form_seen() {
        let said = |body| (answer(&[], body).said("").code, answer(&[], body).said("").developer_message);
        let both = (Some("400-143".to_owned()), Some("missing".to_owned()));
        assert_eq!(said(r#"{"code":"400-143","developerMessage":"missing","details":[]}"#), both);
        assert_eq!(said(r#"{"code":"400-143","developermessage":"missing"}"#), both);
        assert_eq!(said("<html>Bad Gateway</html>"), (None, None));
        assert_eq!(said(""), (None, None));
    }

    #[test]
    fn a_url_that_is_quoted_is_shown_without_its_query() {
        let quoting = answer(&[], r#"{"message":"why? <a href='https://x.example/a?signature=abc'>https://x.example/b?c</a>?"}"#);
        let shown = "why? <a href='https://x.example/a?[hidden]'>https://x.example/b?[hidden]</a>?";
        assert_eq!(quoting.said("").developer_message.as_deref(), Some(shown));
    }

    #[test]
    fn a_secret_that_is_quoted_is_blotted_out_before_the_message_is_cut() {
        let quoting = answer(&[], r#"{"error":"invalid_client","error_description":"no hunter2 here"}"#).oauth_said("hunter2");
        assert_eq!(
            (quoting.code.as_deref(), quoting.developer_message.as_deref()),
            (Some("invalid_client"), Some("no [hidden] here"))
        );
        assert_eq!(
            answer(&[], r#"{"code":"401-104","message":"bad hunter2"}"#).said("hunter2").developer_message.unwrap(),
            "bad [hidden]"
        );
    }
}
