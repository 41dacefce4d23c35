//! The name under which a file is stored. eGain infers the type from the extension, wants one to
//! be there, and takes 1 to 255 characters.

use super::sniff::{Sniffed, is_known};

/// eGain's limit, in characters.
const MAX_CHARS: usize = 255;
/// Longer ones aren't extensions but sentences with a dot in them.
const MAX_EXTENSION: usize = 16;
/// The stem of a file that has no name.
const NAMELESS: &str = "upload";

/// A name that agrees with the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedName {
    /// 1 to 255 characters with an extension; no path, no control or direction characters.
    pub name: String,
    /// What became of the extension that the caller gave.
    pub extension: Extension,
}

/// What became of the extension that the caller gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
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
/// The last extension counts, and what stands before it is left alone: `invoice.jpg.exe` that is
/// a JPEG becomes `invoice.jpg`, `invoice.pdf.exe` becomes `invoice.pdf.jpg`. An extension that
/// nobody knows is taken for a part of the name and the right one is appended, unless the type is
/// as unknown as it is. Agreeing to the result again changes nothing.
pub fn agree(name: Option<&str>, sniffed: &Sniffed) -> AgreedName {
    let name = name.and_then(clean).unwrap_or_else(|| NAMELESS.to_owned());
    let (stem, given) = split(&name);
    let Some(given) = given else {
        return AgreedName { name: with_extension(&name, sniffed), extension: Extension::Completed };
    };
    if sniffed.accepts(given) {
        return AgreedName { name: join(stem, given), extension: Extension::Kept };
    }
    AgreedName {
        name: with_extension(if is_known(given) { stem } else { &name }, sniffed),
        extension: if sniffed.is_contradicted_by(given) { Extension::Replaced } else { Extension::Completed },
    }
}

/// The extension of a name as given, if it has one.
pub(super) fn extension_of(name: &str) -> Option<String> {
    split(&clean(name)?).1.map(str::to_owned)
}

/// The last part of a path without what misleads the eye or a terminal; none if nothing is left.
pub(super) fn clean(name: &str) -> Option<String> {
    name.rsplit(['/', '\\']).map(clean_part).find(|part| !part.is_empty())
}

fn clean_part(part: &str) -> String {
    let visible: String = part.chars().filter(|c| !c.is_control() && !is_format(*c)).collect();
    visible.trim_matches(is_edge).to_owned()
}

fn is_edge(c: char) -> bool {
    c == '.' || c.is_whitespace()
}

/// Characters that show nothing, turn the direction of writing, or break lines: Unicode's Cf
/// outside of scripts that need them for their own signs, Zl and Zp.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A stem, and behind the last dot an extension: ASCII letters and digits with a letter among
/// them, so that `Report 3.5` and `Mr. Smith` have none.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if is_extension(extension) && !stem.is_empty() => (stem, Some(extension)),
        _ => (name, None),
    }
}

fn is_extension(word: &str) -> bool {
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+'));
    plain && word.len() <= MAX_EXTENSION && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// The stem with the type's own extension, unless it already ends in one that means the type.
fn with_extension(stem: &str, sniffed: &Sniffed) -> String {
    match split(stem) {
        (shorter, Some(given)) if sniffed.is_meant_by(given) => join(shorter, given),
        _ => join(stem, sniffed.extension()),
    }
}

/// Cuts the stem, never the extension, to the limit.
fn join(stem: &str, extension: &str) -> String {
    let room = MAX_CHARS.saturating_sub(extension.len() + 1);
    let cut = stem.char_indices().nth(room).map_or(stem, |(end, _)| &stem[..end]);
    let stem = match cut.trim_end_matches(is_edge) {
        "" => NAMELESS,
        stem => stem,
    };
    format!("{stem}.{extension}")
}

#[cfg(test)]
mod tests;
