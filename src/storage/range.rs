//! Which bytes a request asks for, and whether an answer has just these (RFC 9110 section 14).

use http::HeaderMap;
use http::header::RANGE;

/// What a `Range` header asks for. Has at least one range.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestedRanges(Vec<Spec>);

#[derive(Debug, PartialEq, Eq)]
enum Spec {
    /// First and last byte; the end of the file where no last one is named.
    Bytes(u64, u64),
    /// The last so many bytes.
    Last(u64),
}

impl RequestedRanges {
    /// None where there is no `Range`, or one that has to be ignored: of another unit, malformed,
    /// or given twice.
    pub(super) fn asked(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(RANGE).iter();
        let text = given
            .next()?
            .to_str()
            .ok()
            .filter(|_| given.next().is_none())?;
        let (unit, list) = text.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let specs = list
            .split(',')
            .map(str::trim)
            .filter(|spec| !spec.is_empty())
            .map(Spec::parse);
        specs
            .collect::<Option<Vec<_>>>()
            .filter(|specs| !specs.is_empty())
            .map(Self)
    }

    /// Whether the answer may come as `multipart/byteranges`.
    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Whether a file of so many bytes has any byte that was asked for.
    pub(super) fn touch(&self, size: u64) -> bool {
        self.0.iter().any(|spec| spec.within(size).is_some())
    }

    /// Whether these are the bytes that were asked for. Several ranges may have been joined to one.
    pub(super) fn are_answered_by(&self, first: u64, last: u64, size: u64) -> bool {
        let mut within = self.0.iter().filter_map(|spec| spec.within(size));
        within.clone().any(|range| range.0 == first) && within.any(|range| range.1 == last)
    }
}

impl Spec {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('-')? {
            ("", length) => number(length).map(Self::Last),
            (first, "") => number(first).map(|first| Self::Bytes(first, u64::MAX)),
            (first, last) => {
                Some(Self::Bytes(number(first)?, number(last)?)).filter(|spec| !spec.is_backwards())
            }
        }
    }

    fn is_backwards(&self) -> bool {
        matches!(self, Self::Bytes(first, last) if first > last)
    }

    /// First and last byte in a file of so many bytes; none if it has none of them.
    fn within(&self, size: u64) -> Option<(u64, u64)> {
        let end = size.checked_sub(1)?;
        match *self {
            Self::Bytes(first, last) => (first <= end).then_some((first, last.min(end))),
            Self::Last(0) => None,
            Self::Last(length) => Some((size.saturating_sub(length), end)),
        }
    }
}

/// What is too large for any file is as good as the largest number.
fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Option<RequestedRanges> {
        RequestedRanges::asked(&[(RANGE, text.parse().unwrap())].into_iter().collect())
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
            let ranges = asked(range).unwrap();
            assert!(
                ranges.are_answered_by(first, last, 10) && ranges.touch(10),
                "{range}"
            );
            assert!(
                !ranges.are_answered_by(first, last + 1, 11) || last == 9,
                "{range}"
            );
            assert!(
                !ranges.are_answered_by(first + 1, last, 10) && !ranges.are_several(),
                "{range}"
            );
        }
    }

    #[test]
    fn several_ranges_may_be_joined() {
        let ranges = asked("bytes=0-2, 2-4,,-1").unwrap();
        assert!(
            ranges.are_several()
                && ranges.are_answered_by(0, 4, 10)
                && ranges.are_answered_by(0, 9, 10)
        );
        assert!(!ranges.are_answered_by(1, 4, 10) && !ranges.are_answered_by(0, 5, 10));
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
            assert_eq!(asked(bad), None, "{bad}");
        }
        let mut headers: HeaderMap = [(RANGE, "bytes=0-1".parse().unwrap())]
            .into_iter()
            .collect();
        headers.append(RANGE, "bytes=2-3".parse().unwrap());
        assert_eq!(RequestedRanges::asked(&headers), None);
    }

    #[test]
    fn beyond_the_end_there_is_nothing_to_ask_for() {
        for beyond in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert!(!asked(beyond).unwrap().touch(10), "{beyond}");
        }
        assert!(!asked("bytes=0-").unwrap().touch(0) && !asked("bytes=-1").unwrap().touch(0));
    }
}
