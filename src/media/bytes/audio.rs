//! Bare audio frames, which begin with a few set bits rather than a signature: every field of the
//! first header must make sense.

use super::detection::Detection;
use crate::media::table::MediaForm;

/// Most ID3 tags in front of the sound. Some programs put a new one in front of the old.
const MAX_TAGS: usize = 4;
/// Sound that has a signature of its own, and in front of which ID3 tags are seen.
const TAGGED: &[(&[u8], &str)] = &[
    (b"fLaC", "audio/flac"),
    (b"MAC ", "audio/x-ape"),
    (b"TTA1", "audio/x-tta"),
    (b"wvpk", "audio/x-wavpack"),
    (b"\x0b\x77", "audio/ac3"),
];

/// MPEG audio and AAC in ADTS, and what follows an ID3v2 tag, which says nothing of it.
///
/// A tag may hold a picture and be larger than the look-ahead: then the claim decides.
pub(super) fn read(head: &[u8]) -> Option<Detection> {
    let mut sound = head;
    for _ in 0..MAX_TAGS {
        let Some(length) = id3_length(sound) else {
            break;
        };
        sound = sound.get(length..).unwrap_or_default();
        if sound.is_empty() {
            return Some(Detection::with_alternatives(
                "audio/mpeg",
                &[MediaForm::Tagged],
            ));
        }
    }
    if sound.len() == head.len() {
        return Some(Detection::only(frame(sound)?));
    }
    let essence = match (tagged(sound), frame(sound)) {
        (Some(essence), _) | (None, Some(essence)) => essence,
        (None, None) => "audio/mpeg",
    };
    Some(Detection::only(essence))
}

fn tagged(sound: &[u8]) -> Option<&'static str> {
    for (signature, essence) in TAGGED {
        if sound.starts_with(signature) {
            return Some(essence);
        }
    }
    None
}

fn frame(head: &[u8]) -> Option<&'static str> {
    if is_mpeg_frame(head) {
        Some("audio/mpeg")
    } else if is_adts(head) {
        Some("audio/aac")
    } else {
        None
    }
}

/// The whole length of a tag of version 2 to 4, whose size has bytes of seven bits (id3.org,
/// ID3v2.4.0 section 3.1).
fn id3_length(head: &[u8]) -> Option<usize> {
    const HEADER: usize = 10;
    const FOOTER: u8 = 0x10;
    let [b'I', b'D', b'3', 2..=4, revision, flags, size @ ..] = head else {
        return None;
    };
    let size = size.first_chunk::<4>()?;
    if *revision == 0xff || !size.is_ascii() {
        return None;
    }
    let mut length = 0;
    for byte in size {
        length = length << 7 | usize::from(*byte);
    }
    let footer = if flags & FOOTER == 0 { 0 } else { HEADER };
    Some(HEADER + length + footer)
}

/// Sync, a version that exists, layer II (broadcast) or III, a bit rate and a sampling rate that
/// exist (ISO/IEC 11172-3, 2.4.1.3).
fn is_mpeg_frame(head: &[u8]) -> bool {
    matches!(head, [0xff, 0xfa..=0xfd | 0xf2..=0xf5 | 0xe2 | 0xe3, rates, _, ..]
        if rates >> 4 != 0 && rates >> 4 != 0xf && rates >> 2 & 0b11 != 0b11)
}

/// Sync with layer 0 and a sampling rate that exists (ISO/IEC 13818-7, 6.2).
fn is_adts(head: &[u8]) -> bool {
    matches!(head, [0xff, sync, rate, ..] if sync & 0xf6 == 0xf0 && rate >> 2 & 0xf < 13)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn essence(head: &[u8]) -> Option<&'static str> {
        read(head).map(|found| found.row.essence)
    }

    #[test]
    fn frames_and_tags_are_known() {
        assert_eq!(essence(b"ID3\x04\0\0\0\0\x02\x01TIT2"), Some("audio/mpeg"));
        assert_eq!(essence(b"\xff\xfb\x90\x64\0"), Some("audio/mpeg"));
        assert_eq!(essence(b"\xff\xfd\x80\x04D332"), Some("audio/mpeg"));
        assert_eq!(essence(b"\xff\xf1\x50\x80\x02"), Some("audio/aac"));
    }

    #[test]
    fn what_follows_a_tag_decides() {
        let behind = |flags: u8, sound: &[u8]| {
            let footer = [0; 10];
            let footer = if flags == 0 { &footer[..0] } else { &footer };
            let tag = [b"ID3\x04\0", &[flags, 0, 0, 1, 2][..], &[0x55; 130], footer].concat();
            [
                essence(&[&tag[..], sound].concat()),
                essence(&[&tag[..], &tag, sound].concat()),
            ]
        };
        for flags in [0, 0x10] {
            assert_eq!(behind(flags, b"fLaC\0\0\0\x22"), [Some("audio/flac"); 2]);
            assert_eq!(
                behind(flags, b"\xff\xf1\x50\x80\x02"),
                [Some("audio/aac"); 2]
            );
            assert_eq!(
                behind(flags, b"\xff\xfb\x90\x64\0"),
                [Some("audio/mpeg"); 2]
            );
            assert_eq!(behind(flags, b"MAC \x96\x0f"), [Some("audio/x-ape"); 2]);
            assert_eq!(behind(flags, b"\0\0\0\0"), [Some("audio/mpeg"); 2]);
        }
    }

    #[test]
    fn behind_a_tag_beyond_the_look_ahead_claims_decide() {
        let found = read(b"ID3\x03\0\0\0\x0f\x00\x00APIC").unwrap();
        assert_eq!(
            (found.row.essence, found.alternatives),
            ("audio/mpeg", &[MediaForm::Tagged][..])
        );
    }

    #[test]
    fn impossible_headers_are_not_believed() {
        assert_eq!(essence(b"ID3 is a tag\0"), None);
        assert_eq!(essence(b"\xff\xfb\xff\xff"), None);
        assert_eq!(essence(b"\xff\xf1\xff"), None);
    }
}
