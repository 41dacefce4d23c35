//! A response of eGain's and what it means. Undocumented parts are accepted in more than one form.

use std::time::Duration;

use bytes::Bytes;
use headers::HeaderMapExt;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use super::fields::JsonFields;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::dual_instant::DualInstant;
use crate::types::error::{Error, ErrorCode, Stage, UpstreamResponse};
use crate::types::peer_time::{PeerClock, PeerTime, signed_life};
use crate::types::redact::redact;

/// A message that is passed on is cut to this many characters.
const LONGEST_MESSAGE: usize = 300;

/// A response with its whole body.
pub struct ApiResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    pub(super) headers: HeaderMap,
    pub(super) received: DualInstant,
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
            received: DualInstant::now(),
            is_cut: false,
        }
    }

    /// The readable fields of the body of a successful response.
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
            "eGain's response is too long, or isn't JSON"
        );
    }

    /// The error of a response that lacks something. One without any readable field may be retried.
    pub fn unusable(&self, stage: Stage, fields: &JsonFields<'_>, what: &str) -> Error {
        let upstream = UpstreamResponse {
            status: Some(self.status.as_u16()),
            ..UpstreamResponse::default()
        };
        let detail = if fields.is_empty() {
            "eGain's response isn't the documented JSON: try again".to_owned()
        } else {
            format!("eGain's response {what}: contact eGain's support, giving the request id")
        };
        Error::egain(ErrorCode::UpstreamError, stage, detail)
            .with_upstream(upstream)
            .with_retryable(fields.is_empty())
    }

    /// When a presigned URL expires: by the upstream's clock, ours, and what its signature says.
    pub fn deadline(&self, expiry: PeerTime, url: Option<&Url>) -> DualInstant {
        self.received + self.clock().url_life(expiry, url.and_then(signed_life))
    }

    /// How long eGain wants us to wait, within bounds.
    pub fn retry_after(&self) -> Option<Duration> {
        self.clock().retry_after(&self.headers)
    }

    /// What time it was, there and here, when this response came.
    pub fn clock(&self) -> PeerClock {
        PeerClock::of(
            &self.headers,
            Timestamp::try_from(self.received.wall).unwrap_or(Timestamp::UNIX_EPOCH),
        )
    }

    /// The code and message of the response, as far as they may be shown: without `secret`, which
    /// was in the request and may be quoted. A load balancer may have sent something else entirely.
    pub fn said(&self, secret: &str) -> UpstreamResponse {
        self.shown(
            secret,
            ["code"],
            ["developerMessage", "developermessage", "message"],
        )
    }

    /// The same of a response in the form of RFC 6749 section 5.2.
    pub fn oauth_said(&self, secret: &str) -> UpstreamResponse {
        self.shown(secret, ["error"], ["error_description"])
    }

    fn shown<const C: usize, const M: usize>(
        &self,
        secret: &str,
        code: [&str; C],
        message: [&str; M],
    ) -> UpstreamResponse {
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
        UpstreamResponse {
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

    fn response(headers: &[(&'static str, &'static str)], body: &'static str) -> ApiResponse {
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
                response(&[], body).said("").code,
                response(&[], body).said("").developer_message,
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
    fn a_quoted_url_is_shown_without_its_query() {
        let quoting = response(
            &[],
            concat!(
                r#"{"message":"why? <a href='https://x.example/a?signature=abc'>"#,
                r#"https://x.example/b?c</a>?"}"#
            ),
        );
        let shown = "why? <a href='https://x.example/a?[hidden]'>https://x.example/b?[hidden]</a>?";
        assert_eq!(quoting.said("").developer_message.as_deref(), Some(shown));
    }

    #[test]
    fn a_secret_is_hidden_before_the_message_is_cut() {
        let quoting = response(
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
            response(&[], r#"{"code":"401-104","message":"bad hunter2"}"#)
                .said("hunter2")
                .developer_message
                .unwrap(),
            "bad [hidden]"
        );
    }
}
