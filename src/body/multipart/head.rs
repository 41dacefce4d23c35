//! A part's head: its header fields up to the blank line.

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Header, Status};
use memchr::memmem;

use crate::body::multipart::disposition::PartDisposition;
use crate::body::multipart::malformed::{bare_line_feed, malformed, set_once};
use crate::types::error::Error;

/// Most header fields of one part. Real ones have two or three.
const FIELDS_LIMIT: usize = 64;

/// What a part says of itself. Nothing of it is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartHead {
    /// The form field's name.
    pub name: Option<String>,
    /// The file's name as sent, with any path; may be empty. That there is one makes it a file.
    pub file_name: Option<String>,
    /// `Content-Type` as sent.
    pub content_type: Option<String>,
    /// `Content-Length` in bytes. RFC 7578 doesn't know it, some clients send it.
    pub content_length: Option<u64>,
    /// `Content-Transfer-Encoding` as sent. Deprecated by RFC 7578 section 4.7.
    pub transfer_encoding: Option<String>,
}

impl PartHead {
    /// Reads a whole head, with its blank line.
    pub(super) fn parse(head: &[u8]) -> Result<Self, Error> {
        let head = unfold(head);
        let mut fields = [EMPTY_HEADER; FIELDS_LIMIT];
        let fields = match httparse::parse_headers(&head, &mut fields) {
            // httparse also takes a bare LF for a line's end, and so may see a blank line earlier.
            Ok(Status::Complete((end, fields)))
                if end == head.len() && !has_bare_line_feed(&head) =>
            {
                fields
            }
            Err(httparse::Error::TooManyHeaders) => {
                return Err(malformed(
                    "a part has more than 64 header fields: send fewer",
                ));
            }
            _ if has_bare_line_feed(&head) => return Err(bare_line_feed()),
            _ => {
                return Err(malformed(
                    "a part's header fields can't be read: send name, colon and value, a line each",
                ));
            }
        };
        let mut head = Self::default();
        let mut disposition = None;
        for field in fields {
            head.take(field, &mut disposition)?;
        }
        let disposition = match disposition {
            Some(value) => PartDisposition::parse(value)?,
            None => PartDisposition::default(),
        };
        Ok(Self {
            name: disposition.name,
            file_name: disposition.file_name,
            ..head
        })
    }

    fn take<'v>(
        &mut self,
        field: &Header<'v>,
        disposition: &mut Option<&'v [u8]>,
    ) -> Result<(), Error> {
        match field.name.to_ascii_lowercase().as_str() {
            "content-disposition" => set_once(disposition, field.value, "Content-Disposition"),
            "content-type" => set_once(&mut self.content_type, text(field.value), "Content-Type"),
            "content-length" => set_once(
                &mut self.content_length,
                number(field.value)?,
                "Content-Length",
            ),
            "content-transfer-encoding" => set_once(
                &mut self.transfer_encoding,
                text(field.value),
                "Content-Transfer-Encoding",
            ),
            _ => Ok(()),
        }
    }
}

/// Puts a field that mail libraries have written in several lines into one (RFC 5322 section
/// 2.2.3).
fn unfold(head: &[u8]) -> Cow<'_, [u8]> {
    let folds = |at: &usize| matches!(head.get(at + 2), Some(b' ' | b'\t'));
    if !memmem::find_iter(head, b"\r\n").any(|at| folds(&at)) {
        return Cow::Borrowed(head);
    }
    let mut unfolded = Vec::with_capacity(head.len());
    let mut from = 0;
    for at in memmem::find_iter(head, b"\r\n").filter(folds) {
        unfolded.extend_from_slice(&head[from..at]);
        from = at + 2;
    }
    unfolded.extend_from_slice(&head[from..]);
    Cow::Owned(unfolded)
}

/// Whether a line ends without a CR.
pub(super) fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

/// Where the head ends, when all of `head` but its first `known` bytes is new.
pub(super) fn end(head: &[u8], known: usize) -> Option<usize> {
    if head.starts_with(b"\r\n") {
        return Some(2);
    }
    let from = known.saturating_sub(3);
    let found = memmem::find(&head[from..], b"\r\n\r\n")?;
    Some(from + found + 4)
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.trim_ascii()).into_owned()
}

