//! `Content-Disposition` of a form's part (RFC 7578 section 4.2, RFC 6266, RFC 8187).

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::body::multipart::continued::ContinuedName;
use crate::body::multipart::malformed::{malformed, set_once};
use crate::body::multipart::parameters::{HeaderParameter, InvalidParameters};
use crate::media::charset;
use crate::types::error::Error;

/// The names that a part gives, decoded. Its type is not looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PartDisposition {
    pub name: Option<String>,
    pub file_name: Option<String>,
}

/// The file name in a request's own `Content-Disposition`. None where there is none that can be
/// read.
pub fn file_name(value: &[u8]) -> Option<String> {
    let name = PartDisposition::parse(value).ok()?.file_name?;
    (!name.is_empty()).then_some(name)
}

/// One name, plain and extended (RFC 8187).
#[derive(Default)]
struct NameForms<'v> {
    plain: Option<Cow<'v, [u8]>>,
    extended: Option<Cow<'v, [u8]>>,
}

impl PartDisposition {
    /// # Errors
    /// `malformed-multipart` when the parameters are ambiguous, or one is given twice.
    pub(super) fn parse(value: &[u8]) -> Result<Self, Error> {
        let mut name = NameForms::default();
        let mut file_name = NameForms::default();
        let mut pieces = ContinuedName::default();
        let type_end = memchr::memchr(b';', value).unwrap_or(value.len());
        let mut rest = &value[type_end..];
        while let Some(HeaderParameter { key, value, .. }) =
            HeaderParameter::take(&mut rest).map_err(unreadable)?
        {
            match key.to_ascii_lowercase().as_slice() {
                b"name" => set_once(&mut name.plain, value, "name")?,
                b"name*" => set_once(&mut name.extended, value, "name*")?,
                b"filename" => set_once(&mut file_name.plain, value, "filename")?,
                b"filename*" => set_once(&mut file_name.extended, value, "filename*")?,
                lower => {
                    if let Some(place) = lower.strip_prefix(b"filename") {
                        pieces.take(place, value)?;
                    }
                }
            }
        }
        Ok(Self {
            name: name.decoded(),
            file_name: match pieces.joined() {
                Some(joined) => Some(joined),
                None => file_name.decoded(),
            },
        })
    }
}

impl NameForms<'_> {
    /// The extended value where it can be read, else the plain one, else an empty one: that a name
    /// was given is known even when the name isn't.
    fn decoded(&self) -> Option<String> {
        let extended = self.extended.as_deref();
        if let Some(name) = extended.and_then(decode_extended) {
            return Some(name);
        }
        match &self.plain {
            Some(plain) => Some(decode_plain(plain)),
            None if extended.is_some() => Some(String::new()),
            None => None,
        }
    }
}

/// What was meant by a plain name: raw, with the three bytes escaped that browsers escape (WHATWG
/// HTML, "multipart form data"), or percent-encoded as a whole, as RFC 7578 section 4.2 lets a
/// client do (aiohttp, needle, HttpClient 5).
fn decode_plain(value: &[u8]) -> String {
    let text = charset::decode(value);
    if !text.contains('%') {
        return text.into_owned();
    }
    match decode_all(&text) {
        Some(name) => name,
        None => text
            .replace("%22", "\"")
            .replace("%0D", "\r")
            .replace("%0A", "\n"),
    }
}

/// The name of a client that encodes all but a few characters: it leaves no blank and nothing
/// beyond ASCII, and what it encodes is UTF-8. `50% off.jpg` is no such name.
fn decode_all(text: &str) -> Option<String> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    for escape in text.split('%').skip(1) {
        let digits = escape.as_bytes().first_chunk::<2>()?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
    }
    let decoded = percent_decode(text.as_bytes()).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// `charset'language'percent-encoded` (RFC 8187 section 3.2), also with the last in quotes, as
/// Symfony and .NET code has sent it; `None` when it is something else.
fn decode_extended(value: &[u8]) -> Option<String> {
    let mut pieces = value.splitn(3, |&byte| byte == b'\'');
    let charset = pieces.next()?;
    let _language = pieces.next()?;
    let encoded = pieces.next()?;
    let name = charset::decode_as(charset, &Cow::from(percent_decode(encoded)))?;
    if let Some(rest) = name.strip_prefix('"')
        && let Some(unquoted) = rest.strip_suffix('"')
    {
        return Some(unquoted.to_owned());
    }
    Some(name)
}

