//! Failures as problem documents (RFC 9457).

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::request_id::RequestId;
use super::response::{full, line};
use crate::body::BoxBody;
use crate::types::error::{Error, ErrorCode};

/// What the `type` of each problem document begins with; the code follows. As an address it leads
/// to the code's section in `docs/errors.md`, whatever host serves the documents.
pub const PROBLEM_TYPES: &str = "/docs/errors#";

/// What says most comes first: some clients show only the beginning, Guzzle 120 bytes of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProblemDocument<'a> {
    title: String,
    detail: &'a str,
    status: u16,
    code: &'static str,
    r#type: String,
    request_id: &'a str,
    blame: &'static str,
    stage: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitMember<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<Upstream<'a>>,
}

/// Who sets the limit that was passed, and what it is: an adapter shows its customer.
#[derive(Serialize)]
struct LimitMember<'a> {
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<&'a [String]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Upstream<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    developer_message: Option<&'a str>,
}

/// A failure, with a header that belongs to its status.
pub(super) struct ErrorResponse {
    /// What failed.
    pub error: Error,
    /// `Allow` of a 405, `Content-Range` of a 416.
    pub header: Option<(HeaderName, HeaderValue)>,
}

impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        Self {
            error,
            header: None,
        }
    }
}

/// The HTTP status of a failure.
pub fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest
        | ErrorCode::MalformedMultipart
        | ErrorCode::MissingField
        | ErrorCode::InvalidField
        | ErrorCode::ConflictingField
        | ErrorCode::LengthMismatch
        | ErrorCode::DigestMismatch
        | ErrorCode::EmptyFile => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::ClientTooSlow | ErrorCode::CallerLeft => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::Conflict | ErrorCode::IdempotencyInProgress => StatusCode::CONFLICT,
        ErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorCode::ContentRejected | ErrorCode::IdempotencyMismatch => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ErrorCode::LengthRequired => StatusCode::LENGTH_REQUIRED,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::TypeNotAllowed | ErrorCode::EncodingNotAllowed => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        }
        ErrorCode::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorCode::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::UpstreamError | ErrorCode::UploadFailed => StatusCode::BAD_GATEWAY,
        ErrorCode::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Overloaded
        | ErrorCode::UpstreamBudget
        | ErrorCode::UpstreamQuota
        | ErrorCode::UpstreamUnavailable
        | ErrorCode::FramingMispredicted
        | ErrorCode::AssetPending
        | ErrorCode::Draining => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The response that reports a failure.
pub(super) fn response(
    ErrorResponse { error, header }: &ErrorResponse,
    id: &RequestId,
) -> Response<BoxBody> {
    let status = status(error.code());
    let mut response = Response::new(full(line(&document(error, status, id))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let wait = match error.retry_after() {
        None if status == StatusCode::SERVICE_UNAVAILABLE => Some(Duration::from_secs(1)),
        wait => wait,
    };
    if let Some(wait) = wait {
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64),
        );
    }
    headers.extend(header.clone());
    response
}

/// What the response says of the error.
fn document<'e>(error: &'e Error, status: StatusCode, id: &'e RequestId) -> ProblemDocument<'e> {
    let upstream = error.upstream().map(|response| Upstream {
        status: response.status,
        code: response.code.as_deref(),
        developer_message: response.developer_message.as_deref(),
    });
    let limit = error.limit().map(|limit| LimitMember {
        source: limit.source.into(),
        max_size: limit.max_size,
        allowed: limit.allowed.as_deref(),
    });
    ProblemDocument {
        title: title(error.code()),
        detail: error.detail(),
        status: status.as_u16(),
        code: error.code().name(),
        r#type: format!("{PROBLEM_TYPES}{}", error.code().name()),
        request_id: id.as_str(),
        blame: error.blame().name(),
        stage: error.stage().name(),
        retryable: error.is_retryable(),
        limit,
        upstream,
    }
}

/// `too-large` as `Too large`.
fn title(code: ErrorCode) -> String {
    let mut title = code.name().replace('-', " ");
    title[..1].make_ascii_uppercase();
    title
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::error::Stage;

    #[test]
    fn whoever_may_come_back_is_told_when() {
        let id = RequestId::of(&http::HeaderMap::new());
        let wait = |error: &Error| {
            response(&error.clone().into(), &id)
                .headers()
                .get(RETRY_AFTER)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let budget = Error::gateway(ErrorCode::UpstreamBudget, Stage::Budget, "x");
        assert_eq!(
            wait(&budget.clone().with_retry_after(Duration::from_millis(5200))).as_deref(),
            Some("6")
        );
        assert_eq!(wait(&budget).as_deref(), Some("1"), "every 503 says when");
        assert_eq!(
            wait(&Error::caller(ErrorCode::TooLarge, Stage::Policy, "x")),
            None
        );
    }
}
