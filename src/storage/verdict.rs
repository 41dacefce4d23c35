//! Checks a response of storage: it must fit the request, and be as long as the file is known to
//! be.
//!
//! Storage isn't believed: a file that was lost or replaced, a sign-in page and a
//! stream that ends early would otherwise all be a download that went well.

use headers::{ContentRange, HeaderMapExt, TransferEncoding};
use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::range::RequestedRanges;
use super::send::upstream_status;
use crate::types::error::{Error, ErrorCode, Stage};

/// What is read of a file.
pub struct RequestedPart {
    /// The caller's range and conditions.
    conditions: HeaderMap,
    ranges: Option<RequestedRanges>,
    /// The file's bytes, if eGain says how many they are.
    size: Option<u64>,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// After this many bytes, which the connection enforces.
    Framed(u64),
    /// After this many bytes, which has to be enforced here.
    Exactly(u64),
    /// By a mark of its own: chunks, whose last one is empty.
    Marked,
}

/// How a body came.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyFraming {
    /// What its `Content-Length` promises, which the connection enforces.
    pub length: Option<u64>,
    /// Whether it is chunked. If it is neither, it ends where the connection does, and so does a
    /// piece of it.
    pub chunked: bool,
}

impl BodyFraming {
    pub(super) fn of(headers: &HeaderMap, length: Option<u64>) -> Self {
        let chunked = match headers.typed_get::<TransferEncoding>() {
            Some(coding) => coding.is_chunked(),
            None => false,
        };
        Self { length, chunked }
    }
}

impl RequestedPart {
    /// A range that makes no sense is omitted, as RFC 9110 section 14.2 wants it.
    pub fn new(mut conditions: HeaderMap, size: Option<u64>) -> Self {
        let ranges = RequestedRanges::of(&conditions);
        if ranges.is_none() {
            conditions.remove(RANGE);
        }
        // eGain has no empty files: that is a size that it doesn't know.
        Self {
            conditions,
            ranges,
            size: size.filter(|size| *size > 0),
        }
    }

    pub(super) fn conditions(&self) -> &HeaderMap {
        &self.conditions
    }

    /// How the body ends, if the response may be passed on.
    pub(super) fn check_response(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        framing: BodyFraming,
    ) -> Result<BodyEnd, Error> {
        match status {
            StatusCode::OK => measure(self.size, framing),
            StatusCode::PARTIAL_CONTENT => measure(self.part(headers)?, framing),
            StatusCode::NOT_MODIFIED if self.has_any(&[IF_NONE_MATCH, IF_MODIFIED_SINCE]) => {
                Ok(BodyEnd::Framed(0))
            }
            StatusCode::PRECONDITION_FAILED if self.has_any(&[IF_MATCH, IF_UNMODIFIED_SINCE]) => {
                Ok(BodyEnd::Framed(0))
            }
            StatusCode::RANGE_NOT_SATISFIABLE if self.is_unsatisfiable(headers) => {
                Ok(BodyEnd::Framed(0))
            }
            StatusCode::NOT_MODIFIED
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::RANGE_NOT_SATISFIABLE => Err(unexpected_response(format!(
                "responded with {}, which nothing in the request allows",
                status.as_u16()
            ))),
            refusal => {
                let detail = format!(
                    "storage refused the file with {}: try again",
                    refusal.as_u16()
                );
                Err(
                    Error::storage(ErrorCode::UpstreamError, Stage::Fetch, detail)
                        .with_retryable(true)
                        .with_upstream(upstream_status(refusal)),
                )
            }
        }
    }

    fn has_any(&self, conditions: &[HeaderName]) -> bool {
        conditions
            .iter()
            .any(|name| self.conditions.contains_key(name))
    }

