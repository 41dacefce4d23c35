//! Zip files by the names of their entries (APPNOTE.TXT 4.3.7), read from the local headers as far
//! as the look-ahead goes. Office writers order entries as they like and put thumbnails first, so
//! the whole look-ahead is walked.

use memchr::memmem;

use super::detection::Detection;
use crate::media::table::{self, MediaForm};

const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
const HEADER_LEN: usize = 30;
/// Sizes are behind the entry, not in its header.
const HAS_DESCRIPTOR: u16 = 1 << 3;
/// The bound on entries that are looked at: each costs a few comparisons.
const MAX_ENTRIES: usize = 2048;

/// What a zip file may be that shows nothing as far as it is seen.
const UNSEEN: &[MediaForm] = &[
    MediaForm::Zip,
    MediaForm::App,
    MediaForm::Word,
    MediaForm::Excel,
    MediaForm::Slides,
];
/// What one may be that has the mark of something that is made of zip, but of no one type.
const MARKED: &[MediaForm] = &[MediaForm::Zip, MediaForm::App];
/// What one may be that is all there and has no mark: a claim to run is believed, so that policy
/// refuses it.
const PLAIN: &[MediaForm] = &[MediaForm::App];

/// The type of a zip file. One that is all there is judged by its entries; else `application/zip`
/// is open to whatever is made of zip.
pub(super) fn read(head: &[u8], is_whole_file: bool) -> Option<Detection> {
    let empty = head.starts_with(b"PK\x05\x06");
    let spanned = head.starts_with(b"PK\x07\x08PK\x03\x04") || head.starts_with(b"PK00PK\x03\x04");
    if !(empty || spanned || head.starts_with(LOCAL_HEADER)) {
        return None;
    }
    if let Some(first) = entries(head).next()
        && let Some(found) = declared_inside(first)
    {
        return Some(found);
    }
    Some(by_names(head, is_whole_file))
}

/// OpenDocument and EPUB store their own type, uncompressed, as the first entry.
fn declared_inside(first: Entry) -> Option<Detection> {
    if first.name != b"mimetype" {
        return None;
    }
    let row = table::by_essence(std::str::from_utf8(first.data).ok()?.trim())?;
    if !matches!(row.form, MediaForm::Zip | MediaForm::App) {
        return None;
    }
    Some(Detection::only(row.essence))
}

/// What runs comes first: a document's entry doesn't make an app harmless.
fn by_names(head: &[u8], is_whole_file: bool) -> Detection {
    let seen = Seen::gather(head);
    let office = |certain, folder| certain || (folder && seen.package);
    if seen.android {
        Detection::only("application/vnd.android.package-archive")
    } else if seen.windows {
        Detection::only("application/vnd.ms-appx")
    } else if seen.java {
        Detection::only("application/java-archive")
    } else if office(seen.document, seen.word) {
        Detection::with_alternatives(
            seen.plain_or_macro(
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                "application/vnd.ms-word.document.macroenabled.12",
            ),
            &[MediaForm::Word],
        )
    } else if seen.binary_workbook {
        Detection::with_alternatives(
            "application/vnd.ms-excel.sheet.binary.macroenabled.12",
            &[MediaForm::Excel],
        )
    } else if office(seen.workbook, seen.excel) {
        Detection::with_alternatives(
            seen.plain_or_macro(
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                "application/vnd.ms-excel.sheet.macroenabled.12",
            ),
            &[MediaForm::Excel],
        )
    } else if office(seen.presentation, seen.slides) {
        Detection::with_alternatives(
            seen.plain_or_macro(
                "application/vnd.openxmlformats-officedocument.presentationml.presentation",
                "application/vnd.ms-powerpoint.presentation.macroenabled.12",
            ),
            &[MediaForm::Slides],
        )
    } else {
        Detection::with_alternatives("application/zip", seen.alternatives(is_whole_file))
    }
}

/// Which telling entries a zip file has.
#[derive(Default)]
struct Seen {
    android: bool,
    windows: bool,
    java: bool,
    /// The marks of an OPC package (ECMA-376-2).
    package: bool,
    word: bool,
    document: bool,
    excel: bool,
    workbook: bool,
    slides: bool,
    presentation: bool,
    binary_workbook: bool,
    macros: bool,
    /// Marks of other things that are made of zip: maps, passes, books, drawings, iWork,
    /// OpenDocument.
    marked: bool,
}