fn number(value: &[u8]) -> Result<u64, Error> {
    // `parse` alone would take a sign.
    if let Ok(digits) = str::from_utf8(value.trim_ascii())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = digits.parse()
    {
        return Ok(number);
    }
    Err(malformed(
        "a part's Content-Length isn't a number of bytes: correct it or leave it out",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_tells_what_it_is() {
        let head = b"content-disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\
                     Content-Type: image/png\r\n\
                     CONTENT-LENGTH: 12\r\nContent-Transfer-Encoding: binary\r\nX-Other: 1\r\n\r\n";
        let expected = PartHead {
            name: Some("file".into()),
            file_name: Some("a.png".into()),
            content_type: Some("image/png".into()),
            content_length: Some(12),
            transfer_encoding: Some("binary".into()),
        };
        assert_eq!(PartHead::parse(head).unwrap(), expected);
    }

    #[test]
    fn a_part_may_say_nothing() {
        assert_eq!(PartHead::parse(b"\r\n").unwrap(), PartHead::default());
    }

    #[test]
    fn one_field_given_twice_must_agree() {
        let parse = |a, b| {
            PartHead::parse(
                format!("Content-Length: {a}\r\nContent-Length: {b}\r\n\r\n").as_bytes(),
            )
        };
        assert_eq!(parse("7", "7").unwrap().content_length, Some(7));
        assert!(
            parse("7", "8")
                .unwrap_err()
                .detail()
                .contains("Content-Length twice")
        );
        let names = b"Content-Disposition: form-data; name=a\r\n\
                      Content-Disposition: form-data; name=b\r\n\r\n";
        assert!(PartHead::parse(names).is_err());
    }

    #[test]
    fn a_length_is_a_plain_number() {
        for bad in [
            "",
            "+7",
            "-7",
            "7 bytes",
            "7, 7",
            "0x7",
            "99999999999999999999",
        ] {
            assert!(
                PartHead::parse(format!("Content-Length: {bad}\r\n\r\n").as_bytes()).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_head_has_at_most_64_fields() {
        let head = |fields: usize| format!("{}\r\n", "X: y\r\n".repeat(fields));
        assert!(PartHead::parse(head(64).as_bytes()).is_ok());
        assert!(
            PartHead::parse(head(65).as_bytes())
                .unwrap_err()
                .detail()
                .contains("64")
        );
    }

    #[test]
    fn lines_that_are_no_header_fields_are_refused() {
        for bad in [
            "no colon\r\n\r\n",
            ": no name\r\n\r\n",
            " A: b\r\n\r\n",
            "A: \0\r\n\r\n",
        ] {
            assert!(
                PartHead::parse(bad.as_bytes())
                    .unwrap_err()
                    .detail()
                    .contains("can't be read"),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn fields_in_several_lines_are_read_as_one() {
        let expected = PartHead {
            name: Some("file".into()),
            file_name: Some("a long name.png".into()),
            content_type: Some("image/png; name=x".into()),
            ..PartHead::default()
        };
        for head in [
            "Content-Disposition: form-data; name=file;\r\n filename=\"a long name.png\"\r\n\
             Content-Type: image/png; name=x",
            "Content-Type: image/png;\r\n\tname=x\r\nContent-Disposition:\r\n form-data;\r\n\
             \t name=file;\r\n filename=\"a long\r\n name.png\"",
            "Content-Disposition: form-data; name=file; filename=\"a long name.png\"\r\n \r\n\
             Content-Type:\r\n image/png; name=x",
        ] {
            let mut read = PartHead::parse(format!("{head}\r\n\r\n").as_bytes()).unwrap();
            read.content_type = read
                .content_type
                .map(|value| value.replace(";\tname", "; name"));
            assert_eq!(read, expected, "{head}");
        }
    }

    #[test]
    fn bare_line_feeds_are_told_as_such() {
        for bad in [
            "A: b\n\nC: d\r\n\r\n",
            "A: b\nC: d\r\n\r\n",
            "A: b\n folded\r\n\r\n",
        ] {
            assert!(
                PartHead::parse(bad.as_bytes())
                    .unwrap_err()
                    .detail()
                    .contains("bare line feeds"),
                "{bad:?}"
            );
        }
    }
}
