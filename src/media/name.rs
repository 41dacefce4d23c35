//! The name under which a file is stored. eGain infers the type from the extension, wants one to
//! be there, and takes 1 to 255 characters.

use super::clean_name::{clean, is_edge};
use super::extension::{is_domain, is_known, split};
use super::sniff::SniffedType;

/// eGain's limit, in characters.
const MAX_CHARS: usize = 255;
/// The stem of a file that has no name.
const NAMELESS: &str = "upload";

/// A name that agrees with the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredName {
    /// 1 to 255 characters with an extension; no path, no control characters, none that turn the
    /// direction of writing.
    pub name: String,
    /// What became of the extension that the caller gave.
    pub extension: ExtensionOutcome,
}

/// What became of the extension that the caller gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionOutcome {
    /// It agrees with the bytes.
    Kept,
    /// There was none, or one that says less than is known: `photo`, `photo.bin`, `report.zip`
    /// for a document, `Report 3.5`.
    Completed,
    /// It contradicted the bytes and was replaced: policy may refuse that.
    Replaced,
}

/// The name that will be stored for a file of this type.
///
/// The last extension counts, and what is before it stays: `invoice.jpg.exe` that is
/// a JPEG becomes `invoice.jpg`, `invoice.pdf.exe` becomes `invoice.pdf.jpg`. An extension that
/// nobody knows is taken for a part of the name and the right one is appended, unless the type is
/// as unknown as it is. Agreeing to the result again changes nothing.
pub fn agree(name: Option<&str>, sniffed: &SniffedType) -> StoredName {
    let name = match name.and_then(clean) {
        Some(name) => name,
        None => NAMELESS.to_owned(),
    };
    let (stem, extension) = split(&name);
    let Some(extension) = extension else {
        return StoredName {
            name: with_extension(&name, sniffed),
            extension: ExtensionOutcome::Completed,
        };
    };
    if sniffed.accepts(extension) {
        return StoredName {
            name: join(stem, extension),
            extension: ExtensionOutcome::Kept,
        };
    }
    StoredName {
        name: with_extension(if is_known(extension) { stem } else { &name }, sniffed),
        extension: if sniffed.is_contradicted_by(extension) {
            ExtensionOutcome::Replaced
        } else {
            ExtensionOutcome::Completed
        },
    }
}

/// The stem with the type's own extension, unless it already ends in one that means the type.
fn with_extension(stem: &str, sniffed: &SniffedType) -> String {
    match split(stem) {
        (shorter, Some(extension)) if sniffed.is_meant_by(extension) => join(shorter, extension),
        _ => join(stem, sniffed.extension()),
    }
}

/// Cuts the stem, never the extension, to the limit. An extension that would be read as the end of
/// an address is there twice.
fn join(stem: &str, extension: &str) -> String {
    let stem = cut(stem, extension.len() + 1);
    if is_domain(stem, extension) {
        return format!(
            "{}.{extension}.{extension}",
            cut(stem, 2 * (extension.len() + 1))
        );
    }
    format!("{stem}.{extension}")
}

/// The start of a stem that leaves `free` characters free.
fn cut(stem: &str, free: usize) -> &str {
    let cut = match stem.char_indices().nth(MAX_CHARS.saturating_sub(free)) {
        Some((end, _)) => &stem[..end],
        None => stem,
    };
    match cut.trim_end_matches(is_edge) {
        "" => NAMELESS,
        stem => stem,
    }
}

#[cfg(test)]
mod tests;
