//! What an answer of eGain's means. What isn't documented is tolerated in more than one form.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::words::fault::{Code, Fault, Stage, UpstreamAnswer};
use crate::words::moment::Moment;
use crate::words::peer_time::{PeerClock, PeerTime, signed_life};

/// A message that is passed on is cut here.
const LONGEST_MESSAGE: usize = 300;

/// A whole answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    pub(super) headers: HeaderMap,
    pub(super) received: Moment,
}

/// eGain's error document; a load balancer in front may answer something else entirely.
#[derive(Deserialize, Default)]
struct ErrorDocument {
    code: Option<Value>,
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
        Self { status, body, headers, received: Moment::now() }
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

    /// When a signed URL ends: by the upstream's clock, ours, and what its signature says.
    pub fn deadline(&self, expiry: &Value, url: Option<&Url>) -> Option<Moment> {
        let life = self.clock().url_life(PeerTime::from_json(expiry)?, url.and_then(signed_life));
        Some(self.received + life)
    }

    /// How long eGain asks us to wait, within bounds.
    pub fn asked_wait(&self) -> Option<Duration> {
        self.clock().asked_wait(&self.headers)
    }

    /// What time it was, there and here, when this answer came.
    pub fn clock(&self) -> PeerClock {
        PeerClock::of(&self.headers, Timestamp::try_from(self.received.wall).unwrap_or(Timestamp::UNIX_EPOCH))
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
