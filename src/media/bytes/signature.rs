//! Signatures. `infer` knows most; here are those that it lacks, and those that it takes from too
//! few bytes.

use memchr::{memchr, memmem};

use super::detection::Detection;
use super::{audio, bmff, ole, stream, zip};
use crate::media::table::{self, MediaForm};

/// Signatures that readable text may carry on from, and that no other text begins with.
const IN_ASCII: &[(&[u8], &str)] = &[
    (b"%PDF-", "application/pdf"),
    (b"%!PS", "application/postscript"),
    (b"{\\rtf", "application/rtf"),
    // Speech, before scripts, which begin with `#!` as well (RFC 4867, RFC 3952, RFC 4788). WeChat
    // puts a 2 in front.
    (b"#!AMR\n", "audio/amr"),
    (b"#!AMR_MC1.0\n", "audio/amr"),
    (b"#!AMR-WB\n", "audio/amr-wb"),
    (b"#!AMR-WB_MC1.0\n", "audio/amr-wb"),
    (b"#!SILK", "audio/silk"),
    (b"\x02#!SILK", "audio/silk"),
    (b"#!iLBC20\n", "audio/ilbc"),
    (b"#!iLBC30\n", "audio/ilbc"),
    (b"#!EVRC", "audio/evrc"),
    (b"#!EVCWB", "audio/evrc"),
    (b"#!EVS_MC1.0\n", "audio/evs"),
];

