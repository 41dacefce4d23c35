//! Every wait and expiry that a peer names, in whatever form it comes, each with a least and a
//! most.
//!
//! `Retry-After`, `X-RateLimit-Reset`, `expires_in` and the expiry of a presigned URL are all read
//! here. A peer's clock may be wrong, and so may ours; a header may be in another unit than
//! documented. What it says is therefore held against more than one clock, and no response gets
//! more than the bounds below.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

/// The least that a refused call waits: a shorter wait would make a busy loop of retries.
pub const LEAST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait of a peer that is believed: a longer one says more about the header than about
/// the peer.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
/// The most that a signed URL is believed to live, whatever its expiry says.
pub const LONGEST_URL_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The least that an access token is believed to live: with less, the gateway would sign in all the
/// time.
pub const LEAST_TOKEN_LIFE: Duration = Duration::from_secs(10);
/// The most that an access token is believed to live: rights that were withdrawn must be noticed
/// some day.
pub const LONGEST_TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// A response that was in a cache for longer than this is taken for one with a wrong `Age`.
const LONGEST_AGE: SignedDuration = SignedDuration::from_hours(24);
/// `Date` has whole seconds: it may be almost one behind.
const DATE_STEP: SignedDuration = SignedDuration::from_secs(1);
/// A number above this counts from 1970: nobody requests a wait of thirty years.
const FIRST_EPOCH: f64 = 1e9;
/// A number above this isn't in seconds, but in milliseconds or finer.
const FIRST_FINER: f64 = 1e12;

/// Where a peer says how long to wait, the standard's own way first.
const WAIT_HEADERS: [&str; 3] = ["retry-after", "x-ratelimit-reset", "ratelimit-reset"];

/// A time as a peer names it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PeerTime {
    /// This time, from the response on.
    In(Duration),
    /// At this moment of the peer's clock.
    At(Timestamp),
}

impl PeerTime {
    /// Reads seconds, epoch seconds (above 10^9), epoch milliseconds or finer (above 10^12), an
    /// HTTP date, a date of RFC 3339 or RFC 2822 in any zone (UTC where none is given), or a span
    /// such as `5s`. None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.parse::<f64>() {
            Ok(number) => Self::from_number(number),
            Err(_) => match parse_date(text) {
                Some(date) => Some(Self::At(date)),
                None => parse_span(text),
            },
        }
    }

    /// The same of a member of a JSON document: a number or a string.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            other => Self::from_number(other.as_f64()?),
        }
    }

    /// What is negative is over already.
    fn from_number(number: f64) -> Option<Self> {
        if !number.is_finite() {
            return None;
        }
        if number <= FIRST_EPOCH {
            return Some(Self::In(Duration::from_secs_f64(number.max(0.0))));
        }
        let mut seconds = number;
        while seconds > FIRST_FINER {
            seconds /= 1000.0;
        }
        let since_epoch = SignedDuration::try_from_secs_f64(seconds).ok()?;
        Some(Self::At(
            Timestamp::from_duration(since_epoch).unwrap_or(Timestamp::MAX),
        ))
    }
}

