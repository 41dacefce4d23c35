//! Containers of sound and film other than ISO base media: Ogg, WebM and Matroska, RIFF, AIFF,
//! MPEG transport streams.

use super::{Detection, ebml};
use crate::media::table::MediaForm;

/// The type by whichever of the containers it is.
pub(super) fn read(head: &[u8]) -> Option<Detection> {
    ogg(head)
        .or_else(|| ebml::read(head))
        .or_else(|| chunked(head))
        .or_else(|| transport_stream(head))
}

/// By the first packet of the first page (RFC 3533, section 6), which names the codec.
fn ogg(head: &[u8]) -> Option<Detection> {
    let page = head.strip_prefix(b"OggS")?;
    let packet = match page.get(22) {
        Some(segments) => page.get(23 + usize::from(*segments)..),
        None => None,
    };
    Some(match packet.unwrap_or_default() {
        [b'O', b'p', b'u', b's', b'H', ..] => Detection {
            codecs: Some("opus"),
            ..Detection::only("audio/ogg")
        },
        [0x80, b't', b'h', b'e', b'o', b'r', b'a', ..]
        | [0x01, b'v', b'i', b'd', b'e', b'o', ..] => Detection::only("video/ogg"),
        [0x01, b'v', b'o', b'r', b'b', b'i', b's', ..]
        | [b'S', b'p', b'e', b'e', b'x', ..]
        | [0x7f, b'F', b'L', b'A', b'C', ..] => Detection::only("audio/ogg"),
        _ => Detection::with_alternatives("audio/ogg", &[MediaForm::Ogg]),
    })
}

/// RIFF and its relatives: four letters, a size, four letters.
fn chunked(head: &[u8]) -> Option<Detection> {
    let essence = match (head.get(..4)?, head.get(8..12)?) {
        (b"RIFF" | b"RF64" | b"BW64", b"WAVE") => "audio/wav",
        (b"RIFF", b"AVI ") => "video/x-msvideo",
        (b"RIFF", b"WEBP") => "image/webp",
        (b"RIFF", b"RMID") => "audio/midi",
        (b"RIFF", b"QLCM") => "audio/qcelp",
        (b"FORM", b"AIFF" | b"AIFC") => "audio/x-aiff",
        _ => return None,
    };
    Some(Detection::only(essence))
}

/// Packets of 188 bytes that begin with 0x47 (ISO/IEC 13818-1, 2.4.3.2), or of 192 with a time in
/// front (Blu-ray, AVCHD). Three in a row: one byte alone is a `G`.
fn transport_stream(head: &[u8]) -> Option<Detection> {
    const PACKETS: usize = 3;
    let synced = |offset: usize, len: usize| {
        (0..PACKETS).all(|packet| head.get(offset + packet * len) == Some(&0x47))
    };
    if synced(0, 188) || synced(4, 192) {
        Some(Detection::only("video/mp2t"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ogg_page(packet: &[u8]) -> Vec<u8> {
        [b"OggS\0\x02", &[0; 20][..], &[1, 19], packet].concat()
    }

    #[test]
    fn ogg_is_told_by_its_codec() {
        let opus = read(&ogg_page(b"OpusHead\x01\x01")).unwrap();
        assert_eq!((opus.row.essence, opus.codecs), ("audio/ogg", Some("opus")));
        assert_eq!(
            read(&ogg_page(b"\x01video\0\0\0XVID")).unwrap().row.essence,
            "video/ogg"
        );
        assert_eq!(
            read(&ogg_page(b"\x80theora")).unwrap().row.essence,
            "video/ogg"
        );
        assert_eq!(
            read(&ogg_page(b"fishead\0")).unwrap(),
            Detection::with_alternatives("audio/ogg", &[MediaForm::Ogg])
        );
        assert_eq!(
            read(b"OggS").unwrap(),
            Detection::with_alternatives("audio/ogg", &[MediaForm::Ogg])
        );
    }

    #[test]
    fn webp_needs_its_riff() {
        assert_eq!(
            read(b"RIFF\x10\0\0\0WEBPVP8 ").unwrap().row.essence,
            "image/webp"
        );
        assert_eq!(read(b"xxxx\x10\0\0\0WEBPVP8 "), None);
    }

    #[test]
    fn a_transport_stream_is_told_by_its_rhythm() {
        let mut stream = vec![0; 600];
        (0..3).for_each(|packet| stream[packet * 188] = 0x47);
        assert_eq!(read(&stream).unwrap().row.essence, "video/mp2t");
        stream[188] = 0;
        assert_eq!(read(&stream), None);
    }
}
