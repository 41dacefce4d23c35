//! How the response to a probe should come.

use std::time::Duration;

use crate::types::error::{Error, ErrorCode, Stage};

/// The longest time for a response: longer than the usual timeouts of proxies (15 s, 30 s, 60 s).
pub(super) const LONGEST_RESPONSE: Duration = Duration::from_secs(120);

/// The most lines of a paced response.
const MOST_LINES: u32 = 1000;

/// What a probe's query requests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ProbeQuery {
    /// The time between the body's end and the response's head.
    pub delay: Duration,
    /// Lines after the report; 0 for a response of one piece.
    pub lines: u32,
    /// The time before each line.
    pub interval: Duration,
}

impl ProbeQuery {
    /// # Errors
    /// A parameter that a probe doesn't have, a value that is no number, or a response that would
    /// take too long.
    pub(super) fn parse(query: &str) -> Result<Self, Error> {
        let mut parsed = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let number = value.parse::<u32>().map_err(|_| invalid())?;
            let duration = Duration::from_millis(number.into());
            match &*name {
                "delay_ms" => parsed.delay = duration,
                "lines" => parsed.lines = number,
                "interval_ms" => parsed.interval = duration,
                _ => return Err(invalid()),
            }
        }
        let takes = parsed.interval.checked_mul(parsed.lines);
        let takes = takes.and_then(|lines| lines.checked_add(parsed.delay));
        if parsed.lines > MOST_LINES || takes.is_none_or(|takes| takes > LONGEST_RESPONSE) {
            return Err(invalid());
        }
        Ok(parsed)
    }
}

fn invalid() -> Error {
    let detail = format!(
        "the query of a probe has delay_ms, lines (at most {MOST_LINES}) and interval_ms, whole \
         numbers, with which the response takes at most {} s",
        LONGEST_RESPONSE.as_secs()
    );
    Error::caller(ErrorCode::InvalidField, Stage::Admit, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_how_the_response_comes() {
        assert_eq!(ProbeQuery::parse("").unwrap(), ProbeQuery::default());
        let all = ProbeQuery::parse("delay_ms=1000&lines=20&interval_ms=250").unwrap();
        assert_eq!((all.delay.as_secs(), all.lines), (1, 20));
        assert_eq!(all.interval.as_millis(), 250);
    }

    #[test]
    fn an_unknown_or_too_long_wish_is_refused() {
        for query in [
            "delay_ms=120001",
            "delay_ms=100000&lines=21&interval_ms=1000",
            "lines=1001",
            "lines=4294967295&interval_ms=4294967295",
            "lines=-1",
            "lines=many",
            "line=1",
        ] {
            let code = ProbeQuery::parse(query).map_err(|refused| refused.code());
            assert_eq!(code, Err(ErrorCode::InvalidField), "{query}");
        }
    }
}
