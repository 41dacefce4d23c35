//! What is wrong with a head, whatever the route.

use http::Version;
use http::header::{HOST, TRANSFER_ENCODING};
use http::request::Parts;

use crate::types::error::{Error, ErrorCode, Stage};

/// The largest head in bytes. Beyond 64 KiB hyper refuses it before it comes here.
const LARGEST_HEAD: usize = 16 * 1024;

/// The most header fields, as many as elsewhere (Apache's `LimitRequestFields`). hyper takes some
/// more, so that it is here that they are refused.
const MOST_FIELDS: usize = 100;

/// Refuses what other servers on the way might read otherwise than we do.
pub(super) fn check(head: &Parts) -> Result<(), Error> {
    if size(head) > LARGEST_HEAD {
        return Err(refused(
            ErrorCode::HeadersTooLarge,
            "the request's headers are larger than 16 KiB: send fewer or shorter ones",
        ));
    }
    if head.headers.len() > MOST_FIELDS {
        return Err(refused(
            ErrorCode::HeadersTooLarge,
            "the request has more than 100 header fields: send fewer",
        ));
    }
    if head.version == Version::HTTP_11 && head.headers.get_all(HOST).iter().count() != 1 {
        return Err(refused(
            ErrorCode::BadRequest,
            "the request needs exactly one Host header (RFC 9112 section 3.2)",
        ));
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let is_plain = match codings.next() {
        Some(coding) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        None => true,
    };
    if !is_plain || codings.next().is_some() {
        return Err(refused(
            ErrorCode::BadRequest,
            "the only Transfer-Encoding that is taken is chunked",
        ));
    }
    Ok(())
}

/// The bytes of a head: its target, and each field with colon, blank and line end.
fn size(head: &Parts) -> usize {
    let mut size = 0;
    if let Some(target) = head.uri.path_and_query() {
        size += target.as_str().len();
    }
    for (name, value) in &head.headers {
        size += name.as_str().len() + value.len() + 4;
    }
    size
}

fn refused(code: ErrorCode, detail: &'static str) -> Error {
    Error::caller(code, Stage::Admit, detail)
}
