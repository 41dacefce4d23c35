//! ISO base media files (ISO/IEC 14496-12): one container, distinguished by the brands in its first
//! box. Brands are those registered at mp4ra.org and those that phones were seen to write.

use super::detection::Detection;
use super::tracks;
use crate::media::table::MediaForm;

/// Phones write each under the other's brand: a voice note `.m4a` of the brand `3gp4`, a clip
/// `.3gp` of `isom`.
const MOVIE: &[MediaForm] = &[
    MediaForm::Mp4,
    MediaForm::Mp4Sound,
    MediaForm::ThreeGp,
    MediaForm::ThreeGpSound,
];
/// The same, where no track shows a picture.
const SOUND: &[MediaForm] = &[MediaForm::Mp4Sound, MediaForm::ThreeGpSound];
/// The bound on compatible brands that are looked at; real files list fewer than ten.
const MAX_BRANDS: usize = 64;

/// The bound on atoms in front of one that tells; cameras write one or two.
const MAX_ATOMS: usize = 8;

/// The type by the `ftyp` box, or of a QuickTime file, which may do without it.
///
/// A preview, free space and padding may be in front of the telling atom (QuickTime File Format,
/// "Atoms").
pub(super) fn read(head: &[u8]) -> Option<Detection> {
    let mut atom = head;
    for _ in 0..MAX_ATOMS {
        match atom.get(4..8) {
            Some(b"ftyp") => return Some(by_brands(atom)),
            Some(b"moov" | b"mdat" | b"wide" | b"pnot") => {
                return Some(Detection::only("video/quicktime"));
            }
            Some(b"free" | b"skip" | b"junk" | b"PICT" | b"pict" | b"uuid") => {}
            // What follows isn't seen.
            None if atom.len() < head.len() => {
                return Some(Detection::with_alternatives(
                    "video/quicktime",
                    &[MediaForm::Mp4],
                ));
            }
            _ => return None,
        }
        let size = u32::from_be_bytes(*atom.first_chunk()?) as usize;
        atom = if size < 8 {
            return None;
        } else {
            atom.get(size..).unwrap_or_default()
        };
    }
    None
}

/// The major brand decides; where it is only a structure (`mif1`) or unknown, its companions do.
fn by_brands(head: &[u8]) -> Detection {
    let major = head.get(8..12).unwrap_or_default();
    let found = match by_brand(major) {
        Some(found) => found,
        None => by_companions(head, major),
    };
    match found.row.form {
        MediaForm::Mp4 if found.alternatives == MOVIE && tracks::has_sound_only(head) => {
            Detection::with_alternatives("audio/mp4", SOUND)
        }
        MediaForm::ThreeGp if tracks::has_sound_only(head) => {
            Detection::with_alternatives("audio/3gpp", SOUND)
        }
        _ => found,
    }
}

fn by_companions(head: &[u8], major: &[u8]) -> Detection {
    for brand in compatible(head) {
        if !is_structure(brand)
            && let Some(found) = by_brand(brand)
        {
            return found;
        }
    }
    if is_structure(major) {
        Detection::with_alternatives("image/heif", &[MediaForm::Heif])
    } else {
        Detection::with_alternatives("video/mp4", MOVIE)
    }
}

fn by_brand(brand: &[u8]) -> Option<Detection> {
    Some(match brand {
        b"avif" | b"avis" => Detection::only("image/avif"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
            Detection::with_alternatives("image/heic", &[MediaForm::Heif])
        }
        b"crx " => Detection::only("image/x-canon-cr3"),
        b"qt  " => Detection::only("video/quicktime"),
        b"M4A " | b"M4B " | b"M4P " | b"F4A " | b"F4B " => Detection::only("audio/mp4"),
        b"M4V " | b"M4VH" | b"M4VP" | b"F4V " | b"F4P " => Detection::only("video/mp4"),
        [b'3', b'g', b'2', _] | b"KDDI" | b"kddi" => Detection::only("video/3gpp2"),
        [b'3', b'g', ..] => Detection::with_alternatives("video/3gpp", MOVIE),
        [b'i', b's', b'o', _]
        | [b'm', b'p', b'4' | b'7', _]
        | b"avc1"
        | b"XAVC"
        | b"dash"
        | b"cmfc"
        | b"MSNV" => Detection::with_alternatives("video/mp4", MOVIE),
        _ => return None,
    })
}