    /// The length of a 206; none where several parts are in it, each with a head of its own.
    fn part(&self, headers: &HeaderMap) -> Result<Option<u64>, Error> {
        let Some(ranges) = &self.ranges else {
            return Err(unexpected_response(
                "sent a part, and the whole file was requested",
            ));
        };
        if ranges.are_several() && is_multipart(headers) {
            return Ok(None);
        }
        let content_range = headers.typed_get::<ContentRange>();
        let Some((first, last)) = content_range.as_ref().and_then(ContentRange::bytes_range) else {
            return Err(unexpected_response("sent a part and didn't say which"));
        };
        let total = content_range.and_then(|range| range.bytes_len());
        let known = self.size.or(total).or(last.checked_add(1));
        let size = match known {
            Some(size) if last < size && total.is_none_or(|total| total == size) => size,
            _ => {
                return Err(unexpected_response("sent a part of a file of another size"));
            }
        };
        if !ranges.are_satisfied_by(first, last, size) {
            return Err(unexpected_response("sent another part than was requested"));
        }
        // No overflow: both lie within the file.
        Ok(Some(last - first + 1))
    }

    /// Whether a 416 can be true.
    fn is_unsatisfiable(&self, headers: &HeaderMap) -> bool {
        let Some(ranges) = &self.ranges else {
            return false;
        };
        let content_range = headers.typed_get::<ContentRange>();
        let total = content_range.and_then(|range| range.bytes_len());
        let size = self.size.or(total);
        let fits = total.is_none_or(|total| Some(total) == size);
        fits && size.is_none_or(|size| !ranges.touch(size))
    }
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let Some(Ok(content_type)) = headers.get(CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    let content_type = content_type.to_ascii_lowercase();
    !headers.contains_key(CONTENT_RANGE) && content_type.starts_with("multipart/byteranges")
}

fn measure(expected: Option<u64>, framing: BodyFraming) -> Result<BodyEnd, Error> {
    match (expected, framing.length) {
        (Some(expected), Some(length)) if expected != length => Err(unexpected_response(format!(
            "promised {length} bytes where eGain's file has {expected}"
        ))),
        (_, Some(length)) => Ok(BodyEnd::Framed(length)),
        (Some(expected), None) => Ok(BodyEnd::Exactly(expected)),
        (None, None) if framing.chunked => Ok(BodyEnd::Marked),
        // It could be cut anywhere and would look whole.
        (None, None) => Err(unexpected_response(
            "didn't say how long the file is, and neither did eGain",
        )),
    }
}

impl BodyEnd {
    /// Writes the true length into the headers, whatever storage said.
    pub(super) fn write_length(self, headers: &mut HeaderMap) {
        match self {
            Self::Framed(length) | Self::Exactly(length) => {
                drop(headers.insert(CONTENT_LENGTH, length.into()))
            }
            Self::Marked => drop(headers.remove(CONTENT_LENGTH)),
        }
    }
}

/// A response with another file, or with none.
pub(super) fn unexpected_response(what: impl std::fmt::Display) -> Error {
    let detail = format!("storage {what}: try again; if it stays, the file is damaged there");
    Error::storage(ErrorCode::UpstreamError, Stage::Fetch, detail).with_retryable(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: BodyFraming = BodyFraming {
        length: None,
        chunked: true,
    };
    const TO_THE_END: BodyFraming = BodyFraming {
        length: None,
        chunked: false,
    };

    fn framed(length: u64) -> BodyFraming {
        BodyFraming {
            length: Some(length),
            chunked: false,
        }
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn body_end(
        range: &str,
        size: Option<u64>,
        content_range: &str,
        framing: BodyFraming,
    ) -> Option<BodyEnd> {
        let wanted = RequestedPart::new(headers(&[(RANGE, range)]), size);
        wanted
            .check_response(
                StatusCode::PARTIAL_CONTENT,
                &headers(&[(CONTENT_RANGE, content_range)]),
                framing,
            )
            .ok()
    }

    #[test]
    fn a_whole_file_has_the_length_that_is_known() {
        let whole = |size, framing| {
            RequestedPart::new(HeaderMap::new(), size)
                .check_response(StatusCode::OK, &HeaderMap::new(), framing)
                .ok()
        };
        assert_eq!(whole(Some(10), framed(10)), Some(BodyEnd::Framed(10)));
        assert_eq!(whole(Some(10), CHUNKED), Some(BodyEnd::Exactly(10)));
        assert_eq!(whole(Some(10), TO_THE_END), Some(BodyEnd::Exactly(10)));
        for length in [0, 9, 11] {
            assert_eq!(whole(Some(10), framed(length)), None, "{length}");
        }
        for unknown in [None, Some(0)] {
            assert_eq!(whole(unknown, framed(10)), Some(BodyEnd::Framed(10)));
            assert_eq!(whole(unknown, CHUNKED), Some(BodyEnd::Marked));
            assert_eq!(whole(unknown, TO_THE_END), None);
        }
    }

    #[test]
    fn a_part_must_be_the_requested_one() {
        assert_eq!(
            body_end("bytes=2-4", Some(10), "bytes 2-4/10", framed(3)),
            Some(BodyEnd::Framed(3))
        );
        assert_eq!(
            body_end("bytes=2-4", Some(10), "bytes 2-4/*", CHUNKED),
            Some(BodyEnd::Exactly(3))
        );
        assert_eq!(
            body_end("bytes=2-", None, "bytes 2-9/10", framed(8)),
            Some(BodyEnd::Framed(8))
        );
        assert_eq!(
            body_end("bytes=-3", None, "bytes 7-9/*", framed(3)),
            Some(BodyEnd::Framed(3))
        );
        for (content_range, length) in [
            ("bytes 2-4/11", 3),
            ("bytes 2-4/10", 4),
            ("bytes 3-4/10", 2),
            ("bytes 2-5/10", 4),
            ("bytes 4-2/10", 3),
            ("bytes 2-18446744073709551615/*", 3),
            ("bytes 0-18446744073709551615/*", 0),
            ("bytes */10", 3),
            ("octets 2-4/10", 3),
            ("", 3),
        ] {
            assert_eq!(
                body_end("bytes=2-4", Some(10), content_range, framed(length)),
                None,
                "{content_range}, {length}"
            );
        }
        for range in ["bytes=0-18446744073709551615", "bytes=0-"] {
            assert_eq!(
                body_end(range, None, "bytes 0-18446744073709551615/*", framed(0)),
                None,
                "{range}"
            );
        }
    }

    #[test]
    fn an_unrequested_verdict_is_not_passed_on() {
        let body_end = |conditions: &[(HeaderName, &str)], status, given: &[(HeaderName, &str)]| {
            RequestedPart::new(headers(conditions), Some(10))
                .check_response(status, &headers(given), framed(0))
                .is_ok()
        };
        let (none, match_, range) = (
            (IF_NONE_MATCH, "\"a\""),
            (IF_MATCH, "\"a\""),
            (RANGE, "bytes=10-"),
        );
        assert!(body_end(
            std::slice::from_ref(&none),
            StatusCode::NOT_MODIFIED,
            &[]
        ));
        assert!(body_end(
            std::slice::from_ref(&match_),
            StatusCode::PRECONDITION_FAILED,
            &[]
        ));
        assert!(body_end(
            std::slice::from_ref(&range),
            StatusCode::RANGE_NOT_SATISFIABLE,
            &[(CONTENT_RANGE, "bytes */10")]
        ));
        for status in [
            StatusCode::NOT_MODIFIED,
            StatusCode::PRECONDITION_FAILED,
            StatusCode::RANGE_NOT_SATISFIABLE,
        ] {
            assert!(!body_end(&[], status, &[]), "{status}");
        }
        assert!(!body_end(&[match_], StatusCode::NOT_MODIFIED, &[]));
        assert!(!body_end(&[none], StatusCode::PRECONDITION_FAILED, &[]));
        assert!(!body_end(
            &[(RANGE, "bytes=0-")],
            StatusCode::RANGE_NOT_SATISFIABLE,
            &[]
        ));
        assert!(!body_end(
            &[range],
            StatusCode::RANGE_NOT_SATISFIABLE,
            &[(CONTENT_RANGE, "bytes */11")]
        ));
        assert!(!body_end(
            &[(RANGE, "lines=0-")],
            StatusCode::PARTIAL_CONTENT,
            &[(CONTENT_RANGE, "bytes 0-9/10")]
        ));
    }
}
