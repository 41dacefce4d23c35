//! A file's name in the characters that a sister API of eGain's is known to accept.

/// Replaces every other character.
const PLACEHOLDER: char = '_';

/// The name with nothing but letters, digits, `@ : . _ - &`, white space and what isn't ASCII
/// (bytes 80 to FF). None where it is that already.
pub(super) fn plain(name: &str) -> Option<String> {
    let folded: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { PLACEHOLDER })
        .collect();
    if folded == name { None } else { Some(folded) }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || !c.is_ascii()
        || matches!(c, '@' | ':' | '.' | '_' | '-' | '&' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_characters_are_replaced() {
        for (name, folded) in [
            ("photo (1).jpg", "photo _1_.jpg"),
            ("o'neil.pdf", "o_neil.pdf"),
            ("a+b=c#d%20.txt", "a_b_c_d_20.txt"),
            (
                "fot\u{f3} \u{2013} \u{5199}\u{771f} [2].jpg",
                "fot\u{f3} \u{2013} \u{5199}\u{771f} _2_.jpg",
            ),
        ] {
            assert_eq!(plain(name).as_deref(), Some(folded));
        }
        for name in ["a.txt", "me@home: A-1_b & c.pdf", "\u{5199}\u{771f}.jpg"] {
            assert_eq!(plain(name), None, "{name}");
        }
    }
}
