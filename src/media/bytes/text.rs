//! Text: whether the bytes are readable, and which kind the words themselves show.

use std::borrow::Cow;

use encoding_rs::mem::decode_latin1;

use super::detection::Detection;
use crate::media::charset::CharsetEvidence;
use crate::media::table::MediaForm;

mod markup;

/// What the bytes are as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DecodedText<'a> {
    /// UTF-8, or UTF-16 made into it, without its byte order mark.
    Text(Cow<'a, str>),
    /// No control characters, so it may be Windows-1252 and the like; no proof that it is.
    EightBit,
    Binary,
}

const PLAIN: &[MediaForm] = &[MediaForm::Text, MediaForm::Script, MediaForm::Html];

/// What text with controls may be claimed to be: no text, too.
const BLEMISHED: &[MediaForm] = &[
    MediaForm::Text,
    MediaForm::Script,
    MediaForm::Html,
    MediaForm::Opaque,
];

/// Decodes the look-ahead; a character cut off at its end counts as text unless the file ends too.
pub(super) fn decode(head: &[u8], is_whole_file: bool) -> DecodedText<'_> {
    if let Some((units, decode)) = byte_order(head) {
        return decoded(utf16(units, decode, is_whole_file));
    }
    let bytes = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    if has_controls(bytes) {
        return decoded(utf16_without_mark(bytes, is_whole_file));
    }
    match utf8(bytes, is_whole_file) {
        Some(text) if !text.is_empty() => DecodedText::Text(text),
        _ => DecodedText::EightBit,
    }
}

fn decoded(utf16: Option<String>) -> DecodedText<'static> {
    match utf16 {
        Some(text) => DecodedText::Text(Cow::Owned(text)),
        None => DecodedText::Binary,
    }
}

/// Text that isn't UTF-8 is only what it shows or is claimed to be. What shows is ASCII, which the
/// old character sets share, so any of them will do for looking.
pub(super) fn eight_bit(head: &[u8], is_whole_file: bool) -> Detection {
    let shown = kind(&decode_latin1(head), is_whole_file);
    let found = if shown.row.essence == "text/plain" {
        Detection::with_alternatives("application/octet-stream", PLAIN)
    } else {
        shown
    };
    Detection {
        charset: CharsetEvidence::NotUtf8,
        ..found
    }
}

/// The character set of bytes that were decoded to this text. ASCII shows nothing: sets that shift
/// with escapes, and whatever follows the look-ahead, may be another.
pub(super) fn charset(head: &[u8], text: &str) -> CharsetEvidence {
    match head {
        [0xff, 0xfe, ..] | [_, 0, ..] => CharsetEvidence::Set("utf-16le"),
        [0xfe, 0xff, ..] | [0, ..] => CharsetEvidence::Set("utf-16be"),
        [0xef, 0xbb, 0xbf, ..] => CharsetEvidence::Set("utf-8"),
        _ if text.is_ascii() => CharsetEvidence::Nothing,
        _ => CharsetEvidence::Set("utf-8"),
    }
}

/// Text with control characters in it: separators in an export, the zero behind a card, the `^Z` of
/// DOS, a bell in a log. Only for what has no signature.
///
/// With one or two it is text all the same. With more, only a claim makes it one, and only in
/// UTF-8: what isn't may be anything.
pub(super) fn blemished(head: &[u8], is_whole_file: bool) -> Option<Detection> {
    /// Shorter ones may be anything.
    const ENOUGH: usize = 16;
    /// One stray control, and one more for this number of bytes.
    const STRAY: usize = 256;
    /// Records of short fields have a separator for each.
    const SEPARATORS: usize = 6;
    let controls = head.iter().filter(|byte| is_control(**byte)).count();
    let is_stray = controls <= 1 + head.len() / STRAY;
    if head.len() < ENOUGH || controls > head.len() / SEPARATORS {
        return None;
    }
    let mut clean = head.to_vec();
    for byte in &mut clean {
        if is_control(*byte) {
            *byte = b' ';
        }
    }
    let found = match decode(&clean, is_whole_file) {
        DecodedText::Text(text) => Detection {
            charset: charset(&clean, &text),
            ..kind(&text, is_whole_file)
        },
        _ if is_stray => return Some(eight_bit(&clean, is_whole_file)),
        _ => return None,
    };
    let shows_nothing = found.row.essence == "text/plain";
    let vague = if is_stray {
        "text/plain"
    } else {
        "application/octet-stream"
    };
    Some(if shows_nothing {
        Detection {
            charset: found.charset,
            ..Detection::with_alternatives(vague, BLEMISHED)
        }
    } else {
        found
    })
}