fn is_structure(brand: &[u8]) -> bool {
    matches!(brand, b"mif1" | b"mif2" | b"msf1" | b"heif" | b"miaf")
}

/// The compatible brands: all of the box behind its 16 bytes of size, name, major and version.
fn compatible(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let size = match head.first_chunk() {
        Some(size) => u32::from_be_bytes(*size) as usize,
        None => 0,
    };
    let brands = head.get(16..size.min(head.len())).unwrap_or_default();
    brands.chunks_exact(4).take(MAX_BRANDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ftyp(brands: &str) -> Vec<u8> {
        let (major, compatible) = brands.split_at(4);
        let size = u32::try_from(16 + compatible.len()).unwrap();
        [
            &size.to_be_bytes()[..],
            b"ftyp",
            major.as_bytes(),
            &[0; 4],
            compatible.as_bytes(),
        ]
        .concat()
    }

    fn essence(brands: &str) -> &'static str {
        read(&ftyp(brands)).unwrap().row.essence
    }

    #[test]
    fn phones_videos_are_told_by_their_brand() {
        assert_eq!(essence("3gp43gp4"), "video/3gpp");
        assert_eq!(essence("3g2a3g2a"), "video/3gpp2");
        assert_eq!(essence("isomisomavc1"), "video/mp4");
        assert_eq!(essence("XAVCXAVCmp42"), "video/mp4");
        assert_eq!(essence("cmfcdash"), "video/mp4");
        assert_eq!(essence("qt  qt  "), "video/quicktime");
        assert_eq!(essence("M4A mp42isom"), "audio/mp4");
        assert_eq!(essence("????"), "video/mp4");
    }

    #[test]
    fn pictures_are_told_by_the_brand_behind_the_structure() {
        assert_eq!(essence("heicmif1heic"), "image/heic");
        assert_eq!(essence("mif1mif1heic"), "image/heic");
        assert_eq!(essence("mif1heif"), "image/heif");
        assert_eq!(essence("hevcmsf1"), "image/heic");
        assert_eq!(essence("msf1"), "image/heif");
        assert_eq!(essence("mif1avifmiaf"), "image/avif");
    }

    #[test]
    fn atoms_in_front_of_the_deciding_one_are_skipped() {
        let atom = |size: u32, name: &[u8; 4]| {
            [&size.to_be_bytes()[..], name, &vec![0; size as usize - 8]].concat()
        };
        let film = |atoms: &[Vec<u8>]| read(&atoms.concat()).map(|found| found.row.essence);
        for first in [b"moov", b"mdat", b"wide", b"pnot"] {
            assert_eq!(
                film(&[atom(20, first), atom(100, b"mdat")]),
                Some("video/quicktime")
            );
            assert_eq!(
                film(&[atom(16, b"skip"), atom(8, b"free"), atom(20, first)]),
                Some("video/quicktime")
            );
        }
        assert_eq!(
            film(&[atom(16, b"free"), ftyp("isomisom")]),
            Some("video/mp4")
        );
        assert_eq!(
            film(&[atom(5000, b"free")[..64].to_vec()]),
            Some("video/quicktime")
        );
        for no_film in [
            &b"\0\0\0\x07free\0\0\0\0"[..],
            b"\0\0\0\0skip",
            b"\0\0\0\x08free\0\0\0\x08what",
            b"free",
        ] {
            assert!(read(no_film).is_none(), "{no_film:?}");
        }
        assert!(
            read(&atom(8, b"free").repeat(1000)).is_none(),
            "the search ends"
        );
    }

    #[test]
    fn a_wrong_box_size_is_read_within_bounds() {
        let mut head = ftyp("mif1avif");
        head[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(read(&head).unwrap().row.essence, "image/avif");
        head[..4].copy_from_slice(&[0; 4]);
        assert_eq!(read(&head).unwrap().row.essence, "image/heif");
    }
}
