//! Reading a file, or a part of it.

use http::header::ETAG;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::Instrument;

use super::client::{StorageClient, request_to};
use super::verdict::{BodyEnd, BodyFraming, RequestedPart, unexpected_response};
use crate::body::BoxBody;
use crate::body::exact_length::ExactLengthBody;
use crate::body::min_rate::{MinRateBody, PaceLimits};
use crate::body::peek::PeekedBody;
use crate::telemetry::traces::{self, stage_span};
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::secret::SignedUrl;

/// Storage's response: bytes (200, 206), or a verdict on the request's conditions (304, 412, 416).
pub struct StoredObject {
    /// One of 200, 206, 304, 412, 416.
    pub status: StatusCode,
    /// Storage's headers; `Content-Length` is what the body is held to.
    pub headers: HeaderMap,
    /// The bytes: as many as they should be, or an error before the last of them.
    pub body: BoxBody,
}

/// What is read of a file that came without its length before the caller gets a head: most pictures
/// that were cut are an error then.
const READ_AHEAD: u64 = 64 * 1024;

impl StorageClient {
    /// Reads what is wanted. A response to something else is storage's error.
    pub async fn read(
        &self,
        url: &SignedUrl,
        wanted: &RequestedPart,
    ) -> Result<StoredObject, Error> {
        let began = Instant::now();
        let mut request = request_to(Method::GET, url, nothing())?;
        request.headers_mut().extend(wanted.conditions().clone());
        let span = stage_span!("read from storage", otel.kind = "client");
        let sending = self.http.send(request).instrument(span.clone());
        let result = match tokio::time::timeout(self.config.idle_timeout, sending).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_timeout() => Err(late().because(&error)),
            Ok(Err(error)) => Err(unreachable().because(&error)),
            Err(_) => Err(late()),
        };
        traces::end_call(&span, result.as_ref().ok().map(Response::status));
        self.observe("download", began, &result);
        let response = result?;
        let framing = BodyFraming::of(response.headers(), response.body().size_hint().exact());
        let end = wanted.check_response(response.status(), response.headers(), framing)?;
        self.object(response, end).await
    }

    async fn object(
        &self,
        response: Response<Incoming>,
        end: BodyEnd,
    ) -> Result<StoredObject, Error> {
        let (mut head, body) = response.into_parts();
        end.write_length(&mut head.headers);
        if !head.status.is_success() {
            // What storage says beyond the verdict isn't passed on: it tends to quote the
            // signature.
            return Ok(StoredObject {
                status: head.status,
                headers: head.headers,
                body: nothing(),
            });
        }
        let body = body.map_err(|error| cut().because(&error));
        let limits = PaceLimits {
            idle: self.config.idle_timeout,
            min_rate: 0,
        };
        let body = MinRateBody::new(body, limits, |_| stalled());
        let body = match end {
            BodyEnd::Exactly(length) => {
                let least = least_read_ahead(&head.headers, length);
                let exact = ExactLengthBody::new(
                    body,
                    length,
                    Box::new(move |actual| other_length(actual, length)),
                );
                // Until now an error can be reported; later the connection can only be cut.
                BoxBody::new(PeekedBody::at(BoxBody::new(exact), least).await?)
            }
            BodyEnd::Framed(_) | BodyEnd::Marked => BoxBody::new(body),
        };
        Ok(StoredObject {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

/// How many bytes are read before the client gets a head. A download that can be resumed, thanks to
/// its strong validator, needn't wait for more than one.
fn least_read_ahead(headers: &HeaderMap, length: u64) -> usize {
    match headers.get(ETAG) {
        Some(tag) if tag.as_bytes().starts_with(b"\"") => 1,
        _ => length.min(READ_AHEAD) as usize,
    }
}

fn nothing() -> BoxBody {
    BoxBody::new(Empty::new().map_err(|never| match never {}))
}

fn late() -> Error {
    Error::storage(
        ErrorCode::UpstreamTimeout,
        Stage::Fetch,
        "storage didn't respond in time: try again",
    )
}

fn unreachable() -> Error {
    Error::storage(
        ErrorCode::UpstreamError,
        Stage::Fetch,
        "storage can't be reached: try again",
    )
    .with_retryable(true)
}

fn cut() -> Error {
    Error::storage(
        ErrorCode::UpstreamError,
        Stage::Fetch,
        "storage broke the connection in the middle: try again",
    )
    .with_retryable(true)
}

fn stalled() -> Error {
    Error::storage(
        ErrorCode::UpstreamTimeout,
        Stage::Fetch,
        "storage sent no byte for too long: try again",
    )
}

fn other_length(actual: u64, length: u64) -> Error {
    if actual < length {
        cut()
    } else {
        unexpected_response(format!(
            "sent more than the {length} bytes that the file has"
        ))
    }
}

/// Whether storage refused the URL itself, as it does with one that has died before its time.
pub fn refuses_url(error: &Error) -> bool {
    let Some(response) = error.upstream() else {
        return false;
    };
    error.stage() == Stage::Fetch && matches!(response.status, Some(401 | 403 | 404 | 410))
}