/// The kind that readable text shows. Most kinds show nothing, so the claim is open.
pub(super) fn kind(text: &str, is_whole_file: bool) -> Detection {
    if is_script(text.as_bytes()) {
        return Detection::with_alternatives("text/x-shellscript", &[MediaForm::Script]);
    }
    let start = text.trim_start();
    match start.as_bytes() {
        [b'B' | b'b', ..] => component(start),
        [b'<', ..] => markup::read(start),
        [b'{' | b'[', ..] if is_json(start, is_whole_file) => Detection::with_alternatives(
            "application/json",
            &[
                MediaForm::Text,
                MediaForm::Script,
                MediaForm::Html,
                MediaForm::Json,
            ],
        ),
        _ if is_json(start, is_whole_file) => Detection::with_alternatives(
            "text/plain",
            &[
                MediaForm::Text,
                MediaForm::Script,
                MediaForm::Html,
                MediaForm::Json,
            ],
        ),
        _ => Detection::with_alternatives("text/plain", PLAIN),
    }
}

/// `#!` and the path or name of what shall run it; `#![` is Rust. Installers carry binary behind
/// their script, so bytes that aren't text are looked at as well.
pub(super) fn is_script(head: &[u8]) -> bool {
    let program = head.strip_prefix(b"#!").unwrap_or_default();
    match program.trim_ascii_start().first() {
        Some(byte) => *byte == b'/' || byte.is_ascii_alphabetic(),
        None => false,
    }
}

/// vCard and iCalendar (RFC 6350, RFC 5545) begin with their own name, in any case.
fn component(start: &str) -> Detection {
    let begins = |word: &str| match start.get(..word.len()) {
        Some(found) => found.eq_ignore_ascii_case(word),
        None => false,
    };
    let essence = if begins("BEGIN:VCARD") {
        "text/vcard"
    } else if begins("BEGIN:VCALENDAR") {
        "text/calendar"
    } else {
        "text/plain"
    };
    Detection::with_alternatives(essence, PLAIN)
}

/// Parses as JSON, up to where the look-ahead ends unless that is the whole file.
fn is_json(start: &str, is_whole_file: bool) -> bool {
    match serde_json::from_str::<serde::de::IgnoredAny>(start) {
        Ok(_) => true,
        Err(error) => error.is_eof() && !is_whole_file,
    }
}

/// Whether there are bytes that no text has: all controls but tab, line ends, form feed,
/// backspace and the escape of coloured logs.
fn has_controls(bytes: &[u8]) -> bool {
    // Whole blocks without a branch inside are compiled to vector code: this sees every byte.
    bytes.chunks(128).any(|block| {
        block
            .iter()
            .fold(false, |found, byte| found | is_control(*byte))
    })
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && !matches!(byte, 0x08..=0x0d | 0x1b)) || byte == 0x7f
}

/// By `encoding_rs`, which looks at many bytes at once: the standard library takes eight times as
/// long for what isn't ASCII.
fn utf8(bytes: &[u8], is_whole_file: bool) -> Option<Cow<'_, str>> {
    let cut = if is_whole_file {
        0
    } else {
        begun_at_end(bytes)
    };
    encoding_rs::UTF_8
        .decode_without_bom_handling_and_without_replacement(&bytes[..bytes.len() - cut])
}

/// How many bytes at the end begin a character that the look-ahead cuts off.
fn begun_at_end(bytes: &[u8]) -> usize {
    let needed = |lead: u8| match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 0,
    };
    let lead = bytes
        .iter()
        .rev()
        .take(3)
        .position(|byte| byte & 0xc0 != 0x80);
    let Some(continuations) = lead else {
        return 0;
    };
    let begun = continuations + 1;
    if needed(bytes[bytes.len() - begun]) > begun {
        begun
    } else {
        0
    }
}

type Unit = fn([u8; 2]) -> u16;

fn byte_order(head: &[u8]) -> Option<(&[u8], Unit)> {
    match head {
        [0xff, 0xfe, units @ ..] => Some((units, u16::from_le_bytes)),
        [0xfe, 0xff, units @ ..] => Some((units, u16::from_be_bytes)),
        _ => None,
    }
}

/// Readable UTF-16; a pair cut off by the end of the look-ahead is left out.
fn utf16(bytes: &[u8], decode: Unit, is_whole_file: bool) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(units.len());
    let mut chars = char::decode_utf16(units.iter().map(|unit| decode(*unit))).peekable();
    while let Some(next) = chars.next() {
        match next {
            Ok(c) if u8::try_from(c).is_ok_and(is_control) => return None,
            Ok(c) => text.push(c),
            Err(_) if !is_whole_file && chars.peek().is_none() => {}
            Err(_) => return None,
        }
    }
    (!text.is_empty() && (rest.is_empty() || !is_whole_file)).then_some(text)
}

