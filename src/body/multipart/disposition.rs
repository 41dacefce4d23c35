//! `Content-Disposition` of a form's part (RFC 7578 section 4.2, RFC 6266, RFC 8187).
//!
//! Written here, as crates for it take text, not bytes, or undo every backslash: raw UTF-8 and
//! `C:\dir\file` would suffer.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::body::multipart::head::set_once;
use crate::body::multipart::malformed;
use crate::words::fault::Fault;

/// The names that a part gives, decoded. Its type is not looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    pub name: Option<String>,
    pub file_name: Option<String>,
}

/// The file name in a request's own `Content-Disposition`. None where there is none that can be read.
pub fn file_name(value: &[u8]) -> Option<String> {
    Disposition::parse(value).ok()?.file_name.filter(|name| !name.is_empty())
}

/// One name, plain and extended (RFC 8187).
#[derive(Default)]
struct Given<'v> {
    plain: Option<Cow<'v, [u8]>>,
    extended: Option<Cow<'v, [u8]>>,
}

impl Disposition {
    /// # Errors
    /// `malformed-multipart` when the parameters can't be told apart, or one is given twice.
    pub fn parse(value: &[u8]) -> Result<Self, Fault> {
        let (mut name, mut file_name) = (Given::default(), Given::default());
        let type_end = memchr::memchr(b';', value).unwrap_or(value.len());
        let mut rest = &value[type_end..];
        while let Some(Parameter { key, value }) = Parameter::take(&mut rest)? {
            match key.to_ascii_lowercase().as_slice() {
                b"name" => set_once(&mut name.plain, value, "name")?,
                b"name*" => set_once(&mut name.extended, value, "name*")?,
                b"filename" => set_once(&mut file_name.plain, value, "filename")?,
                b"filename*" => set_once(&mut file_name.extended, value, "filename*")?,
                _ => {}
            }
        }
        Ok(Self { name: name.decoded(), file_name: file_name.decoded() })
    }
}

impl Given<'_> {
    /// The extended value where it can be read, else the plain one, else an empty one: that a name
    /// was given is known even when the name isn't.
    fn decoded(&self) -> Option<String> {
        let extended = self.extended.as_deref();
        extended
            .and_then(decode_extended)
            .or_else(|| self.plain.as_deref().map(decode_plain))
            .or_else(|| extended.map(|_| String::new()))
    }
}

struct Parameter<'v> {
    key: &'v [u8],
    value: Cow<'v, [u8]>,
}

impl<'v> Parameter<'v> {
    /// The next one, taken off `rest`.
    fn take(rest: &mut &'v [u8]) -> Result<Option<Self>, Fault> {
        while let [b';' | b' ' | b'\t', further @ ..] = *rest {
            *rest = further;
        }
        if rest.is_empty() {
            return Ok(None);
        }
        let key_end = memchr::memchr2(b'=', b';', rest).filter(|&end| rest[end] == b'=').ok_or_else(unreadable)?;
        let key = rest[..key_end].trim_ascii();
        *rest = rest[key_end + 1..].trim_ascii_start();
        let value = match rest.strip_prefix(b"\"") {
            Some(quoted) => Cow::Owned(unquote(quoted, rest)?),
            None => Cow::Borrowed(up_to_semicolon(rest)),
        };
        Ok(Some(Self { key, value }))
    }
}

fn up_to_semicolon<'v>(rest: &mut &'v [u8]) -> &'v [u8] {
    let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
    let (value, further) = rest.split_at(end);
    *rest = further;
    value.trim_ascii()
}

/// Undoes a backslash only in front of `"` and `\`: old clients send Windows paths as they are.
fn unquote<'v>(mut quoted: &'v [u8], rest: &mut &'v [u8]) -> Result<Vec<u8>, Fault> {
    let mut value = Vec::new();
    loop {
        quoted = match *quoted {
            [b'\\', byte @ (b'"' | b'\\'), ref further @ ..] | [byte @ 0..=b'!' | byte @ b'#'.., ref further @ ..] => {
                value.push(byte);
                further
            }
            [b'"', ref further @ ..] => {
                *rest = further.trim_ascii_start();
                return if matches!(rest.first(), None | Some(b';')) { Ok(value) } else { Err(unreadable()) };
            }
            [] => return Err(unreadable()),
        };
    }
}

