//! Character sets: the one that a text has, and text out of bytes whose set is unknown.

use std::borrow::Cow;

use encoding_rs::{Encoding, WINDOWS_1252};

/// The text in these bytes: UTF-8, or else Windows-1252, which has a character for every byte and
/// so never gives U+FFFD.
///
/// For what came without a word on its character set: names in queries and in forms. Where it isn't
/// UTF-8, programs of western systems have sent it, and for others no guess is better.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// The text in bytes of the character set with this label, such as `iso-8859-1`; `None` where
/// nobody knows the label, or the bytes aren't of that set.
pub fn decode_as(label: &[u8], bytes: &[u8]) -> Option<String> {
    let encoding = Encoding::for_label(label)?;
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    Some(text.into_owned())
}

/// What the bytes of a text show of its character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CharsetEvidence {
    /// Nothing: it is ASCII as far as it is seen, or no text at all.
    Nothing,
    /// This one, by its mark or by bytes that hardly anything else has.
    Set(&'static str),
    /// Another than UTF-8.
    NotUtf8,
}

impl CharsetEvidence {
    /// The one for clients that show the text: what is seen, else what was declared unless that is
    /// plainly wrong.
    pub(super) fn or_declared(self, declared: Option<&str>) -> Option<Cow<'static, str>> {
        if let Self::Set(seen) = self {
            return Some(Cow::Borrowed(seen));
        }
        let label = declared?;
        let encoding = Encoding::for_label(label.as_bytes())?;
        if self == Self::NotUtf8 && encoding == encoding_rs::UTF_8 {
            return None;
        }
        Some(Cow::Owned(label.trim().to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_no_known_set_are_western_ones() {
        assert_eq!(decode("für – 写真".as_bytes()), "für – 写真");
        assert_eq!(decode(b"caf\xe9 \x80\x96.pdf"), "café €–.pdf");
        assert!(!decode(&(0..=255).collect::<Vec<u8>>()).contains('\u{fffd}'));
    }

    #[test]
    fn a_named_set_is_used_or_bytes_refused() {
        assert_eq!(decode_as(b"UTF-8", "é".as_bytes()).as_deref(), Some("é"));
        assert_eq!(decode_as(b"iso-8859-1", b"\xe9").as_deref(), Some("é"));
        assert_eq!(decode_as(b"Shift_JIS", b"\x8e\xca").as_deref(), Some("写"));
        assert_eq!(decode_as(b"utf-8", b"\xe9"), None);
        assert_eq!(decode_as(b"nonsense", b"e"), None);
    }

    #[test]
    fn what_is_seen_goes_before_what_was_declared() {
        let told =
            |seen: CharsetEvidence, declared| seen.or_declared(declared).map(Cow::into_owned);
        assert_eq!(
            told(CharsetEvidence::Set("utf-8"), Some("iso-8859-1")).as_deref(),
            Some("utf-8")
        );
        assert_eq!(
            told(CharsetEvidence::Nothing, Some("ISO-8859-1")).as_deref(),
            Some("iso-8859-1")
        );
        assert_eq!(
            told(CharsetEvidence::NotUtf8, Some("windows-1251")).as_deref(),
            Some("windows-1251")
        );
        assert_eq!(told(CharsetEvidence::NotUtf8, Some("utf8")), None);
        assert_eq!(told(CharsetEvidence::Nothing, Some("nonsense; x")), None);
        assert_eq!(told(CharsetEvidence::Nothing, None), None);
    }
}
