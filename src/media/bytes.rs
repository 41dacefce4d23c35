//! What the bytes say, whatever the file calls itself.
//!
//! Text is recognized before any signature is looked for: `BM`, `GIF`, `ID3` and `MZ` begin
//! ordinary sentences too, and no binary format is readable text through and through.

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

/// Tells the type of a file by its first bytes, of which `is_whole_file` says that they are all.
pub(super) fn read(head: &[u8], is_whole_file: bool) -> Detection {
    if let Some(found) = signature::in_ascii(head) {
        return found;
    }
    match text::decode(head, is_whole_file) {
        text::DecodedText::Text(text) => Detection {
            charset: text::charset(head, &text),
            ..text::kind(&text, is_whole_file)
        },
        text::DecodedText::EightBit => match signature::binary(head, is_whole_file) {
            Some(found) => found,
            None => text::eight_bit(head, is_whole_file),
        },
        text::DecodedText::Binary if text::is_script(head) => Detection::only("text/x-shellscript"),
        text::DecodedText::Binary => {
            if let Some(found) = signature::binary(head, is_whole_file) {
                return found;
            }
            if let Some(found) = text::blemished(head, is_whole_file) {
                return found;
            }
            Detection::with_alternatives("application/octet-stream", &[MediaForm::Opaque])
        }
    }
}
