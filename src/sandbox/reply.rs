//! Replies, which are serialized at the last moment, so that faults can alter them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use serde_json::{Value, json};

use super::file::FileBody;

/// The one type of body that goes out.
pub(super) type ReplyBody = UnsyncBoxBody<Bytes, io::Error>;

#[derive(Debug)]
pub(super) struct SandboxReply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: ReplyContent,
}

#[derive(Debug)]
pub(super) enum ReplyContent {
    Empty,
    Json(Value),
    /// A content type and what is sent as that.
    Text(&'static str, Bytes),
    File(FileBody),
    /// What is sent without a `Content-Type`.
    Untyped(Bytes),
    /// No reply at all: the connection closes, or the stream is reset.
    Cut,
}

impl SandboxReply {
    pub(super) fn new(status: StatusCode, content: ReplyContent) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            content,
        }
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self::new(status, ReplyContent::Empty)
    }

    pub(super) fn json(status: StatusCode, value: Value) -> Self {
        Self::new(status, ReplyContent::Json(value))
    }

    pub(super) fn plain(status: StatusCode, text: impl Into<String>) -> Self {
        Self::new(
            status,
            ReplyContent::Text("text/plain; charset=utf-8", Bytes::from(text.into())),
        )
    }

    /// No reply: the connection is cut.
    pub(super) fn cut() -> Self {
        Self::new(StatusCode::OK, ReplyContent::Cut)
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.insert(name, value.into());
        self
    }

    pub(super) fn into_response(self) -> Response<ReplyBody> {
        let (content_type, body) = match self.content {
            ReplyContent::Empty => (None, empty()),
            ReplyContent::Json(value) => (Some("application/json"), full(value.to_string())),
            ReplyContent::Text(content_type, text) => (Some(content_type), full(text)),
            ReplyContent::Untyped(bytes) => (None, full(bytes)),
            ReplyContent::File(file) => (None, file.boxed_unsync()),
            ReplyContent::Cut => (None, Cut.boxed_unsync()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(content_type) = content_type {
            let value = HeaderValue::from_static(content_type);
            response
                .headers_mut()
                .entry(header::CONTENT_TYPE)
                .or_insert(value);
        }
        response
    }
}

fn empty() -> ReplyBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full(bytes: impl Into<Bytes>) -> ReplyBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Fails before hyper has flushed the head, so that not a byte is sent over HTTP/1.1.
struct Cut;

impl Body for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }
}

/// A refusal in eGain's words.
#[derive(Debug)]
pub(super) struct ApiRefusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<Value>,
    /// A list, as a map of none would be the largest part.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiRefusal {
    /// `code` is eGain's: the HTTP status, a dash and a number.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(super) fn detail(mut self, key: &str, value: impl Into<String>) -> Self {
        self.details
            .push(json!({"key": key, "value": value.into()}));
        self
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// `for_users` adds the message that is only sent on request.
    pub(super) fn into_reply(self, for_users: bool) -> SandboxReply {
        let mut body = json!({"code": self.code, "developerMessage": self.message});
        if !self.details.is_empty() {
            body["details"] = Value::Array(self.details);
        }
        if for_users {
            body["userMessage"] = json!("Something about the request isn't right.");
        }
        SandboxReply {
            status: self.status,
            headers: self.headers.into_iter().collect(),
            content: ReplyContent::Json(body),
        }
    }
}
