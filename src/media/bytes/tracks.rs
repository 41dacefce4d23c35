//! What the tracks of an ISO base media file carry (ISO/IEC 14496-12, 8.3 and 8.4): sound,
//! pictures, or both.

/// The bound on boxes of one level that are looked at.
const MAX_BOXES: usize = 64;

/// Whether the file's directory is seen whole and lists sound and no picture. Recorders write it
/// last, so it is seen of short notes only, and of files that were made to be played from the net.
pub(super) fn has_sound_only(head: &[u8]) -> bool {
    let Some(movie) = child(head, b"moov") else {
        return false;
    };
    let mut sound = false;
    let mut other = false;
    for (name, track) in Boxes(movie).take(MAX_BOXES) {
        if name != *b"trak" {
            continue;
        }
        let kind = handler(track);
        sound |= kind == Some(*b"soun");
        other |= matches!(
            kind,
            None | Some(
                [b'v', b'i', b'd', b'e'] | [b'p', b'i', b'c', b't'] | [b'a', b'u', b'x', b'v']
            )
        );
    }
    sound && !other
}

/// The kind of a track: version and flags, four bytes of zero, and its name.
fn handler(track: &[u8]) -> Option<[u8; 4]> {
    let handler = child(child(track, b"mdia")?, b"hdlr")?;
    handler.get(8..12)?.try_into().ok()
}

fn child<'a>(parent: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    let mut boxes = Boxes(parent).take(MAX_BOXES);
    let (_, content) = boxes.find(|(name, _)| name == wanted)?;
    Some(content)
}

/// The boxes of one level that are there as a whole, up to one that isn't.
struct Boxes<'a>(&'a [u8]);

impl<'a> Iterator for Boxes<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (size, rest) = self.0.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_first_chunk::<4>()?;
        let (header, size) = match u32::from_be_bytes(*size) {
            1 => (16, u64::from_be_bytes(*rest.first_chunk()?)),
            size => (8, u64::from(size)),
        };
        let size = usize::try_from(size).ok()?;
        let content = self.0.get(header..size)?;
        self.0 = &self.0[size..];
        Some((*name, content))
    }
}

/// A directory with a track of each of these kinds.
#[cfg(test)]
pub(in crate::media) fn movie(kinds: &[&[u8; 4]]) -> Vec<u8> {
    fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [
            &u32::try_from(content.len() + 8).unwrap().to_be_bytes(),
            &name[..],
            content,
        ]
        .concat()
    }
    let track = |kind: &&[u8; 4]| {
        let handler = boxed(b"hdlr", &[&[0; 8], &kind[..], &[0; 13]].concat());
        boxed(
            b"trak",
            &[
                boxed(b"tkhd", &[0; 84]),
                boxed(b"mdia", &[boxed(b"mdhd", &[0; 24]), handler].concat()),
            ]
            .concat(),
        )
    };
    let tracks: Vec<u8> = kinds.iter().flat_map(track).collect();
    boxed(b"moov", &[boxed(b"mvhd", &[0; 100]), tracks].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kinds: &[&[u8; 4]]) -> Vec<u8> {
        let data = [&24u32.to_be_bytes()[..], b"mdat", &[0xa5; 16]].concat();
        let large = [
            &1u32.to_be_bytes()[..],
            b"mdat",
            &32u64.to_be_bytes(),
            &[0xa5; 16],
        ]
        .concat();
        [data, large, movie(kinds)].concat()
    }

    #[test]
    fn sound_is_what_has_no_picture() {
        assert!(has_sound_only(&file(&[b"soun"])));
        assert!(has_sound_only(&file(&[b"soun", b"soun", b"text"])));
        for film in [
            &[b"vide"][..],
            &[b"soun", b"vide"],
            &[b"vide", b"soun"],
            &[b"text"],
            &[],
        ] {
            assert!(!has_sound_only(&file(film)), "{film:?}");
        }
    }

    #[test]
    fn a_directory_that_isnt_seen_whole_shows_nothing() {
        let whole = file(&[b"soun"]);
        for end in 0..whole.len() {
            assert!(!has_sound_only(&whole[..end]), "cut at {end}");
        }
        for at in 0..whole.len() {
            for lie in [0, 1, 0xff] {
                let mut file = whole.clone();
                file[at] = lie;
                let _ = has_sound_only(&file);
            }
        }
    }
}