/// UTF-16 without its mark, if convincing: every other byte is zero in nearly all of its start, as
/// in western text, and it decodes without a control character.
fn utf16_without_mark(bytes: &[u8], is_whole_file: bool) -> Option<String> {
    const ENOUGH: usize = 8;
    const SAMPLE: usize = 1024;
    let (units, _) = bytes[..bytes.len().min(SAMPLE)].as_chunks::<2>();
    let western = |high: usize| {
        units
            .iter()
            .filter(|unit| unit[high] == 0 && unit[1 - high] != 0)
            .count()
    };
    let convincing = |high: usize| units.len() >= ENOUGH && western(high) * 10 >= units.len() * 9;
    if convincing(1) {
        utf16(bytes, u16::from_le_bytes, is_whole_file)
    } else if convincing(0) {
        utf16(bytes, u16::from_be_bytes, is_whole_file)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn essence(text: &str) -> &'static str {
        kind(text, true).row.essence
    }

    #[test]
    fn a_character_cut_by_the_look_ahead_is_text() {
        let cut = &"Grüße €".as_bytes()[..10];
        assert_eq!(decode(cut, false), DecodedText::Text("Grüße ".into()));
        assert_eq!(decode(cut, true), DecodedText::EightBit);
        for text in ["aü", "a€", "a😀"] {
            for end in 2..text.len() {
                assert_eq!(
                    decode(&text.as_bytes()[..end], false),
                    DecodedText::Text("a".into()),
                    "{text} cut at {end}"
                );
            }
            assert_eq!(
                decode(text.as_bytes(), false),
                DecodedText::Text(text.into())
            );
        }
        assert_eq!(decode(b"a\x80\x80", false), DecodedText::EightBit);
    }

    #[test]
    fn latin_1_is_eight_bit_and_zeros_are_binary() {
        assert_eq!(decode(b"Gr\xfc\xdfe", true), DecodedText::EightBit);
        assert_eq!(decode(b"a\0b", true), DecodedText::Binary);
        assert_eq!(decode(b"", true), DecodedText::EightBit);
    }

    #[test]
    fn utf_16_is_read_with_and_without_its_mark() {
        let little: Vec<u8> = "Hello, world"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let big: Vec<u8> = "Hello, world"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        assert_eq!(
            decode(&[b"\xff\xfe", &little[..]].concat(), true),
            DecodedText::Text("Hello, world".into())
        );
        assert_eq!(
            decode(&little, true),
            DecodedText::Text("Hello, world".into())
        );
        assert_eq!(decode(&big, true), DecodedText::Text("Hello, world".into()));
        assert_eq!(decode(&little[..8], true), DecodedText::Binary);
        assert_eq!(decode(b"\xff\xfe\0\xd8", true), DecodedText::Binary);
    }

    #[test]
    fn a_stray_control_makes_no_binary_of_a_text() {
        let found = |text: &[u8]| {
            blemished(text, true).map(|found| {
                (
                    found.row.essence,
                    found.alternatives.contains(&MediaForm::Text),
                )
            })
        };
        assert_eq!(
            found(b"name,note\nBob,Main St\x1f4000\n"),
            Some(("text/plain", true))
        );
        assert_eq!(
            found(b"BEGIN:VCARD\r\nEND:VCARD\r\n\0"),
            Some(("text/vcard", true))
        );
        assert_eq!(
            found(b"{\"a\": \"b\x07\"}     "),
            Some(("application/json", true))
        );
        assert_eq!(
            found(b"Gr\xfc\xdfe;Stra\xdfe;Ort\n\x1a"),
            Some(("application/octet-stream", true))
        );
        assert_eq!(
            found(&[b"line of a log\n".repeat(100), vec![7; 5]].concat()),
            Some(("text/plain", true))
        );
        assert_eq!(
            found(&b"line of a log\x07\n".repeat(100)),
            Some(("application/octet-stream", true))
        );
        assert_eq!(
            found(b"8=FIX.4.2\x019=178\x0135=8\x01"),
            Some(("application/octet-stream", true))
        );
        assert_eq!(found(&b"Gr\xfc\xdfe\x1fStra\xdfe\n".repeat(10)), None);
        assert_eq!(found(&b"a\0b\0c\0d\0".repeat(10)), None);
        assert_eq!(found(b"short\0"), None);
        assert_eq!(found(b"\x01\x02\x03\x04\x05\0\x07abcdefghijklmnop"), None);
    }

    #[test]
    fn scripts_are_told_from_comments() {
        assert_eq!(essence("#!/bin/sh\n"), "text/x-shellscript");
        assert_eq!(essence("#! /usr/bin/env python3\n"), "text/x-shellscript");
        assert_eq!(essence("#![warn(missing_docs)]\n"), "text/plain");
    }

    #[test]
    fn cards_and_calendars_name_themselves() {
        assert_eq!(essence("BEGIN:VCARD\r\nVERSION:3.0"), "text/vcard");
        assert_eq!(essence("begin:vcalendar\r\n"), "text/calendar");
        assert_eq!(essence("Before long"), "text/plain");
    }

    #[test]
    fn json_must_parse() {
        assert_eq!(essence("{\"a\": [1, 2]}"), "application/json");
        assert_eq!(essence("{curly}"), "text/plain");
        assert_eq!(kind("[1, 2, ", false).row.essence, "application/json");
        assert_eq!(kind("[1, 2, ", true).row.essence, "text/plain");
        assert!(kind("42", true).alternatives.contains(&MediaForm::Json));
    }
}
