//! The boundary that a request's `Content-Type` names.

use crate::body::multipart::malformed::malformed;
use crate::body::multipart::parameters::HeaderParameter;
use crate::types::error::Error;

/// In bytes (RFC 2046 section 5.1.1).
pub(super) const LONGEST: usize = 70;
const FORM: &str = "multipart/form-data";

/// A boundary: 1 to 70 bytes of visible ASCII and blanks without `"` and `\`, not ending in a
/// blank.
///
/// That is more than RFC 2046 section 5.1.1 allows, which has neither `*` nor `&`; clients draw
/// those, too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Boundary(String);

impl Boundary {
    /// Reads it from the value of a `Content-Type` header field.
    ///
    /// Without quotes it may have all but blanks, `;` and `,`. The last would be two header fields
    /// that a proxy has made one.
    ///
    /// # Errors
    /// `malformed-multipart` when the value isn't `multipart/form-data` with one valid boundary.
    pub fn from_content_type(value: &str) -> Result<Self, Error> {
        let value = value.trim();
        if !is_form(value) {
            return Err(malformed("the Content-Type isn't multipart/form-data"));
        }
        match named(value[FORM.len()..].trim_start_matches([',', ' ', '\t']))? {
            Some(boundary) => Ok(boundary),
            None => Err(malformed(
                "the Content-Type names no boundary: let the HTTP client set it with the form",
            )),
        }
    }

    /// The boundary in any type's parameters, if it names one.
    ///
    /// # Errors
    /// `malformed-multipart` when there are two, or it isn't valid.
    pub(super) fn of_parameters(content_type: &str) -> Result<Option<Self>, Error> {
        match content_type.split_once(';') {
            Some((_, parameters)) => named(parameters),
            None => Ok(None),
        }
    }

    /// What is behind the hyphens of a form's first line, blanks at its end taken off.
    pub(super) fn from_line(line: &[u8]) -> Option<Self> {
        let boundary = str::from_utf8(line).ok()?.trim_end_matches([' ', '\t']);
        is_valid(boundary).then(|| Self(boundary.to_owned()))
    }

    /// The boundary as the header names it, without the leading `--`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a `Content-Type` means a form. A comma in place of the first semicolon has but one
/// meaning, too.
pub fn is_form(content_type: &str) -> bool {
    let Some((essence, rest)) = content_type.trim_start().split_at_checked(FORM.len()) else {
        return false;
    };
    essence.eq_ignore_ascii_case(FORM)
        && matches!(rest.bytes().next(), None | Some(b';' | b',' | b' ' | b'\t'))
}

fn named(parameters: &str) -> Result<Option<Boundary>, Error> {
    let mut rest = parameters.as_bytes();
    let mut boundary = None;
    while let Some(HeaderParameter { key, value, quoted }) =
        HeaderParameter::take(&mut rest).map_err(|_| unreadable())?
    {
        if !key.eq_ignore_ascii_case(b"boundary") {
            continue;
        }
        let read = match str::from_utf8(&value) {
            Ok(value) if is_valid(value) && (quoted || !value.contains([' ', ','])) => value,
            _ => return Err(invalid()),
        };
        // Two readers must not cut the body at two different boundaries.
        if boundary.replace(Boundary(read.to_owned())).is_some() {
            return Err(malformed("the Content-Type names two boundaries: name one"));
        }
    }
    Ok(boundary)
}

fn is_valid(boundary: &str) -> bool {
    (1..=LONGEST).contains(&boundary.len())
        && boundary.bytes().all(is_allowed)
        && !boundary.ends_with(' ')
}

fn is_allowed(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn unreadable() -> Error {
    malformed(
        "the Content-Type can't be read: \
         send multipart/form-data; boundary=\"...\", with the quotes",
    )
}

fn invalid() -> Error {
    malformed(
        "the boundary is not 1 to 70 visible ASCII characters without quotes: \
         let the HTTP client set it with the form",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::error::{Blame, ErrorCode, Stage};

    fn read(value: &str) -> Option<String> {
        Boundary::from_content_type(value)
            .ok()
            .map(|boundary| boundary.0)
    }

    #[test]
    fn what_clients_send_is_read() {
        for (value, boundary) in [
            (
                "multipart/form-data; boundary=------------------------d74496d66958873e",
                "------------------------d74496d66958873e",
            ),
            (
                "multipart/form-data; boundary=----WebKitFormBoundaryAbC123",
                "----WebKitFormBoundaryAbC123",
            ),
            ("Multipart/Form-Data; BOUNDARY=aB", "aB"),
            (
                "multipart/form-data; charset=utf-8; boundary=\"a:b c=d?\"",
                "a:b c=d?",
            ),
            ("multipart/form-data;boundary=x", "x"),
            ("multipart/form-data; boundary=x; ", "x"),
            (
                "multipart/form-data; boundary = \"x\" ; charset = utf-8",
                "x",
            ),
            (
                "multipart/form-data; boundary=----=_Part_1_2.3",
                "----=_Part_1_2.3",
            ),
            ("multipart/form-data; boundary=a/b:c(d)?e", "a/b:c(d)?e"),
            ("multipart/form-data; boundary=*****", "*****"),
            ("multipart/form-data; boundary=\"a;b,c\"", "a;b,c"),
            ("multipart/form-data, boundary=x", "x"),
            ("multipart/form-data boundary=x", "x"),
            (" multipart/form-data; boundary==_x=", "=_x="),
        ] {
            assert_eq!(read(value).as_deref(), Some(boundary), "{value}");
        }
    }

    #[test]
    fn a_boundary_has_1_to_70_allowed_characters() {
        let of = |boundary: &str| read(&format!("multipart/form-data; boundary=\"{boundary}\""));
        assert!(of(&"b".repeat(70)).is_some());
        for bad in ["", &"b".repeat(71), "ends in ", "a\\b", "ä", "a\r\nb"] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_form_without_one_boundary_is_the_callers_fault() {
        for value in [
            "multipart/form-data",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; boundary=a; Boundary=a",
            "multipart/form-data; boundary=a, text/plain",
            "multipart/form-data; boundary=a b",
            "multipart/form-data; boundary",
            "multipart/form-data; boundary=\"a",
            "multipart/form-data; boundary=\"a\"b",
            "multipart/form-datax; boundary=b",
            "multipart/mixed; boundary=b",
            "",
            ";;",
        ] {
            let error = Boundary::from_content_type(value).unwrap_err();
            assert_eq!(
                (error.code(), error.blame(), error.stage()),
                (ErrorCode::MalformedMultipart, Blame::Caller, Stage::Read),
                "{value}"
            );
        }
    }
}
