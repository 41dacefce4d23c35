//! What an answer of eGain's means. What isn't documented is tolerated in more than one form.

use std::time::Duration;

use bytes::Bytes;
use headers::HeaderMapExt;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use super::fields::JsonFields;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::error::{Error, ErrorCode, Stage, UpstreamAnswer};
use crate::types::moment::Moment;
use crate::types::peer_time::{PeerClock, PeerTime, signed_life};
use crate::types::redact::redact;

/// A message that is passed on is cut here.
const LONGEST_MESSAGE: usize = 300;

/// A whole answer.
pub struct ApiResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    pub(super) headers: HeaderMap,
    pub(super) received: Moment,
    /// Whether there was more of the body than is read at all.
    pub(super) is_cut: bool,
}

impl ApiResponse {
    /// One that came just now.
    pub fn of(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            status,
            body,
            headers,
            received: Moment::now(),
            is_cut: false,
        }
    }

    /// What can be read of the body, for an answer that was a success.
    pub fn fields<'m>(&self, metrics: &'m ServiceMetrics) -> JsonFields<'m> {
        let fields = JsonFields::read(&self.body, metrics);
        if self.is_cut || fields.is_empty() {
            self.log_unreadable();
        }
        fields
    }

    /// By its length and type only: it may hold a token or a signed URL.
    fn log_unreadable(&self) {
        let content_type = self
            .headers
            .typed_get::<headers::ContentType>()
            .map(mime::Mime::from);
        tracing::warn!(
            status = self.status.as_u16(),
            received_bytes = self.body.len(),
            is_cut = self.is_cut,
            content_type = content_type.as_ref().map(mime::Mime::essence_str),
            "a response of eGain's is too long, or isn't JSON"
        );
    }

    /// This answer lacks something that is needed; or everything, which may pass.
    pub fn unusable(&self, stage: Stage, fields: &JsonFields<'_>, what: &str) -> Error {
        let upstream = UpstreamAnswer {
            status: Some(self.status.as_u16()),
            ..UpstreamAnswer::default()
        };
        let detail = match fields.is_empty() {
            true => {
                "eGain's answer isn't the JSON that its documents promise: try again".to_owned()
            }
            false => format!("eGain's answer {what}: ask eGain's support, giving the request id"),
        };
        Error::egain(ErrorCode::UpstreamError, stage, detail)
            .upstream(upstream)
            .retryable(fields.is_empty())
    }

    /// When a signed URL ends: by the upstream's clock, ours, and what its signature says.
    pub fn deadline(&self, expiry: PeerTime, url: Option<&Url>) -> Moment {
        self.received + self.clock().url_life(expiry, url.and_then(signed_life))
    }

    /// How long eGain asks us to wait, within bounds.
    pub fn asked_wait(&self) -> Option<Duration> {
        self.clock().asked_wait(&self.headers)
    }

    /// What time it was, there and here, when this answer came.
    pub fn clock(&self) -> PeerClock {
        PeerClock::of(
            &self.headers,
            Timestamp::try_from(self.received.wall).unwrap_or(Timestamp::UNIX_EPOCH),
        )
    }

    /// What eGain said, as far as it may be shown: without `secret`, which it was sent and may
    /// quote. A load balancer in front may say something else entirely.
    pub fn said(&self, secret: &str) -> UpstreamAnswer {
        self.shown(
            secret,
            ["code"],
            ["developerMessage", "developermessage", "message"],
        )
    }

    /// The same of an answer in the form of RFC 6749 section 5.2.
    pub fn oauth_said(&self, secret: &str) -> UpstreamAnswer {
        self.shown(secret, ["error"], ["error_description"])
    }

    fn shown<const C: usize, const M: usize>(
        &self,
        secret: &str,
        code: [&str; C],
        message: [&str; M],
    ) -> UpstreamAnswer {
        let document: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let found = |names: &[&str]| match names.iter().find_map(|name| document.get(name))? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let cut = |text: String| {
            without_queries(&redact(&text, secret))
                .chars()
                .take(LONGEST_MESSAGE)
                .collect()
        };
        let status = Some(self.status.as_u16());
        UpstreamAnswer {
            status,
            code: found(&code).map(cut),
            developer_message: found(&message).map(cut),
            field: None,
        }
    }
}

/// The same text, its URLs without their queries: one may be a signature.
fn without_queries(text: &str) -> String {
    let ends_url = |c: char| c.is_whitespace() || c.is_control() || "\"'<>".contains(c);
    let word = |word: &str| match word
        .find("://")
        .and_then(|at| Some(at + word[at..].find('?')?))
    {
        Some(query) => format!(
            "{}?[hidden]{}",
            &word[..query],
            word.matches(ends_url).next_back().unwrap_or_default()
        ),
        None => word.to_owned(),
    };
    text.split_inclusive(ends_url).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &'static str)], body: &'static str) -> ApiResponse {
        let headers = headers
            .iter()
            .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
            .collect();
        ApiResponse::of(
            StatusCode::BAD_REQUEST,
            headers,
            Bytes::from_static(body.as_bytes()),
        )
    }

    #[test]
    fn errors_are_read_in_every_form_seen() {
        let said = |body| {
            (
                answer(&[], body).said("").code,
                answer(&[], body).said("").developer_message,
            )
        };
        let both = (Some("400-143".to_owned()), Some("missing".to_owned()));
        assert_eq!(
            said(r#"{"code":"400-143","developerMessage":"missing","details":[]}"#),
            both
        );
        assert_eq!(
            said(r#"{"code":"400-143","developermessage":"missing"}"#),
            both
        );
        assert_eq!(said("<html>Bad Gateway</html>"), (None, None));
        assert_eq!(said(""), (None, None));
    }

    #[test]
    fn a_url_that_is_quoted_is_shown_without_its_query() {
        let quoting = answer(
            &[],
            r#"{"message":"why? <a href='https://x.example/a?signature=abc'>https://x.example/b?c</a>?"}"#,
        );
        let shown = "why? <a href='https://x.example/a?[hidden]'>https://x.example/b?[hidden]</a>?";
        assert_eq!(quoting.said("").developer_message.as_deref(), Some(shown));
    }

    #[test]
    fn a_secret_that_is_quoted_is_blotted_out_before_the_message_is_cut() {
        let quoting = answer(
            &[],
            r#"{"error":"invalid_client","error_description":"no hunter2 here"}"#,
        )
        .oauth_said("hunter2");
        assert_eq!(
            (
                quoting.code.as_deref(),
                quoting.developer_message.as_deref()
            ),
            (Some("invalid_client"), Some("no [hidden] here"))
        );
        assert_eq!(
            answer(&[], r#"{"code":"401-104","message":"bad hunter2"}"#)
                .said("hunter2")
                .developer_message
                .unwrap(),
            "bad [hidden]"
        );
    }
}
