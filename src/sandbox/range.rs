//! The `Range` header for one range of bytes (RFC 9110, 14.1 and 14.2).
//!
//! Ours, because both crates at hand get it wrong that a suffix longer than the file is the whole
//! file: `http-range-header` 0.4 refuses it, `headers` 0.4 drops it.

use std::ops::RangeInclusive;

/// What a `Range` means for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestedRange {
    /// These bytes, all of which exist.
    For(RangeInclusive<u64>),
    /// Nothing that can be made out, or several ranges: as good as no header.
    Nothing,
    /// Only bytes that the file doesn't have.
    Beyond,
}

/// Reads the header's value for a file of `size` bytes, at least one.
pub(super) fn requested(header: &str, size: u64) -> RequestedRange {
    match header.split_once('=') {
        Some((unit, spec)) if unit.eq_ignore_ascii_case("bytes") => {
            read(spec.trim(), size).unwrap_or(RequestedRange::Nothing)
        }
        _ => RequestedRange::Nothing,
    }
}

fn read(spec: &str, size: u64) -> Option<RequestedRange> {
    let (first, last) = spec.split_once('-')?;
    let range = match (first, last) {
        ("", suffix) => size.saturating_sub(number(suffix)?)..=size - 1,
        (first, "") => number(first)?..=size - 1,
        (first, last) => number(first)?..=number(last)?,
    };
    if !first.is_empty() && !last.is_empty() && range.is_empty() {
        return None;
    }
    Some(if *range.start() < size {
        RequestedRange::For(*range.start()..=(*range.end()).min(size - 1))
    } else {
        RequestedRange::Beyond
    })
}

/// Digits and nothing else; the standard library would take a sign as well.
fn number(digits: &str) -> Option<u64> {
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_file() {
        for (header, range) in [
            ("bytes=2-4", 2..=4),
            ("Bytes=7-", 7..=9),
            ("bytes=0-99", 0..=9),
            ("bytes=-1", 9..=9),
            ("bytes=-99", 0..=9),
        ] {
            assert_eq!(
                requested(header, 10),
                RequestedRange::For(range),
                "{header}"
            );
        }
    }

    #[test]
    fn what_lies_beyond_the_file_is_told_from_nonsense() {
        for header in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(requested(header, 10), RequestedRange::Beyond, "{header}");
        }
        for header in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=4-2",
            "bytes=+1-2",
            "lines=1-2",
            "bytes=0-1,4-5",
        ] {
            assert_eq!(requested(header, 10), RequestedRange::Nothing, "{header}");
        }
    }
}