fn unreadable(why: InvalidParameters) -> Error {
    malformed(match why {
        InvalidParameters::Incomplete => {
            "a part's Content-Disposition can't be read: \
             send form-data; name=\"...\"; filename=\"...\""
        }
        InvalidParameters::QuoteInside => {
            "a quote within a name in a part's Content-Disposition isn't escaped: send it as %22"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_name(parameters: &[u8]) -> Option<String> {
        PartDisposition::parse(&[b"form-data; name=\"file\"; ", parameters].concat())
            .unwrap()
            .file_name
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
    fn a_name_beyond_utf_8_is_windows_1252() {
        assert_eq!(
            file_name(b"filename=\"caf\xe9.pdf\"").as_deref(),
            Some("café.pdf")
        );
        assert_eq!(
            file_name(b"filename=na\xefve\x80.pdf").as_deref(),
            Some("naïve€.pdf")
        );
    }

    #[test]
    fn a_fully_percent_encoded_name_is_decoded() {
        for (sent, read) in [
            ("my%20photo.jpg", "my photo.jpg"),
            ("%E5%9B%BE%20%E7%89%87.jpg", "图 片.jpg"),
            ("a%2Bb%25.jpg", "a+b%.jpg"),
            ("it's%20(1)!~*.jpg", "it's (1)!~*.jpg"),
            ("50% off.jpg", "50% off.jpg"),
            ("100%.jpg", "100%.jpg"),
            ("50%off.jpg", "50%off.jpg"),
            ("100%25 %C3.txt", "100%25 %C3.txt"),
            ("%C3.txt", "%C3.txt"),
            ("50%25é.txt", "50%25é.txt"),
            ("%", "%"),
        ] {
            assert_eq!(
                file_name(format!("filename=\"{sent}\"").as_bytes()).as_deref(),
                Some(read),
                "{sent}"
            );
        }
    }

    #[test]
    fn the_extended_name_wins_where_it_can_be_read() {
        for (sent, read) in [
            (
                r#"filename="x"; filename*=UTF-8''%E2%82%AC%20rates.txt"#,
                "€ rates.txt",
            ),
            (r#"filename*=utf-8'en'caf%C3%A9; filename="x""#, "café"),
            (r#"filename*="UTF-8''caf%C3%A9""#, "café"),
            (r#"filename*=ISO-8859-1''caf%E9"#, "café"),
            (r#"filename*=utf-8''"%E4%B8%AD%E6%96%87.jpg""#, "中文.jpg"),
            (
                r#"filename*=utf-8''%22%E4%B8%AD%E6%96%87.jpg%22"#,
                "中文.jpg",
            ),
            (r#"filename*=utf-8''"a;b.jpg"; size=3"#, "a;b.jpg"),
            (r#"filename*=utf-8''中文.jpg"#, "中文.jpg"),
            (r#"filename="x"; filename*=KOI8-R''%C6"#, "ф"),
            (r#"filename="x"; filename*=UTF-8''%FF"#, "x"),
            (
                r#"filename*0*=utf-8''%E4%B8; filename="x"; filename*1*=%AD; FILENAME*2=" a.jpg""#,
                "中 a.jpg",
            ),
            (r#"filename="x"; filename*1="lost.jpg""#, "x"),
            (r#"filename="x"; filename*=NO-SUCH''%FF"#, "x"),
            (r#"filename*=no-quotes"#, ""),
        ] {
            assert_eq!(file_name(sent.as_bytes()).as_deref(), Some(read), "{sent}");
        }
    }

    #[test]
    fn a_field_has_no_file_name() {
        assert_eq!(file_name(b""), None);
        assert_eq!(
            PartDisposition::parse(b"form-data").unwrap(),
            PartDisposition::default()
        );
        assert_eq!(
            PartDisposition::parse(b"").unwrap(),
            PartDisposition::default()
        );
    }

    #[test]
    fn what_two_readers_may_read_differently_is_refused() {
        for bad in [
            r#"filename="open"#,
            r#"filename="open\""#,
            r#"filename="a"b""#,
            "filename",
            "filename=a; filename=b",
        ] {
            assert!(
                PartDisposition::parse(format!("form-data; {bad}").as_bytes()).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_unescaped_quote_is_told_as_one() {
        for bad in [
            r#"filename="a"b.jpg""#,
            r#"filename="5" screen.jpg""#,
            r#"name="fi"le"; filename="a.jpg""#,
        ] {
            let error = PartDisposition::parse(format!("form-data; {bad}").as_bytes()).unwrap_err();
            assert!(
                error.detail().contains("quote within a name"),
                "{bad}: {}",
                error.detail()
            );
        }
    }
}
