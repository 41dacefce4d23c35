//! Bare audio frames, which begin with a few set bits rather than a signature: every field of the
//! first header must make sense.

use super::Found;

/// MPEG audio, with an ID3v2 tag or without, and AAC in ADTS.
pub(super) fn read(head: &[u8]) -> Option<Found> {
    if is_id3(head) || is_mpeg_frame(head) {
        return Some(Found::only("audio/mpeg"));
    }
    is_adts(head).then(|| Found::only("audio/aac"))
}

/// Version 2 to 4, and a size whose bytes have seven bits (id3.org, ID3v2.4.0 section 3.1).
fn is_id3(head: &[u8]) -> bool {
    matches!(head, [b'I', b'D', b'3', 2..=4, revision, _, size @ ..]
        if *revision != 0xff && size.len() >= 4 && size[..4].iter().all(|byte| byte.is_ascii()))
}

/// Sync, a version that exists, layer III, a bit rate and a sampling rate that exist
/// (ISO/IEC 11172-3, 2.4.1.3).
fn is_mpeg_frame(head: &[u8]) -> bool {
    matches!(head, [0xff, 0xfa | 0xfb | 0xf2 | 0xf3 | 0xe2 | 0xe3, rates, _, ..]
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
        assert_eq!(essence(b"\xff\xf1\x50\x80\x02"), Some("audio/aac"));
    }

    #[test]
    fn impossible_headers_are_not_believed() {
        assert_eq!(essence(b"ID3 is a tag\0"), None);
        assert_eq!(essence(b"\xff\xfb\xff\xff"), None);
        assert_eq!(essence(b"\xff\xf1\xff"), None);
    }
}
