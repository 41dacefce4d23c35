//! The lengths that a request declares.

use http::HeaderMap;
use http::header::CONTENT_LENGTH;

use crate::types::error::{Error, ErrorCode, Stage};

/// Two declarations of one length must be the same.
pub(super) fn same_length(
    size: Option<u64>,
    content_length: Option<u64>,
) -> Result<Option<u64>, Error> {
    if let (Some(size), Some(content_length)) = (size, content_length)
        && size != content_length
    {
        let detail = format!(
            "size says {size} bytes, Content-Length says {content_length}: declare the exact \
             length of the file, once"
        );
        let code = ErrorCode::LengthMismatch;
        return Err(Error::caller(code, Stage::Admit, detail));
    }
    Ok(size.or(content_length))
}

/// The length of the whole request's body, if it is declared.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}
