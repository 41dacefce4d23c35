//! The line between two parts: `CRLF "--" boundary` and then `--`, or padding and CRLF
//! (RFC 2046 section 5.1.1).

use memchr::memmem::Finder;

use crate::body::multipart::boundary::Boundary;
use crate::body::multipart::malformed::malformed;
use crate::types::error::Error;

/// Most blanks between a boundary and its CRLF. No client is known to send any; they are held back
/// until the line's end is seen.
const PADDING_LIMIT: usize = 256;

/// Finds delimiters in data.
#[derive(Debug)]
pub(super) struct DelimiterFinder(Finder<'static>);

/// How much of a delimiter was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DelimiterProgress {
    /// This number of bytes of `CRLF "--" boundary`.
    Within(usize),
    /// All of these, and this number of blanks.
    Padding(usize),
    /// The first hyphen after the boundary.
    Hyphen,
    /// The CR that ends the line.
    Return,
}

/// What a delimiter announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DelimiterKind {
    /// Another part.
    Part,
    /// The form's end.
    Close,
}

/// What one more byte tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DelimiterStep {
    /// It may still become a delimiter.
    Reading(DelimiterProgress),
    /// It isn't one; the last byte is not part of what was compared.
    Not,
    /// It is one, and this was its last byte.
    Found(DelimiterKind),
}

impl DelimiterProgress {
    /// In front of the delimiter's CRLF.
    pub(super) const START: Self = Self::Within(0);
    /// At the start of a line, whose CRLF belongs to something else.
    pub(super) const LINE_START: Self = Self::Within(2);
}

impl DelimiterFinder {
    pub(super) fn new(boundary: &Boundary) -> Self {
        let needle = format!("\r\n--{}", boundary.as_str());
        Self(Finder::new(&needle).into_owned())
    }

    /// How many times the hyphens and the boundary stand in `bytes`, wherever that is.
    pub(super) fn mentions(&self, bytes: &[u8]) -> usize {
        memchr::memmem::find_iter(bytes, &self.0.needle()[2..]).count()
    }

    /// In bytes, without the hyphens in front.
    pub(super) fn boundary_len(&self) -> usize {
        self.0.needle().len() - 4
    }

    /// Reads one more byte of what may be a delimiter.
    ///
    /// # Errors
    /// More padding than [`PADDING_LIMIT`]. That is no data either: others would read a delimiter.
    pub(super) fn step(
        &self,
        progress: DelimiterProgress,
        byte: u8,
    ) -> Result<DelimiterStep, Error> {
        let further = match (progress, byte) {
            (DelimiterProgress::Within(read), _) if byte != self.0.needle()[read] => {
                return Ok(DelimiterStep::Not);
            }
            (DelimiterProgress::Within(read), _) if read + 1 == self.0.needle().len() => {
                DelimiterProgress::Padding(0)
            }
            (DelimiterProgress::Within(read), _) => DelimiterProgress::Within(read + 1),
            (DelimiterProgress::Padding(PADDING_LIMIT), b' ' | b'\t') => return Err(overlong()),
            (DelimiterProgress::Padding(blanks), b' ' | b'\t') => {
                DelimiterProgress::Padding(blanks + 1)
            }
            (DelimiterProgress::Padding(_), b'\r') => DelimiterProgress::Return,
            (DelimiterProgress::Padding(0), b'-') => DelimiterProgress::Hyphen,
            (DelimiterProgress::Hyphen, b'-') => {
                return Ok(DelimiterStep::Found(DelimiterKind::Close));
            }
            (DelimiterProgress::Return, b'\n') => {
                return Ok(DelimiterStep::Found(DelimiterKind::Part));
            }
            _ => return Ok(DelimiterStep::Not),
        };
        Ok(DelimiterStep::Reading(further))
    }

    /// How many bytes lie before the first delimiter, or before what may become one with more
    /// bytes.
    pub(super) fn data_before(&self, data: &[u8]) -> usize {
        let mut from = 0;
        while let Some(found) = self.0.find(&data[from..]) {
            let start = from + found;
            from = start + self.0.needle().len();
            if self.may_end_with(&data[from..]) {
                return start;
            }
        }
        data.len() - self.begun_at_end(data)
    }

    /// Whether `rest`, right after the boundary, doesn't rule out a delimiter.
    fn may_end_with(&self, rest: &[u8]) -> bool {
        let mut progress = DelimiterProgress::Padding(0);
        for &byte in rest {
            match self.step(progress, byte) {
                Ok(DelimiterStep::Reading(further)) => progress = further,
                Ok(DelimiterStep::Not) => return false,
                Ok(DelimiterStep::Found(_)) | Err(_) => break,
            }
        }
        true
    }

    /// Length of the longest end of `data` that begins a boundary line. There is but one candidate,
    /// as a boundary has no CR.
    fn begun_at_end(&self, data: &[u8]) -> usize {
        let needle = self.0.needle();
        let end = &data[data.len().saturating_sub(needle.len() - 1)..];
        let begun = memchr::memrchr(b'\r', end).map_or(&end[..0], |start| &end[start..]);
        if needle.starts_with(begun) {
            begun.len()
        } else {
            0
        }
    }
}

fn overlong() -> Error {
    malformed("a boundary is followed by more than 256 blanks: end its line right after it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_before(data: &[u8]) -> usize {
        let boundary = Boundary::from_content_type("multipart/form-data; boundary=bound").unwrap();
        DelimiterFinder::new(&boundary).data_before(data)
    }

    #[test]
    fn only_what_may_become_a_delimiter_is_held_back() {
        for (sure, open) in [
            ("", ""),
            ("data", ""),
            ("data\n", ""),
            ("data", "\r"),
            ("data\r", "\r\n--bou"),
            ("data\r\n--bou", "\r"),
            ("data", "\r\n--bound"),
            ("data", "\r\n--bound-"),
            ("data", "\r\n--bound \t\r"),
            ("data", "\r\n--bound\r\nmore"),
            ("data", "\r\n--bound--more"),
        ] {
            assert_eq!(
                data_before(format!("{sure}{open}").as_bytes()),
                sure.len(),
                "{sure:?} {open:?}"
            );
        }
    }

    #[test]
    fn a_line_that_only_resembles_a_delimiter_is_data() {
        for data in [
            "\r\n--boundX",
            "\r\n--bound-X",
            "\r\n--bound\rX",
            "\r\n--bound\n",
            "\r\n--bound --",
            "\n--bound--",
            "--bound--",
        ] {
            assert_eq!(data_before(data.as_bytes()), data.len(), "{data:?}");
        }
    }
}
