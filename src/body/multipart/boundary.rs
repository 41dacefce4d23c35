//! The boundary that a request's `Content-Type` names.

use crate::body::multipart::malformed;
use crate::words::fault::Fault;

/// A boundary: 1 to 70 bytes of ASCII without CR, LF and quotes, not ending in a space
/// (RFC 2046 section 5.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Boundary(String);

impl Boundary {
    /// Reads it from the value of a `Content-Type` header field.
    ///
    /// # Errors
    /// `malformed-multipart` when the value isn't `multipart/form-data` with one valid boundary. As
    /// RFC 2045 section 5.1 has it, one with any of `(),/:=?` or a space must be quoted.
    pub fn from_content_type(value: &str) -> Result<Self, Fault> {
        let mime: mime::Mime = value.parse().map_err(|_| {
            malformed("the Content-Type can't be read: send multipart/form-data; boundary=\"...\", with the quotes")
        })?;
        if mime.essence_str() != mime::MULTIPART_FORM_DATA.essence_str() {
            return Err(malformed("the Content-Type isn't multipart/form-data"));
        }
        let mut boundaries = mime.params().filter(|(name, _)| *name == mime::BOUNDARY);
        match (boundaries.next(), boundaries.next()) {
            (Some((_, boundary)), None) if is_valid(boundary.as_str()) => Ok(Self(boundary.as_str().to_owned())),
            (Some(_), None) => Err(malformed("the boundary is not 1 to 70 of the characters that RFC 2046 section 5.1.1 allows")),
            // Two readers must not cut the body at two different boundaries.
            (Some(_), Some(_)) => Err(malformed("the Content-Type names two boundaries: name one")),
            (None, _) => Err(malformed("the Content-Type names no boundary: let the HTTP client set it with the form")),
        }
    }

    /// The boundary as the header names it, without the leading `--`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_valid(boundary: &str) -> bool {
    (1..=70).contains(&boundary.len()) && boundary.bytes().all(is_bchar) && !boundary.ends_with(' ')
}

fn is_bchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::fault::{Blame, Code, Stage};

    fn read(value: &str) -> Option<String> {
        Boundary::from_content_type(value).ok().map(|boundary| boundary.0)
    }

    #[test]
    fn what_clients_send_is_read() {
        for (value, boundary) in [
            (
                "multipart/form-data; boundary=------------------------d74496d66958873e",
                "------------------------d74496d66958873e",
            ),
            ("multipart/form-data; boundary=----WebKitFormBoundaryAbC123", "----WebKitFormBoundaryAbC123"),
            ("Multipart/Form-Data; BOUNDARY=aB", "aB"),
            ("multipart/form-data; charset=utf-8; boundary=\"a:b c=d?\"", "a:b c=d?"),
            ("multipart/form-data;boundary=x", "x"),
        ] {
            assert_eq!(read(value).as_deref(), Some(boundary), "{value}");
        }
    }

    #[test]
    fn a_boundary_has_1_to_70_allowed_characters() {
        let of = |boundary: &str| read(&format!("multipart/form-data; boundary=\"{boundary}\""));
        assert!(of(&"b".repeat(70)).is_some());
        for bad in ["", &"b".repeat(71), "ends in ", "a*b", "a\\b", "ä", "a\r\nb"] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_form_without_one_boundary_is_the_callers_fault() {
        for value in
            ["multipart/form-data", "multipart/form-data; boundary=a; boundary=b", "multipart/mixed; boundary=b", "", ";;"]
        {
            let fault = Boundary::from_content_type(value).unwrap_err();
            assert_eq!(
                (fault.code(), fault.blame(), fault.stage()),
                (Code::MalformedMultipart, Blame::Caller, Stage::Read),
                "{value}"
            );
        }
    }
}
