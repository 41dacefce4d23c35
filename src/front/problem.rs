//! Failures as problem documents (RFC 9457).

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::request_id::RequestId;
use super::{Frames, full, line};
use crate::words::fault::{Code, Fault};

/// What says most comes first: some clients show only the beginning, Guzzle 120 bytes of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
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

/// Who sets the limit that was passed, and what it is: an adapter tells its customer.
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
pub struct Refusal {
    /// What failed.
    pub fault: Fault,
    /// `Allow` of a 405, `Content-Range` of a 416.
    pub header: Option<(HeaderName, HeaderValue)>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            header: None,
        }
    }
}

/// The HTTP status of a failure.
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::BadRequest
        | Code::MalformedMultipart
        | Code::MissingField
        | Code::InvalidField
        | Code::ConflictingField
        | Code::LengthMismatch
        | Code::DigestMismatch
        | Code::EmptyFile => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::ClientTooSlow | Code::CallerLeft => StatusCode::REQUEST_TIMEOUT,
        Code::Conflict | Code::IdempotencyInProgress => StatusCode::CONFLICT,
        Code::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Code::ContentRejected | Code::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        Code::LengthRequired => StatusCode::LENGTH_REQUIRED,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::TypeNotAllowed | Code::EncodingNotAllowed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        Code::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::UpstreamError | Code::UploadFailed => StatusCode::BAD_GATEWAY,
        Code::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Overloaded
        | Code::UpstreamBudget
        | Code::UpstreamQuota
        | Code::UpstreamUnavailable
        | Code::FramingMispredicted
        | Code::AssetPending
        | Code::Draining => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The answer that tells a failure.
pub fn answer(Refusal { fault, header }: &Refusal, id: &RequestId) -> Response<Frames> {
    let status = status(fault.code());
    let upstream = fault.upstream_answer().map(|answer| Upstream {
        status: answer.status,
        code: answer.code.as_deref(),
        developer_message: answer.developer_message.as_deref(),
    });
    let document = Document {
        title: title(fault.code()),
        detail: fault.detail(),
        status: status.as_u16(),
        code: fault.code().name(),
        r#type: format!("urn:asset-gateway:problem:{}", fault.code().name()),
        request_id: id.as_str(),
        blame: fault.blame().name(),
        stage: fault.stage().name(),
        retryable: fault.is_retryable(),
        limit: fault.limit().map(|limit| LimitMember {
            source: limit.source.into(),
            max_size: limit.max_size,
            allowed: limit.allowed.as_deref(),
        }),
        upstream,
    };
    let mut response = Response::new(full(line(&document)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let wait = fault
        .wait()
        .or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1)));
    if let Some(wait) = wait {
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64),
        );
    }
    headers.extend(header.clone());
    response
}

/// `too-large` as `Too large`.
fn title(code: Code) -> String {
    let mut title = code.name().replace('-', " ");
    title[..1].make_ascii_uppercase();
    title
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::fault::Stage;

    #[test]
    fn whoever_may_come_back_is_told_when() {
        let id = RequestId::of(&http::HeaderMap::new());
        let wait = |fault: &Fault| {
            answer(&fault.clone().into(), &id)
                .headers()
                .get(RETRY_AFTER)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let budget = Fault::gateway(Code::UpstreamBudget, Stage::Budget, "x");
        assert_eq!(
            wait(&budget.clone().retry_after(Duration::from_millis(5200))).as_deref(),
            Some("6")
        );
        assert_eq!(wait(&budget).as_deref(), Some("1"), "every 503 says when");
        assert_eq!(
            wait(&Fault::caller(Code::TooLarge, Stage::Policy, "x")),
            None
        );
    }
}