/// UTF-8 as browsers send it, with the three bytes that they escape (WHATWG HTML, "multipart form
/// data"). What isn't UTF-8 becomes U+FFFD: a guessed charset would be mojibake half of the time.
fn decode_plain(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    if !text.contains('%') {
        return text.into_owned();
    }
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// `charset'language'percent-encoded` (RFC 8187 section 3.2); `None` when it is something else.
fn decode_extended(value: &[u8]) -> Option<String> {
    let mut pieces = value.splitn(3, |&byte| byte == b'\'');
    let (charset, _language, encoded) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let bytes = Cow::from(percent_decode(encoded));
    if charset.eq_ignore_ascii_case(b"utf-8") {
        String::from_utf8(bytes.into_owned()).ok()
    } else if charset.eq_ignore_ascii_case(b"iso-8859-1") {
        Some(bytes.iter().copied().map(char::from).collect())
    } else {
        None
    }
}

fn unreadable() -> Fault {
    malformed("a part's Content-Disposition can't be read: send form-data; name=\"...\"; filename=\"...\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_name(parameters: &[u8]) -> Option<String> {
        Disposition::parse(&[b"form-data; name=\"file\"; ", parameters].concat()).unwrap().file_name
    }

    #[test]
    fn names_are_read_as_clients_write_them() {
        for (sent, read) in [
            (r#"filename="a.txt""#, "a.txt"),
            (r#"filename=a.txt"#, "a.txt"),
            (r#"FileName = "a.txt" ; size=3;"#, "a.txt"),
            (r#"filename="""#, ""),
            (r#"filename="#, ""),
            (r#"filename="a;b=c.txt""#, "a;b=c.txt"),
            (r#"filename="say \"hi\".txt""#, "say \"hi\".txt"),
            (r#"filename="say %22hi%22.txt""#, "say \"hi\".txt"),
            (r#"filename="a%0D%0Ab""#, "a\r\nb"),
            (r#"filename="100%25 %C3.txt""#, "100%25 %C3.txt"),
            (r#"filename="C:\dir\file.txt""#, r"C:\dir\file.txt"),
            (r#"filename="naïve – 日本語.png""#, "naïve – 日本語.png"),
        ] {
            assert_eq!(file_name(sent.as_bytes()).as_deref(), Some(read), "{sent}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_replaced_not_guessed() {
        assert_eq!(file_name(b"filename=\"caf\xe9.pdf\"").as_deref(), Some("caf\u{fffd}.pdf"));
    }

    #[test]
    fn the_extended_name_wins_where_it_can_be_read() {
        for (sent, read) in [
            (r#"filename="x"; filename*=UTF-8''%E2%82%AC%20rates.txt"#, "€ rates.txt"),
            (r#"filename*=utf-8'en'caf%C3%A9; filename="x""#, "café"),
            (r#"filename*="UTF-8''caf%C3%A9""#, "café"),
            (r#"filename*=ISO-8859-1''caf%E9"#, "café"),
            (r#"filename="x"; filename*=UTF-8''%FF"#, "x"),
            (r#"filename="x"; filename*=KOI8-R''%FF"#, "x"),
            (r#"filename*=no-quotes"#, ""),
        ] {
            assert_eq!(file_name(sent.as_bytes()).as_deref(), Some(read), "{sent}");
        }
    }

    #[test]
    fn a_field_has_no_file_name() {
        assert_eq!(file_name(b""), None);
        assert_eq!(Disposition::parse(b"form-data").unwrap(), Disposition::default());
        assert_eq!(Disposition::parse(b"").unwrap(), Disposition::default());
    }

    #[test]
    fn what_two_readers_may_read_differently_is_refused() {
        for bad in [r#"filename="open"#, r#"filename="open\""#, r#"filename="a"b""#, "filename", "filename=a; filename=b"] {
            assert!(Disposition::parse(format!("form-data; {bad}").as_bytes()).is_err(), "{bad}");
        }
    }
}