/// Signatures of binary files that `infer` lacks or takes from fewer bytes.
const BINARY: &[(&[u8], &str)] = &[
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"ttcf", "font/collection"),
    (b"caff\0", "audio/x-caf"),
    (b".snd\0", "audio/basic"),
    (b"\x0b\x77", "audio/ac3"),
    (b"\xC5\xD0\xD3\xC6", "application/postscript"),
    (b"\x02dss", "audio/x-dss"),
    (b"\x03dss", "audio/x-dss"),
    (b"\x03ds2", "audio/x-dss"),
    (b"\x07ds2", "audio/x-dss"),
    (b"MS_VOICE", "audio/x-dvf"),
    (b"TTA1", "audio/x-tta"),
    (b"wvpk", "audio/x-wavpack"),
    (b".RMF", "application/vnd.rn-realmedia"),
    (b".ra\xfd", "audio/x-realaudio"),
    (b"MMMD", "application/vnd.smaf"),
    (
        b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02",
        "application/mxf",
    ),
    (b"\x97JB2\r\n\x1a\n", "image/x-jbig2"),
    (b"\x1f\x8b", "application/gzip"),
    (
        b"\xE4\x52\x5C\x7B\x8C\xD8\xA7\x4D\xAE\xB1\x53\x78\xD0\x29\x96\xD3",
        "application/onenote",
    ),
    (b"\0\x01\0\0Standard Jet DB", "application/x-msaccess"),
    (b"\0\x01\0\0Standard ACE DB", "application/x-msaccess"),
    (b"\x78\x9f\x3e\x22", "application/vnd.ms-tnef"),
    (b"\xffWPC", "application/vnd.wordperfect"),
    (
        b"\x30\x26\xB2\x75\x8E\x66\xCF\x11\xA6\xD9",
        "video/x-ms-wmv",
    ),
    (b"IIU\0", "image/x-panasonic-rw2"),
    (b"IIRO", "image/x-olympus-orf"),
    (b"IIRS", "image/x-olympus-orf"),
    (b"MMOR", "image/x-olympus-orf"),
    (b"FUJIFILMCCD-RAW", "image/x-fuji-raf"),
    (b"FOVb", "image/x-sigma-x3f"),
    (b"II\x1a\0\0\0HEAPCCDR", "image/x-canon-crw"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\x7fELF", "application/x-elf"),
    (b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (b"dex\n", "application/vnd.android.dex"),
    (b"dey\n", "application/vnd.android.dex"),
    (b"\0asm", "application/wasm"),
    (b"BC\xC0\xDE", "application/x-llvm"),
    (b"\xDE\xC0\x17\x0B", "application/x-llvm"),
    (b"\xED\xAB\xEE\xDB", "application/x-rpm"),
    (b"xar!", "application/x-xar"),
    (b"Cr24", "application/x-chrome-extension"),
    // The size of the header and the first bytes of its class ([MS-SHLLINK] 2.1).
    (b"L\0\0\0\x01\x14\x02\0", "application/x-ms-shortcut"),
    (b"Fasd UAS", "application/x-applescript"),
];

/// Types for which `infer` is content with two or three bytes, or with bytes far from the start;
/// the checks here have the last word on them.
const OURS_ALONE: &[&str] = &[
    "application/pdf",
    "application/postscript",
    "application/vnd.microsoft.portable-executable",
    "application/x-cpio",
    "audio/aac",
    "audio/mpeg",
    "image/bmp",
    "image/gif",
    "image/webp",
    "text/html",
    "text/x-shellscript",
    "text/xml",
    "video/quicktime",
];

/// A type whose signature is readable text, so that it is looked for before text is.
pub(super) fn in_ascii(head: &[u8]) -> Option<Detection> {
    by_prefix(IN_ASCII, head)
}

type Reader = fn(&[u8]) -> Option<Detection>;

/// A type of bytes that aren't text.
pub(super) fn binary(head: &[u8], is_whole_file: bool) -> Option<Detection> {
    // The first one that recognizes the bytes decides.
    let readers: [Reader; 9] = [
        ole::read,
        stream::read,
        raw_photo,
        |head| by_prefix(BINARY, head),
        code,
        bitmap,
        audio::read,
        inferred,
        late_pdf,
    ];
    if let Some(found) = bmff::read(head) {
        return Some(found);
    }
    if let Some(found) = zip::read(head, is_whole_file) {
        return Some(found);
    }
    readers.iter().find_map(|read| read(head))
}

fn by_prefix(signatures: &[(&[u8], &str)], head: &[u8]) -> Option<Detection> {
    let (_, essence) = signatures
        .iter()
        .find(|(signature, _)| head.starts_with(signature))?;
    let alternatives: &[MediaForm] = match *essence {
        "image/tiff" => &[MediaForm::Tiff],
        "application/gzip" => &[MediaForm::Gzip, MediaForm::Svg],
        "video/x-ms-wmv" => &[MediaForm::Asf],
        _ => &[],
    };
    Some(Detection::with_alternatives(essence, alternatives))
}

/// Canon's raw photos are TIFF with a mark behind the header.
fn raw_photo(head: &[u8]) -> Option<Detection> {
    if !head.starts_with(b"II*\0") || head.get(8..10) != Some(b"CR") {
        return None;
    }
    Some(Detection::only("image/x-canon-cr2"))
}

/// Code whose signature begins like a sentence (`MZ`) or is shared (`CAFEBABE`).
fn code(head: &[u8]) -> Option<Detection> {
    let essence = match head {
        // The DOS header has zeros in any program; a letter to Mr MZ in Latin-1 has none.
        [b'M', b'Z', rest @ ..] | [b'Z', b'M', rest @ ..]
            if memchr(0, &rest[..rest.len().min(62)]).is_some() =>
        {
            "application/vnd.microsoft.portable-executable"
        }
        // Fat Mach-O counts its architectures where Java has its version, which is 45 or more.
        [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, count, ..] if *count < 45 => "application/x-mach-binary",
        [0xca, 0xfe, 0xba, 0xbe, ..] => "application/java-vm",
        _ => return None,
    };
    Some(Detection::only(essence))
}

/// `BM`, two reserved words of zero, and the size of a header that exists.
fn bitmap(head: &[u8]) -> Option<Detection> {
    let header = head.strip_prefix(b"BM")?.get(4..16)?;
    let has_size = matches!(
        header[8..],
        [12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]
    );
    if header[..4] != [0; 4] || !has_size {
        return None;
    }
    Some(Detection::only("image/bmp"))
}

/// What `infer` says, as far as it has a row and isn't known to guess.
fn inferred(head: &[u8]) -> Option<Detection> {
    let kind = infer::get(head)?;
    let row = table::by_extension(kind.extension()).next()?;
    if OURS_ALONE.contains(&row.essence) {
        return None;
    }
    Some(Detection::only(row.essence))
}

/// Readers accept a PDF header anywhere in the first 1024 bytes (PDF 1.7, appendix H, note 13).
fn late_pdf(head: &[u8]) -> Option<Detection> {
    memmem::find(&head[..head.len().min(1024)], b"%PDF-")?;
    Some(Detection::only("application/pdf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_name_listed_types() {
        for (_, essence) in IN_ASCII.iter().chain(BINARY) {
            assert_eq!(table::row(essence).essence, *essence);
        }
    }

    #[test]
    fn code_is_known_whatever_its_machine() {
        assert_eq!(
            code(b"MZ\x90\0\x03"),
            Some(Detection::only(
                "application/vnd.microsoft.portable-executable"
            ))
        );
        assert_eq!(
            code(b"\xca\xfe\xba\xbe\0\0\0\x02"),
            Some(Detection::only("application/x-mach-binary"))
        );
        assert_eq!(
            code(b"\xca\xfe\xba\xbe\0\0\0\x41"),
            Some(Detection::only("application/java-vm"))
        );
    }

    #[test]
    fn a_bitmap_needs_a_header_that_exists() {
        assert_eq!(
            bitmap(b"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"),
            Some(Detection::only("image/bmp"))
        );
        assert_eq!(bitmap(b"BMW f\xe4hrt in die Stadt\0"), None);
    }

    #[test]
    fn infer_is_asked_for_the_rest() {
        let essence = |head: &[u8]| binary(head, true).map(|found| found.row.essence);
        assert_eq!(essence(b"\xff\xd8\xff\xe0\0\x10JFIF\0"), Some("image/jpeg"));
        assert_eq!(essence(b"\x89PNG\r\n\x1a\n"), Some("image/png"));
        assert_eq!(
            essence(b"7z\xbc\xaf\x27\x1c\0"),
            Some("application/x-7z-compressed")
        );
        assert_eq!(essence(b"wOF2\0\x01\0\0"), Some("font/woff2"));
        assert_eq!(essence(b"junk\0%PDF-1.4"), Some("application/pdf"));
        assert_eq!(essence(b"\x01\x02\x03\x04"), None);
    }
}