fn parse_date(text: &str) -> Option<Timestamp> {
    // jiff's last moment is a day before the usual word for "never".
    if text.starts_with("9999-") {
        return Some(Timestamp::MAX);
    }
    if let Ok(rfc3339) = text.parse() {
        return Some(rfc3339);
    }
    if let Ok(http) = httpdate::parse_http_date(text) {
        return Timestamp::try_from(http).ok();
    }
    let mail = rfc2822::DateTimeParser::new().relaxed_weekday(true);
    if let Ok(mail) = mail.parse_timestamp(text) {
        return Some(mail);
    }
    let without_zone: DateTime = text.parse().ok()?;
    Some(without_zone.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn parse_span(text: &str) -> Option<PeerTime> {
    let span: SignedDuration = text.parse().ok()?;
    Some(PeerTime::In(span.try_into().unwrap_or(Duration::ZERO)))
}

/// The time at the peer when it sent a response, and here when it came.
#[derive(Debug, Clone, Copy)]
pub struct PeerClock {
    /// By the response's `Date` and `Age`, if it has a `Date` that can be read.
    theirs: Option<Timestamp>,
    ours: Timestamp,
}

/// A response's `Date`, plus its `Age`.
fn time_in(headers: &HeaderMap) -> Option<Timestamp> {
    let date = parse_date(text(headers, "date")?)?;
    let age = match text(headers, "age").map(str::parse) {
        Some(Ok(seconds)) => SignedDuration::from_secs(seconds),
        _ => SignedDuration::ZERO,
    };
    if (SignedDuration::ZERO..=LONGEST_AGE).contains(&age) {
        date.checked_add(age).ok()
    } else {
        Some(date)
    }
}

impl PeerClock {
    /// By the headers of a response that came at `ours`, on our clock.
    pub fn of(headers: &HeaderMap, ours: Timestamp) -> Self {
        Self {
            theirs: time_in(headers),
            ours,
        }
    }

    /// The peer's own time, where it sent it.
    pub fn theirs(&self) -> Option<Timestamp> {
        self.theirs
    }

    /// How long the peer wants us to wait, between [`LEAST_WAIT`] and [`LONGEST_WAIT`]. None where
    /// no header can be read.
    pub fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        for name in WAIT_HEADERS {
            if let Some(named) = text(headers, name).and_then(PeerTime::parse) {
                let wait = self.until(named, SignedDuration::ZERO);
                return Some(wait.clamp(LEAST_WAIT, LONGEST_WAIT));
            }
        }
        None
    }

    /// How long a token lives that is good until `expiry` (`expires_in`), between
    /// [`LEAST_TOKEN_LIFE`] and [`LONGEST_TOKEN_LIFE`].
    pub fn token_life(&self, expiry: PeerTime) -> Duration {
        self.until(expiry, DATE_STEP)
            .clamp(LEAST_TOKEN_LIFE, LONGEST_TOKEN_LIFE)
    }

    /// How long a signed URL lives that is good until `expiry`, at most [`LONGEST_URL_LIFE`]; zero
    /// for one that is over.
    ///
    /// Three witnesses know: the peer's clock, ours, and the signature itself (see
    /// [`signed_life`]). The one in the middle is believed, so one that is wrong changes nothing.
    /// Where there are two, it is the shorter life.
    pub fn url_life(&self, expiry: PeerTime, signed: Option<Duration>) -> Duration {
        let life = match (expiry, self.theirs, signed) {
            (PeerTime::At(at), Some(theirs), Some(signed)) => {
                let mut witnesses = [
                    span(theirs, at, DATE_STEP),
                    span(self.ours, at, SignedDuration::ZERO),
                    signed,
                ];
                witnesses.sort_unstable();
                witnesses[1]
            }
            _ => self
                .until(expiry, DATE_STEP)
                .min(signed.unwrap_or(LONGEST_URL_LIFE)),
        };
        life.min(LONGEST_URL_LIFE)
    }

    /// The time left by the peer's clock, less `step`, or by ours where that is less and not over
    /// yet.
    fn until(&self, time: PeerTime, step: SignedDuration) -> Duration {
        let at = match time {
            PeerTime::In(wait) => return wait,
            PeerTime::At(at) => at,
        };
        let ours = span(self.ours, at, SignedDuration::ZERO);
        match self.theirs.map(|theirs| span(theirs, at, step)) {
            Some(theirs) if ours.is_zero() => theirs,
            Some(theirs) => theirs.min(ours),
            None => ours,
        }
    }
}

/// From one moment, and `step` later, to another; zero where that is past.
fn span(from: Timestamp, to: Timestamp, step: SignedDuration) -> Duration {
    (to.duration_since(from) - step)
        .try_into()
        .unwrap_or(Duration::ZERO)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// How long a presigned URL was signed for: `exp` less `iat` of a JWT somewhere in its query. It
/// needs no clock.
///
/// It is only read here; whether the signature is genuine is for storage to say.
pub fn signed_life(url: &Url) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
        iat: f64,
    }
    url.query_pairs().find_map(|(_, value)| {
        let payload = value
            .split('.')
            .nth(1)
            .filter(|_| value.matches('.').count() == 2)?;
        let claims: Claims =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?)
                .ok()?;
        Duration::try_from_secs_f64(claims.exp - claims.iat)
            .ok()
            .filter(|life| !life.is_zero())
    })
}

#[cfg(test)]
mod tests;
