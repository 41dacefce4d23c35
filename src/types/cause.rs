//! Why something failed below us, in the words of the libraries that saw it: for the log only.

use std::error::Error;

/// A cause is cut here, in characters.
const LONGEST_CAUSE: usize = 300;

/// An error and all that it came from, the innermost last, without URLs: one may be signed.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        let says = error.to_string();
        // Many errors say what their source says, too.
        if text.ends_with(&says) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&says);
    }
    text.split_inclusive(char::is_whitespace)
        .map(without_url)
        .collect::<String>()
        .chars()
        .take(LONGEST_CAUSE)
        .collect()
}

fn without_url(word: &str) -> &str {
    if word.contains("://") { "[url] " } else { word }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("error for https://storage.example.com/x?signature=1 : {0}")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_cause_is_told_once_and_without_urls() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(
            chain(&Outer(refused)),
            "error for [url] : connection refused"
        );
    }
}
