//! What type a name's extension means. eGain derives it so, as there is no field for it.

/// For extensions that are common in messaging: types that `mime_guess` lacks, or that are right
/// where it knows only an alias. The first one is what eGain is taken to respond with.
const MESSAGING: &[(&str, &str)] = &[
    ("3gp", "video/3gpp"),
    ("aif", "audio/x-aiff"),
    ("amr", "audio/amr"),
    ("apng", "image/png"),
    ("awb", "audio/amr-wb"),
    ("cab", "application/vnd.ms-cab-compressed"),
    ("dwg", "image/vnd.dwg"),
    ("f4v", "video/mp4"),
    ("flac", "audio/flac"),
    ("heic", "image/heic"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpm", "image/jp2"),
    ("jpx", "image/jp2"),
    ("m4a", "audio/mp4"),
    ("m4b", "audio/mp4"),
    ("m4p", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("mid", "audio/midi"),
    ("mts", "video/mp2t"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("psd", "image/vnd.adobe.photoshop"),
    ("rar", "application/vnd.rar"),
    ("vcf", "text/vcard"),
    ("wav", "audio/wav"),
    ("woff", "font/woff"),
];

/// Where nothing is known.
pub(super) const UNKNOWN: &str = "application/octet-stream";

/// The type of a file called `name`.
pub(super) fn of_name(name: &str) -> &'static str {
    candidates(name).next().unwrap_or(UNKNOWN)
}

/// Whether `declared` may be the type of a file called `name`. An extension that nobody knows
/// allows any type.
pub(super) fn fits(declared: &str, name: &str) -> bool {
    let essence = declared.split(';').next().unwrap_or_default().trim();
    candidates(name).next().is_none()
        || candidates(name).any(|known| known.eq_ignore_ascii_case(essence))
}

/// Whether `name` has an extension and something before it.
pub(super) fn has_extension(name: &str) -> bool {
    match name.rsplit_once('.') {
        Some((stem, extension)) => !stem.is_empty() && !extension.is_empty(),
        None => false,
    }
}

fn candidates(name: &str) -> impl Iterator<Item = &'static str> {
    let extension = match name.rsplit_once('.') {
        Some((_, extension)) => extension.to_ascii_lowercase(),
        None => String::new(),
    };
    let guesses = mime_guess::from_ext(&extension).iter_raw();
    MESSAGING
        .iter()
        .filter(move |(known, _)| *known == extension)
        .map(|(_, mime)| *mime)
        .chain(guesses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_whatever_its_case() {
        assert_eq!(of_name("a.b.JPG"), "image/jpeg");
        assert_eq!(of_name("voice.amr"), "audio/amr");
        assert_eq!(of_name("what.ever"), UNKNOWN);
    }

    #[test]
    fn parameters_and_aliases_fit_and_other_types_do_not() {
        assert!(fits("text/plain; charset=utf-8", "a.txt"));
        assert!(fits("audio/mp4", "a.m4a") && fits("audio/m4a", "a.m4a"));
        assert!(!fits("image/png", "a.jpg") && !fits(UNKNOWN, "a.jpg"));
        assert!(fits("image/png", "what.ever"));
    }

    #[test]
    fn a_name_needs_something_before_and_after_its_dot() {
        assert!(has_extension("a.txt"));
        assert!(!has_extension("txt") && !has_extension(".txt") && !has_extension("a."));
    }
}
