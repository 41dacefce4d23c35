//! WebM and Matroska (RFC 8794, RFC 9559), distinguished by the header's DocType, and sound from
//! film by the tracks.

use super::detection::Detection;
use crate::media::table::MediaForm;

const HEADER: u32 = 0x1A45_DFA3;
const DOC_TYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
const TRACKS: u32 = 0x1654_AE6B;
const TRACK: u32 = 0xAE;
const TRACK_TYPE: u32 = 0x83;
const VIDEO: u8 = 1;
const AUDIO: u8 = 2;
/// The bound on elements of one level that are looked at: tracks stand near the beginning.
const MAX_ELEMENTS: usize = 64;

/// The type of an EBML file. A recorder's voice note has a film's extension; where its tracks are
/// seen and none shows a picture, it is sound.
pub(super) fn read(head: &[u8]) -> Option<Detection> {
    if !head.starts_with(&HEADER.to_be_bytes()) {
        return None;
    }
    let doc_type = descendant(head, HEADER, DOC_TYPE).unwrap_or_default();
    let has_sound_only = match descendant(head, SEGMENT, TRACKS) {
        // Tracks that reach the end of what is seen may go on.
        Some(tracks) if tracks.as_ptr_range().end < head.as_ptr_range().end => {
            has_sound_only(tracks)
        }
        _ => false,
    };
    Some(match (doc_type.starts_with(b"webm"), has_sound_only) {
        (true, true) => Detection::only("audio/webm"),
        (true, false) => {
            Detection::with_alternatives("video/webm", &[MediaForm::Webm, MediaForm::WebmSound])
        }
        (false, true) => Detection::only("audio/x-matroska"),
        (false, false) => Detection::with_alternatives(
            "video/x-matroska",
            &[MediaForm::Matroska, MediaForm::MatroskaSound],
        ),
    })
}

fn has_sound_only(tracks: &[u8]) -> bool {
    let mut sound = false;
    let mut other = false;
    for (id, track) in Elements(tracks).take(MAX_ELEMENTS) {
        if id != TRACK {
            continue;
        }
        let kind = child(track, TRACK_TYPE);
        sound |= kind == Some(&[AUDIO]);
        other |= matches!(kind, None | Some(&[VIDEO]));
    }
    sound && !other
}

fn descendant(root: &[u8], parent: u32, wanted: u32) -> Option<&[u8]> {
    child(child(root, parent)?, wanted)
}

fn child(parent: &[u8], wanted: u32) -> Option<&[u8]> {
    let mut elements = Elements(parent).take(MAX_ELEMENTS);
    let (_, content) = elements.find(|(id, _)| *id == wanted)?;
    Some(content)
}

/// The elements of one level: each an id, a size and that many bytes. The last may be cut, or of a
/// size nobody knew yet.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (id, _, rest) = number(self.0, 4)?;
        // All bits set say that the size is unknown.
        let (size, bits, rest) = number(rest, 8)?;
        let mask = (1u64 << bits) - 1;
        let size = size & mask;
        let length = match usize::try_from(size) {
            Ok(length) if length <= rest.len() && size != mask => length,
            _ => rest.len(),
        };
        let (content, behind) = rest.split_at(length);
        self.0 = behind;
        Some((u32::try_from(id).ok()?, content))
    }
}

/// A number of variable length with its marker bit, how many of its bits count, and what follows.
/// The first bit that is set says how many bytes there are.
fn number(bytes: &[u8], longest: usize) -> Option<(u64, usize, &[u8])> {
    let length = bytes.first()?.leading_zeros() as usize + 1;
    if length > longest {
        return None;
    }
    let (digits, rest) = bytes.split_at_checked(length)?;
    let mut number = 0;
    for byte in digits {
        number = number << 8 | u64::from(*byte);
    }
    Some((number, 7 * length, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(id: u32, content: &[u8]) -> Vec<u8> {
        let id = id.to_be_bytes();
        let id = &id[id.iter().position(|byte| *byte != 0).unwrap()..];
        let size = u16::try_from(content.len()).unwrap() | 0x4000;
        [id, &size.to_be_bytes(), content].concat()
    }

    fn file(doc_type: &[u8], kinds: &[u8]) -> Vec<u8> {
        let tracks: Vec<_> = kinds
            .iter()
            .flat_map(|kind| {
                element(
                    TRACK,
                    &[element(0xD7, &[1]), element(TRACK_TYPE, &[*kind])].concat(),
                )
            })
            .collect();
        let segment = [
            element(0xEC, &[0; 9]),
            element(TRACKS, &tracks),
            element(0x1F43_B675, &[0xE7]),
        ]
        .concat();
        // Recorders don't know the segment's size.
        let segment = [
            &SEGMENT.to_be_bytes()[..],
            b"\x01\xff\xff\xff\xff\xff\xff\xff",
            &segment,
        ]
        .concat();
        [
            element(
                HEADER,
                &[element(0x4286, &[1]), element(DOC_TYPE, doc_type)].concat(),
            ),
            segment,
        ]
        .concat()
    }

    fn essence(head: &[u8]) -> &'static str {
        read(head).unwrap().row.essence
    }

    #[test]
    fn webm_is_told_from_matroska() {
        assert_eq!(
            essence(b"\x1A\x45\xDF\xA3\x9f\x42\x86\x81\x01\x42\x82\x84webm"),
            "video/webm"
        );
        assert_eq!(
            essence(b"\x1A\x45\xDF\xA3\x9f\x42\x82\x88matroska"),
            "video/x-matroska"
        );
        assert_eq!(read(b"\x1A\x45\xDF"), None);
    }

    #[test]
    fn what_has_no_picture_is_sound() {
        assert_eq!(essence(&file(b"webm", &[AUDIO])), "audio/webm");
        assert_eq!(essence(&file(b"webm", &[AUDIO, VIDEO])), "video/webm");
        assert_eq!(essence(&file(b"webm", &[VIDEO])), "video/webm");
        assert_eq!(essence(&file(b"webm", &[])), "video/webm");
        assert_eq!(
            essence(&file(b"matroska", &[AUDIO, 0x11])),
            "audio/x-matroska"
        );
    }

    #[test]
    fn tracks_that_may_go_on_show_nothing() {
        let whole = file(b"webm", &[AUDIO]);
        assert_eq!(essence(&whole[..whole.len() - 7]), "video/webm");
    }

    #[test]
    fn cut_or_corrupt_files_are_read_within_bounds() {
        let whole = file(b"webm", &[AUDIO]);
        for end in 4..whole.len() {
            let _ = read(&whole[..end]);
        }
        for at in 4..whole.len() {
            let mut file = whole.clone();
            file[at] = 0;
            let _ = read(&file);
            file[at] = 0xff;
            let _ = read(&file);
        }
        assert_eq!(
            essence(&[&HEADER.to_be_bytes()[..], &[0x80; 5000]].concat()),
            "video/x-matroska"
        );
    }
}
