//! Responses of one piece.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

use crate::body::BoxBody;

/// Replaces the body of a response to HEAD by its length. hyper would omit the body of HTTP/1.1
/// unread, as if the client had disconnected, and would send it over HTTP/2.
pub(super) fn drop_body_for_head(response: &mut Response<BoxBody>) {
    let body = std::mem::replace(response.body_mut(), full(Bytes::new()));
    if let Some(length) = body.size_hint().exact()
        && length > 0
    {
        response
            .headers_mut()
            .entry(CONTENT_LENGTH)
            .or_insert(length.into());
    }
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<BoxBody> {
    let mut response = Response::new(full(line(value)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// JSON with a line feed at its end, for people at a terminal.
pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(value).expect("our own responses have string keys");
    text.push(b'\n');
    text
}

/// 204.
pub(super) fn no_content() -> Response<BoxBody> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The same response, which no cache stores: it is its caller's own, or soon another one.
pub(super) fn uncached(mut response: Response<BoxBody>) -> Response<BoxBody> {
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn full(bytes: impl Into<Bytes>) -> BoxBody {
    BoxBody::new(Full::new(bytes.into()).map_err(|never| match never {}))
}
