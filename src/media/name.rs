//! The name under which a file is stored. eGain infers the type from the extension, wants one to
//! be there, and takes 1 to 255 characters.

use super::sniff::{SniffedType, is_known};

/// eGain's limit, in characters.
const MAX_CHARS: usize = 255;
/// Longer ones aren't extensions but sentences with a dot in them.
const MAX_EXTENSION: usize = 16;
/// Extensions of what runs that are top-level domains, too.
const TOP_LEVEL: &[&str] = &["com", "pl", "pm", "py", "run", "sh", "so", "ws"];
/// The stem of a file that has no name.
const NAMELESS: &str = "upload";

/// A name that agrees with the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedName {
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
/// The last extension counts, and what stands before it is left alone: `invoice.jpg.exe` that is
/// a JPEG becomes `invoice.jpg`, `invoice.pdf.exe` becomes `invoice.pdf.jpg`. An extension that
/// nobody knows is taken for a part of the name and the right one is appended, unless the type is
/// as unknown as it is. Agreeing to the result again changes nothing.
pub fn agree(name: Option<&str>, sniffed: &SniffedType) -> AgreedName {
    let name = name.and_then(clean).unwrap_or_else(|| NAMELESS.to_owned());
    let (stem, given) = split(&name);
    let Some(given) = given else {
        return AgreedName {
            name: with_extension(&name, sniffed),
            extension: ExtensionOutcome::Completed,
        };
    };
    if sniffed.accepts(given) {
        return AgreedName {
            name: join(stem, given),
            extension: ExtensionOutcome::Kept,
        };
    }
    AgreedName {
        name: with_extension(if is_known(given) { stem } else { &name }, sniffed),
        extension: if sniffed.is_contradicted_by(given) {
            ExtensionOutcome::Replaced
        } else {
            ExtensionOutcome::Completed
        },
    }
}

/// The extension of a name as given, if it has one.
pub(super) fn extension_of(name: &str) -> Option<String> {
    split(&clean(name)?).1.map(str::to_owned)
}

/// The last part of a path without what misleads the eye or a terminal; none if nothing is left.
pub(super) fn clean(name: &str) -> Option<String> {
    name.rsplit(['/', '\\'])
        .map(clean_part)
        .find(|part| !part.is_empty())
}

fn clean_part(part: &str) -> String {
    let mut visible = String::with_capacity(part.len());
    for c in part.chars().filter(|c| !c.is_control()) {
        if !is_format(c)
            || visible
                .chars()
                .next_back()
                .is_some_and(|before| is_orthography(c, before))
        {
            visible.push(c);
        }
    }
    visible.trim_matches(is_edge).to_owned()
}

fn is_edge(c: char) -> bool {
    c == '.' || c.is_whitespace() || matches!(c, '\u{200c}'..='\u{200f}' | '\u{61c}')
}

/// Whether a character that shows nothing belongs to the one before it: joiners in Persian, in the
/// scripts of India and in emoji, marks of direction in Hebrew and Arabic, variants of Mongolian
/// letters and of Han, the tags that make Scotland's flag. Behind any other they would only
/// mislead.
fn is_orthography(c: char, before: char) -> bool {
    match c {
        '\u{200c}' | '\u{200d}' => !before.is_ascii() && !matches!(before, '\u{200c}'..='\u{200f}'),
        '\u{200e}' | '\u{200f}' | '\u{61c}' => is_right_to_left(before),
        '\u{180b}'..='\u{180f}' => matches!(before, '\u{1820}'..='\u{18aa}'),
        '\u{e0100}'..='\u{e01ef}' => {
            matches!(before, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
        }
        '\u{e0030}'..='\u{e007f}' => matches!(before, '\u{1f3f4}' | '\u{e0030}'..='\u{e007e}'),
        _ => false,
    }
}

/// Letters of Hebrew, Arabic and what is written like them.
fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
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
        Some((stem, extension))
            if is_extension(extension) && !stem.is_empty() && !is_domain(stem, extension) =>
        {
            (stem, Some(extension))
        }
        _ => (name, None),
    }
}

/// Whether a name ends with somebody's address rather than with an extension: `Chat with
/// info@acme.com`.
fn is_domain(stem: &str, extension: &str) -> bool {
    let word = stem.rsplit(char::is_whitespace).next().unwrap_or_default();
    let is_address = word.contains('@')
        || word
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("www."));
    let in_a_sentence = extension.eq_ignore_ascii_case("com") && word.len() < stem.len();
    let is_both = TOP_LEVEL
        .iter()
        .any(|domain| domain.eq_ignore_ascii_case(extension));
    is_both
        && (is_address || in_a_sentence)
        && !word
            .to_ascii_lowercase()
            .ends_with(&format!(".{}", extension.to_ascii_lowercase()))
}

fn is_extension(word: &str) -> bool {
    let plain = word
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+'));
    plain && word.len() <= MAX_EXTENSION && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// The stem with the type's own extension, unless it already ends in one that means the type.
fn with_extension(stem: &str, sniffed: &SniffedType) -> String {
    match split(stem) {
        (shorter, Some(given)) if sniffed.is_meant_by(given) => join(shorter, given),
        _ => join(stem, sniffed.extension()),
    }
}

/// Cuts the stem, never the extension, to the limit. An extension that would be read as the end of
/// an address stands there twice.
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

/// The start of a stem that leaves so many characters free.
fn cut(stem: &str, free: usize) -> &str {
    let cut = stem
        .char_indices()
        .nth(MAX_CHARS.saturating_sub(free))
        .map_or(stem, |(end, _)| &stem[..end]);
    match cut.trim_end_matches(is_edge) {
        "" => NAMELESS,
        stem => stem,
    }
}

#[cfg(test)]
mod tests;
