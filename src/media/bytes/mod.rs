//! What the bytes say, whatever the file calls itself.
//!
//! Text is settled before any signature is asked: `BM`, `GIF`, `ID3` and `MZ` begin ordinary
//! sentences too, and no binary format is readable text through and through.

mod audio;
mod bmff;
mod detection;
mod ebml;
mod ole;
mod signature;
mod stream;
mod text;
mod tracks;
mod zip;

#[cfg(test)]
pub(super) use tracks::movie;

use super::table::MediaForm;
pub(super) use detection::Detection;

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
            .unwrap_or_else(|| {
                Detection::with_alternatives("application/octet-stream", &[MediaForm::Opaque])
            }),
    }
}