impl Seen {
    fn gather(head: &[u8]) -> Self {
        let mut seen = Self::default();
        for entry in entries(head) {
            seen.note(entry.name);
        }
        seen
    }

    fn plain_or_macro(&self, plain: &'static str, with_macros: &'static str) -> &'static str {
        if self.macros { with_macros } else { plain }
    }

    fn alternatives(&self, is_whole_file: bool) -> &'static [MediaForm] {
        if !is_whole_file {
            UNSEEN
        } else if self.marked {
            MARKED
        } else {
            PLAIN
        }
    }

    fn note(&mut self, name: &[u8]) {
        match name {
            b"AndroidManifest.xml" | b"classes.dex" => self.android = true,
            b"AppxManifest.xml" | b"AppxMetadata/AppxBundleManifest.xml" => self.windows = true,
            b"META-INF/MANIFEST.MF" => self.java = true,
            b"[Content_Types].xml" => self.package = true,
            b"word/document.xml" => self.document = true,
            b"xl/workbook.xml" => self.workbook = true,
            b"xl/workbook.bin" => self.binary_workbook = true,
            b"ppt/presentation.xml" => self.presentation = true,
            b"mimetype"
            | b"pass.json"
            | b"META-INF/container.xml"
            | b"META-INF/manifest.xml"
            | b"Index.zip"
            | b"index.xml"
            | b"index.apxl" => self.marked = true,
            _ => self.note_folder(name),
        }
    }

    fn note_folder(&mut self, name: &[u8]) {
        self.java |= name.ends_with(b".class");
        self.macros |= name.ends_with(b"/vbaProject.bin");
        self.marked |=
            name.starts_with(b"visio/") || name.ends_with(b".kml") || name.ends_with(b".iwa");
        self.package |= name.starts_with(b"_rels/") || name.starts_with(b"docProps/");
        self.word |= name.starts_with(b"word/");
        self.excel |= name.starts_with(b"xl/");
        self.slides |= name.starts_with(b"ppt/");
    }
}

/// An entry's name and the start of its data, as stored.
struct Entry<'a> {
    name: &'a [u8],
    data: &'a [u8],
}

fn entries(head: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = from_local_header(head);
    std::iter::from_fn(move || {
        let (entry, next) = split_entry(rest)?;
        rest = next;
        Some(entry)
    })
    .take(MAX_ENTRIES)
}

/// The first entry and what follows it. Where the header doesn't tell the size, the next
/// one is searched for; an entry that reaches beyond the look-ahead is the last.
fn split_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let header = bytes.get(..HEADER_LEN)?;
    if !header.starts_with(LOCAL_HEADER) {
        return None;
    }
    let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let size = usize::from(number(18)) | usize::from(number(20)) << 16;
    let name_end = HEADER_LEN + usize::from(number(26));
    let name = bytes.get(HEADER_LEN..name_end)?;
    let body = bytes
        .get(name_end + usize::from(number(28))..)
        .unwrap_or_default();
    let sized = number(6) & HAS_DESCRIPTOR == 0;
    let (data, behind) = if sized {
        body.split_at(size.min(body.len()))
    } else {
        (&[][..], body)
    };
    Some((Entry { name, data }, from_local_header(behind)))
}

