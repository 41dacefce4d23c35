//! What a command prints: results on standard output, all else on standard error.

use std::io::{self, Write};

/// A text on one line, with nothing that a terminal would obey. Names and details come from
/// strangers.
pub(in crate::cli) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A result. That nobody reads it (`| head`) is no failure.
pub(in crate::cli) fn print_line(line: &str) {
    let _nobody_reads = writeln!(io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_letters_stay() {
        assert_eq!(printable("a\n\u{1b}[31m\u{9b}b"), "a\\n\\u{1b}[31m\\u{9b}b");
        assert_eq!(printable("Grüße 你.pdf"), "Grüße 你.pdf");
    }
}
