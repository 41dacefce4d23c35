//! Parameters of a header field's value: `; key=value; key="value"` (RFC 2045 section 5.1), as
//! deployed clients write them.
//!
//! Written here, as crates for it take text, not bytes, undo every backslash (`C:\dir\file` would
//! suffer), or refuse what has one meaning all the same: blanks around `=`, and `=`, `/` or `:` in
//! a value without quotes.

use std::borrow::Cow;

/// One parameter.
#[derive(Debug)]
pub(super) struct HeaderParameter<'v> {
    /// In the case that was sent.
    pub key: &'v [u8],
    /// Without its quotes.
    pub value: Cow<'v, [u8]>,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// Why parameters are ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidParameters {
    /// A key without a value, or a quote that is never closed.
    Incomplete,
    /// Something follows a closing quote: most likely the quote was meant as a part of the value.
    QuoteInside,
}

impl<'v> HeaderParameter<'v> {
    /// The next one, taken off `rest`, or `None` at its end.
    ///
    /// # Errors
    /// What two readers could read differently.
    pub(super) fn take(rest: &mut &'v [u8]) -> Result<Option<Self>, InvalidParameters> {
        while let [b';' | b' ' | b'\t', further @ ..] = *rest {
            *rest = further;
        }
        if rest.is_empty() {
            return Ok(None);
        }
        let key_end = memchr::memchr2(b'=', b';', rest)
            .filter(|&end| rest[end] == b'=')
            .ok_or(InvalidParameters::Incomplete)?;
        let key = rest[..key_end].trim_ascii();
        *rest = rest[key_end + 1..].trim_ascii_start();
        let (value, quoted) = match rest.strip_prefix(b"\"") {
            Some(quoted) => (Cow::Owned(unquote(quoted, rest)?), true),
            None => (Cow::Borrowed(bare(rest)), false),
        };
        Ok(Some(Self { key, value, quoted }))
    }
}

/// A value without quotes around it. Within it they may stand: `filename*=utf-8''"a;b.jpg"`.
fn bare<'v>(rest: &mut &'v [u8]) -> &'v [u8] {
    let mut within = false;
    let outside = rest.iter().position(|&byte| {
        within ^= byte == b'"';
        byte == b';' && !within
    });
    let end = if within {
        memchr::memchr(b';', rest)
    } else {
        outside
    }
    .unwrap_or(rest.len());
    let (value, further) = rest.split_at(end);
    *rest = further;
    value.trim_ascii()
}

/// Undoes a backslash only in front of `"` and `\`: old clients send Windows paths as they are.
fn unquote<'v>(mut quoted: &'v [u8], rest: &mut &'v [u8]) -> Result<Vec<u8>, InvalidParameters> {
    let mut value = Vec::new();
    loop {
        quoted = match *quoted {
            [b'\\', byte @ (b'"' | b'\\'), ref further @ ..]
            | [byte @ 0..=b'!' | byte @ b'#'.., ref further @ ..] => {
                value.push(byte);
                further
            }
            [b'"', ref further @ ..] => {
                *rest = further.trim_ascii_start();
                return if matches!(rest.first(), None | Some(b';')) {
                    Ok(value)
                } else {
                    Err(InvalidParameters::QuoteInside)
                };
            }
            [] => return Err(InvalidParameters::Incomplete),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut value: &str) -> Result<Vec<(String, String)>, InvalidParameters> {
        let mut rest = std::mem::take(&mut value).as_bytes();
        let mut read = Vec::new();
        while let Some(HeaderParameter { key, value, .. }) = HeaderParameter::take(&mut rest)? {
            read.push((
                String::from_utf8_lossy(key).into(),
                String::from_utf8_lossy(&value).into(),
            ));
        }
        Ok(read)
    }

    #[test]
    fn parameters_are_read_however_they_are_spaced() {
        for value in [
            "a=b;c=d",
            "; a = b ; c = d;",
            ";; a=\"b\" ;c= \"d\"",
            "a=b;\tc=d ; ",
        ] {
            assert_eq!(
                read(value).unwrap(),
                [("a".into(), "b".into()), ("c".into(), "d".into())],
                "{value}"
            );
        }
        assert_eq!(read("a=x''\"b;c\"; d=e").unwrap()[0].1, "x''\"b;c\"");
        assert_eq!(read("a=b\"c; d=e").unwrap()[0].1, "b\"c");
    }

    #[test]
    fn what_cant_be_told_apart_says_why() {
        for value in ["a", "a;b=c", "a=\"b", "a=\"b\\\""] {
            assert_eq!(read(value), Err(InvalidParameters::Incomplete), "{value}");
        }
        for value in ["a=\"b\"c\"", "a=\"b\" c", "a=\"b\"\"c\""] {
            assert_eq!(read(value), Err(InvalidParameters::QuoteInside), "{value}");
        }
    }
}
