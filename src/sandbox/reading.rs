//! Small request bodies, read to the end under a bound. Files never come this way.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::reply::ApiRefusal;

/// A body that broke off or is larger than allowed.
#[derive(Debug)]
pub(super) struct UnreadableBody;

/// The body, if it isn't larger than `max` bytes.
pub(super) async fn read(request: Request<Incoming>, max: usize) -> Result<Bytes, UnreadableBody> {
    match Limited::new(request.into_body(), max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => Err(UnreadableBody),
    }
}

/// The body of a request to the API, which has to be JSON. The codes aren't documented; only the
/// statuses are sure.
pub(super) async fn read_json(request: Request<Incoming>, max: usize) -> Result<Bytes, ApiRefusal> {
    if !is_of_type(request.headers(), "application/json") {
        return Err(ApiRefusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "415-100",
            "send application/json",
        ));
    }
    match read(request, max).await {
        Ok(body) => Ok(body),
        Err(UnreadableBody) => Err(ApiRefusal::new(
            StatusCode::BAD_REQUEST,
            "400-100",
            "the body is too large or broke off",
        )),
    }
}

/// Reads to the end and stores nothing. A body that breaks off has ended, too.
pub(super) async fn discard(request: Request<Incoming>) {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
}

/// Whether the body is declared to be of `wanted` type, whatever its parameters.
pub(super) fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let Some(Ok(declared)) = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    let essence = declared.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(wanted)
}
