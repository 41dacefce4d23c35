//! What the bytes say, whatever the file calls itself.
//!
//! Text is settled before any signature is asked: `BM`, `GIF`, `ID3` and `MZ` begin ordinary
//! sentences too, and no binary format is readable text through and through.

mod audio;
mod bmff;
mod ebml;
mod ole;
mod signature;
mod stream;
mod text;
mod tracks;
mod zip;

#[cfg(test)]
pub(super) use tracks::movie;

use super::charset::CharsetEvidence;
use super::table::{self, MediaForm, MediaRow};

/// What the bytes are, and the forms of types that a claim may choose among instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Detection {
    /// The type that the bytes have when nobody says more.
    pub(super) row: &'static MediaRow,
    /// A type of one of these forms may be claimed by the extension or the declared type.
    pub(super) open: &'static [MediaForm],
    /// The `codecs` parameter, where the type is told by it (RFC 6381).
    pub(super) codecs: Option<&'static str>,
    /// What the bytes of a text show of its character set.
    pub(super) charset: CharsetEvidence,
}

impl Detection {
    /// Bytes that are of this type and no other.
    fn only(essence: &str) -> Self {
        Self::open(essence, &[])
    }

    /// Bytes that are of this type unless one of the forms is claimed.
    fn open(essence: &str, open: &'static [MediaForm]) -> Self {
        Self {
            row: table::row(essence),
            open,
            codecs: None,
            charset: CharsetEvidence::Nothing,
        }
    }
}

/// Tells the type of a file by its first bytes, of which `whole` says that they are all.
pub(super) fn read(head: &[u8], whole: bool) -> Detection {
    if let Some(found) = signature::in_ascii(head) {
        return found;
    }
    match text::decode(head, whole) {
        text::DecodedText::Text(text) => Detection {
            charset: text::charset(head, &text),
            ..text::kind(&text, whole)
        },
        text::DecodedText::EightBit => {
            signature::binary(head, whole).unwrap_or_else(|| text::eight_bit(head, whole))
        }
        text::DecodedText::Binary if text::is_script(head) => Detection::only("text/x-shellscript"),
        text::DecodedText::Binary => signature::binary(head, whole)
            .or_else(|| text::blemished(head, whole))
            .unwrap_or_else(|| Detection::open("application/octet-stream", &[MediaForm::Opaque])),
    }
}
