//! Errors of forms that can't be read.

use std::borrow::Cow;

use crate::types::error::{Error, ErrorCode, Stage};

/// The `malformed-multipart` error: the client must correct its form.
pub(super) fn malformed(detail: impl Into<Cow<'static, str>>) -> Error {
    Error::caller(ErrorCode::MalformedMultipart, Stage::Read, detail)
}

pub(super) fn bare_line_feed() -> Error {
    malformed("the form's lines end with bare line feeds: end them with CR and LF")
}

/// Two readers must not see two different values.
pub(super) fn set_once<T: PartialEq>(
    slot: &mut Option<T>,
    value: T,
    what: &str,
) -> Result<(), Error> {
    match slot {
        Some(given) if *given != value => Err(malformed(format!(
            "a part gives {what} twice, differently: give it once"
        ))),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}
