//! Which bytes a request names, and whether a response has just these (RFC 9110 section 14).

use http::HeaderMap;
use http::header::RANGE;

/// The ranges of a `Range` header, at least one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestedRanges(Vec<Spec>);

#[derive(Debug, PartialEq, Eq)]
enum Spec {
    /// First and last byte; the end of the file where no last one is named.
    Bytes(u64, u64),
    /// This number of bytes at the end.
    Last(u64),
}

impl RequestedRanges {
    /// None where there is no `Range`, or one that has to be ignored: of another unit, malformed,
    /// or given twice.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(RANGE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let (unit, list) = value.to_str().ok()?.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let mut specs = Vec::new();
        for spec in list.split(',') {
            let spec = spec.trim();
            if !spec.is_empty() {
                specs.push(Spec::parse(spec)?);
            }
        }
        if specs.is_empty() {
            return None;
        }
        Some(Self(specs))
    }

    /// Whether the response may come as `multipart/byteranges`.
    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Whether a file of `size` bytes has any byte that was requested.
    pub(super) fn touch(&self, size: u64) -> bool {
        self.0.iter().any(|spec| spec.within(size).is_some())
    }

    /// Whether these are the bytes that were requested. Several ranges may have been joined to one.
    pub(super) fn are_satisfied_by(&self, first: u64, last: u64, size: u64) -> bool {
        let mut within = self.0.iter().filter_map(|spec| spec.within(size));
        within.clone().any(|range| range.0 == first) && within.any(|range| range.1 == last)
    }
}

impl Spec {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('-')? {
            ("", length) => Some(Self::Last(number(length)?)),
            (first, "") => Some(Self::Bytes(number(first)?, u64::MAX)),
            (first, last) => {
                let first = number(first)?;
                let last = number(last)?;
                if first > last {
                    return None;
                }
                Some(Self::Bytes(first, last))
            }
        }
    }

    /// First and last byte in a file of `size` bytes; none if it has none of them.
    fn within(&self, size: u64) -> Option<(u64, u64)> {
        let end = size.checked_sub(1)?;
        match *self {
            Self::Bytes(first, _) if first > end => None,
            Self::Bytes(first, last) => Some((first, last.min(end))),
            Self::Last(0) => None,
            Self::Last(length) => Some((size.saturating_sub(length), end)),
        }
    }
}

/// What is too large for any file is as good as the largest number.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(text: &str) -> Option<RequestedRanges> {
        RequestedRanges::of(&[(RANGE, text.parse().unwrap())].into_iter().collect())
    }

    #[test]
    fn one_range_is_answered_by_just_its_bytes() {
        for (range, first, last) in [
            ("bytes=0-3", 0, 3),
            ("bytes=4-", 4, 9),
            ("bytes=-2", 8, 9),
            ("bytes=-99", 0, 9),
            ("bytes=9-99", 9, 9),
            ("Bytes = 2-99999999999999999999999", 2, 9),
        ] {
            let ranges = requested(range).unwrap();
            assert!(
                ranges.are_satisfied_by(first, last, 10) && ranges.touch(10),
                "{range}"
            );
            assert!(
                !ranges.are_satisfied_by(first, last + 1, 11) || last == 9,
                "{range}"
            );
            assert!(
                !ranges.are_satisfied_by(first + 1, last, 10) && !ranges.are_several(),
                "{range}"
            );
        }
    }

    #[test]
    fn several_ranges_may_be_joined() {
        let ranges = requested("bytes=0-2, 2-4,,-1").unwrap();
        assert!(
            ranges.are_several()
                && ranges.are_satisfied_by(0, 4, 10)
                && ranges.are_satisfied_by(0, 9, 10)
        );
        assert!(!ranges.are_satisfied_by(1, 4, 10) && !ranges.are_satisfied_by(0, 5, 10));
    }

    #[test]
    fn a_malformed_range_is_ignored() {
        for bad in [
            "lines=0-3",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=3-2",
            "bytes=a-b",
            "bytes=-",
            "bytes=+1-2",
            "bytes=1",
        ] {
            assert_eq!(requested(bad), None, "{bad}");
        }
        let mut headers: HeaderMap = [(RANGE, "bytes=0-1".parse().unwrap())]
            .into_iter()
            .collect();
        headers.append(RANGE, "bytes=2-3".parse().unwrap());
        assert_eq!(RequestedRanges::of(&headers), None);
    }

    #[test]
    fn beyond_the_end_there_is_nothing_to_ask_for() {
        for beyond in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert!(!requested(beyond).unwrap().touch(10), "{beyond}");
        }
        assert!(
            !requested("bytes=0-").unwrap().touch(0) && !requested("bytes=-1").unwrap().touch(0)
        );
    }
}
