//! The extension of a file name, and who knows it.

use super::clean_name::clean;
use super::table;

/// Longer ones aren't extensions but sentences with a dot in them.
const MAX_EXTENSION: usize = 16;
/// Extensions of what runs that are top-level domains, too.
const TOP_LEVEL: &[&str] = &["com", "pl", "pm", "py", "run", "sh", "so", "ws"];
/// The extension of a name as the caller wrote it, if it has one.
pub(super) fn extension_of(name: &str) -> Option<String> {
    let name = clean(name)?;
    let (_, extension) = split(&name);
    Some(extension?.to_owned())
}

/// A stem, and behind the last dot an extension: ASCII letters and digits with a letter among
/// them, so that `Report 3.5` and `Mr. Smith` have none.
pub(super) fn split(name: &str) -> (&str, Option<&str>) {
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
pub(super) fn is_domain(stem: &str, extension: &str) -> bool {
    let word = stem.rsplit(char::is_whitespace).next().unwrap_or_default();
    let is_address = match word.get(..4) {
        Some(start) if start.eq_ignore_ascii_case("www.") => true,
        _ => word.contains('@'),
    };
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

/// Whether the table has the extension.
pub(super) fn is_listed(extension: &str) -> bool {
    table::by_extension(extension).next().is_some()
}

/// Whether anybody knows the extension, so that it isn't just a part of the name.
pub(super) fn is_known(extension: &str) -> bool {
    is_listed(extension) || !mime_guess::from_ext(extension).is_empty()
}