/// The bytes from the next local header on; none if there is no other.
fn from_local_header(bytes: &[u8]) -> &[u8] {
    match memmem::find(bytes, LOCAL_HEADER) {
        Some(at) => &bytes[at..],
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::fixtures::{zip, zip_with_descriptors};

    fn essence(names: &[&str]) -> &'static str {
        let entries: Vec<_> = names.iter().map(|name| (*name, &b"<xml/>"[..])).collect();
        let plain = read(&zip(&entries), true).unwrap().row.essence;
        assert_eq!(
            read(&zip_with_descriptors(&entries), false)
                .unwrap()
                .row
                .essence,
            plain
        );
        plain
    }

    #[test]
    fn office_files_are_recognised_in_any_entry_order() {
        assert!(
            essence(&[
                "[Content_Types].xml",
                "_rels/.rels",
                "docProps/app.xml",
                "word/document.xml"
            ])
            .ends_with("wordprocessingml.document")
        );
        assert!(
            essence(&["xl/styles.xml", "[Content_Types].xml"]).ends_with("spreadsheetml.sheet")
        );
        assert!(
            essence(&["docProps/thumbnail.jpeg", "ppt/slides/slide1.xml"])
                .ends_with("presentationml.presentation")
        );
    }

    #[test]
    fn a_folder_named_word_makes_no_document() {
        assert_eq!(essence(&["word/notes.txt", "photo.jpg"]), "application/zip");
    }

    #[test]
    fn a_document_behind_a_thumbnail_is_found() {
        let thumbnail = vec![0x55; 23_000];
        let file = zip(&[
            ("[Content_Types].xml", b"x"),
            ("docProps/thumbnail.jpeg", &thumbnail),
            ("word/document.xml", b"x"),
        ]);
        assert!(
            read(&file, true)
                .unwrap()
                .row
                .essence
                .ends_with("wordprocessingml.document")
        );
    }

    #[test]
    fn a_manifest_makes_an_app_beside_a_document() {
        assert_eq!(
            essence(&["META-INF/MANIFEST.MF", "a/B.class"]),
            "application/java-archive"
        );
        assert_eq!(
            essence(&["META-INF/MANIFEST.MF", "classes.dex"]),
            "application/vnd.android.package-archive"
        );
        assert_eq!(
            essence(&[
                "[Content_Types].xml",
                "word/document.xml",
                "META-INF/MANIFEST.MF"
            ]),
            "application/java-archive"
        );
    }

    #[test]
    fn an_open_document_names_itself() {
        let file = zip(&[
            (
                "mimetype",
                b"application/vnd.oasis.opendocument.spreadsheet",
            ),
            ("content.xml", b"x"),
        ]);
        assert_eq!(
            read(&file, true).unwrap().row.essence,
            "application/vnd.oasis.opendocument.spreadsheet"
        );
    }

    #[test]
    fn a_complete_zip_is_what_its_entries_show() {
        let plain = zip(&[("photo.jpg", b"x"), ("notes/a.txt", b"x")]);
        assert_eq!(
            read(&plain, true).unwrap(),
            Detection::with_alternatives("application/zip", PLAIN)
        );
        assert_eq!(
            read(&plain, false).unwrap(),
            Detection::with_alternatives("application/zip", UNSEEN)
        );
        for mark in [
            "doc.kml",
            "pass.json",
            "Index/Document.iwa",
            "META-INF/container.xml",
            "visio/document.xml",
        ] {
            assert_eq!(
                read(&zip(&[("a", b"x"), (mark, b"x")]), true).unwrap(),
                Detection::with_alternatives("application/zip", MARKED),
                "{mark}"
            );
        }
    }

    #[test]
    fn macros_make_another_document() {
        assert!(
            essence(&["word/document.xml", "word/vbaProject.bin"])
                .ends_with("word.document.macroenabled.12")
        );
        assert!(
            essence(&["xl/workbook.xml", "xl/vbaProject.bin"])
                .ends_with("excel.sheet.macroenabled.12")
        );
        assert!(
            essence(&["ppt/presentation.xml", "ppt/vbaProject.bin"])
                .ends_with("presentation.macroenabled.12")
        );
        assert!(
            essence(&["xl/workbook.bin", "[Content_Types].xml"])
                .ends_with("sheet.binary.macroenabled.12")
        );
    }

    #[test]
    fn a_zip_inside_a_zip_is_not_looked_into() {
        let inner = zip(&[("META-INF/MANIFEST.MF", b"x")]);
        assert_eq!(
            read(&zip(&[("inner.jar", &inner), ("a.txt", b"x")]), true)
                .unwrap()
                .row
                .essence,
            "application/zip"
        );
    }

    #[test]
    fn headers_that_lie_about_sizes_end_the_walk() {
        let mut file = zip(&[("a", b"x"), ("word/document.xml", b"x")]);
        file[18..22].copy_from_slice(&[0xff; 4]);
        assert_eq!(read(&file, true).unwrap().row.essence, "application/zip");
        file.truncate(31);
        assert!(read(&file, true).is_some());
    }
}
