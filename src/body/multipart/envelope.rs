//! Forms that call themselves something else: `curl -F` with a `Content-Type` of its own, a
//! misspelt one, an `application/x-www-form-urlencoded` that a library puts on everything.

use crate::body::multipart::boundary::{Boundary, LONGEST};
use crate::body::multipart::malformed::malformed;
use crate::types::error::Error;

/// Most bytes of a form's first line: hyphens, boundary, a few blanks.
const LONGEST_LINE: usize = 2 + LONGEST + 64;

/// The boundary of the form that `head`, a body's first bytes, begins under another type; `None`
/// where it is no form.
///
/// A form begins with `--` and a boundary, a line each for header fields, and among them
/// `Content-Disposition: form-data`. A look at text that begins so is a look at an envelope: the
/// file is what is in it.
///
/// # Errors
/// `malformed-multipart` for a form whose declared type names another boundary, and for what
/// declares itself an envelope of another kind (`multipart/related`).
pub fn form_inside(head: &[u8], content_type: Option<&str>) -> Result<Option<Boundary>, Error> {
    if !head.trim_ascii_start().starts_with(b"--") {
        return Ok(None);
    }
    let declared = content_type.unwrap_or_default();
    let is_multipart = begins(declared.trim_start().as_bytes(), b"multipart/");
    match first_line(head.trim_ascii_start()) {
        Some(boundary)
            if is_multipart
                && Boundary::of_parameters(declared)?.is_some_and(|named| named != boundary) =>
        {
            Err(malformed(
                "the body begins as a form with another boundary than its Content-Type names",
            ))
        }
        Some(boundary) => Ok(Some(boundary)),
        None if is_multipart => Err(malformed(
            "the body is an envelope that isn't multipart/form-data: send that, or the file alone",
        )),
        None => Ok(None),
    }
}

/// The boundary on the first line, if what follows it is the head of a form's part.
fn first_line(head: &[u8]) -> Option<Boundary> {
    let mut lines = head
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next()?;
    if line.len() > LONGEST_LINE {
        return None;
    }
    let boundary = Boundary::from_line(line.strip_prefix(b"--")?)?;
    for line in lines {
        if line.is_empty() {
            return None;
        }
        let (name, value) = field(line)?;
        if is_form_data(name, value) {
            return Some(boundary);
        }
    }
    None
}

/// A header field, or what a folded one goes on with. The last one may be cut.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Some((b"", line));
    }
    let (name, value) = line.split_at(memchr::memchr(b':', line)?);
    let is_token = name
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    (is_token && !name.is_empty()).then_some((name, &value[1..]))
}

fn is_form_data(name: &[u8], value: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-disposition")
        && begins(value.trim_ascii_start(), b"form-data")
}

/// Whether a text begins with a word, in any case.
fn begins(text: &[u8], word: &[u8]) -> bool {
    match text.get(..word.len()) {
        Some(start) => start.eq_ignore_ascii_case(word),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(head: &str, content_type: &str) -> Result<Option<String>, String> {
        let found = form_inside(
            head.as_bytes(),
            Some(content_type).filter(|value| !value.is_empty()),
        );
        found
            .map(|found| found.map(|boundary| boundary.as_str().to_owned()))
            .map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn a_form_is_known_whatever_it_calls_itself() {
        for head in [
            "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n",
            "\r\n--x\r\ncontent-disposition:form-data",
            "--x \r\nContent-Type: image/jpeg;\r\n name=a\r\n\
             Content-Disposition: Form-Data; name=a\r\n\r\n",
            "--x\nContent-Disposition: form-data; name=a\n\n",
        ] {
            for declared in [
                "",
                "image/jpeg",
                "application/x-www-form-urlencoded",
                "multipart/related; boundary=x",
                "multipart/mixed",
            ] {
                assert_eq!(
                    inside(head, declared),
                    Ok(Some("x".into())),
                    "{head:?} as {declared}"
                );
            }
        }
    }

    #[test]
    fn text_that_begins_with_hyphens_is_no_form() {
        for head in [
            "",
            "-",
            "--",
            "-- a comment in SQL\nSELECT 1;\n",
            "---\ntitle: front matter\n---\n",
            "-----BEGIN CERTIFICATE-----\nMIIB\n",
            "--x\r\n\r\nContent-Disposition: form-data\r\n",
            "--x\r\nContent-Disposition: attachment\r\n\r\n",
            "--x\r\nno field\r\nContent-Disposition: form-data\r\n",
            "a\r\n--x\r\nContent-Disposition: form-data\r\n\r\n",
        ] {
            assert_eq!(inside(head, "text/plain"), Ok(None), "{head:?}");
        }
    }

    #[test]
    fn an_envelope_that_is_no_certain_form_is_refused() {
        let form = "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n";
        assert!(
            inside(form, "multipart/related; boundary=y")
                .unwrap_err()
                .contains("another boundary")
        );
        assert!(
            inside(form, "multipart/related; boundary=x; boundary=x")
                .unwrap_err()
                .contains("two boundaries")
        );
        let related = "--x\r\nContent-Type: application/json\r\n\r\n{}\r\n--x\r\n\
                       Content-Type: image/jpeg\r\n\r\n";
        assert!(
            inside(related, "multipart/related; boundary=x")
                .unwrap_err()
                .contains("envelope")
        );
        assert_eq!(inside("PK\x03\x04", "multipart/x-zip"), Ok(None));
    }
}
