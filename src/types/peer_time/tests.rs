use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;

/// When the answer came, by its own clock.
const DATE: &str = "Thu, 27 Jan 2022 20:03:25 GMT";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        (
            name.parse::<HeaderName>().unwrap(),
            value.parse::<HeaderValue>().unwrap(),
        )
    };
    lines.iter().map(line).collect()
}

/// What is asked for by an answer whose `Date` is right.
fn wait(header: (&str, &str)) -> Option<Duration> {
    let headers = headers(&[("date", DATE), header]);
    PeerClock::of(&headers, at("2022-01-27T20:03:25Z")).retry_after(&headers)
}

#[test]
fn a_wait_is_read_in_every_known_form() {
    for (name, value) in [
        ("retry-after", "7"),
        ("retry-after", " 7.0 "),
        ("retry-after", "7s"),
        ("retry-after", "Thu, 27 Jan 2022 20:03:32 GMT"),
        ("retry-after", "Thursday, 27-Jan-22 20:03:32 GMT"),
        ("retry-after", "Thu Jan 27 20:03:32 2022"),
        ("retry-after", "Thu, 27 Jan 2022 22:03:32 +0200"),
        ("retry-after", "2022-01-27T20:03:32Z"),
        ("x-ratelimit-reset", "7"),
        ("x-ratelimit-reset", "1643313812"),
        ("x-ratelimit-reset", "1643313812.0"),
        ("x-ratelimit-reset", "1643313812000"),
        ("x-ratelimit-reset", "1643313812000000"),
        ("x-ratelimit-reset", "2022-01-27T20:03:32.000Z"),
        ("x-ratelimit-reset", "2022-01-27T20:03:32"),
        ("x-ratelimit-reset", "2022-01-27 20:03:32"),
        ("x-ratelimit-reset", "2022-01-28T01:33:32+05:30"),
        ("x-ratelimit-reset", "2022-01-27T12:03:32-0800"),
        ("ratelimit-reset", "7"),
    ] {
        assert_eq!(wait((name, value)), Some(7 * SECOND), "{name}: {value}");
    }
}

#[test]
fn a_wait_has_a_least_and_a_most() {
    for (value, bounded) in [
        ("0", LEAST_WAIT),
        ("-5", LEAST_WAIT),
        ("0.001", LEAST_WAIT),
        ("Thu, 27 Jan 2022 19:03:32 GMT", LEAST_WAIT),
        ("1000000000", LONGEST_WAIT),
        ("99999999999999999999999999", LONGEST_WAIT),
        ("9999-12-31T23:59:59Z", LONGEST_WAIT),
        ("Fri, 27 Jan 2023 20:03:32 GMT", LONGEST_WAIT),
    ] {
        assert_eq!(wait(("retry-after", value)), Some(bounded), "{value}");
    }
}

#[test]
fn garbage_is_no_wait_and_hides_no_other_header() {
    for garbage in ["", "soon", "NaN", "inf", "1e999", "5, 10", "{}", "\u{7f}"] {
        let Ok(value) = HeaderValue::from_str(garbage) else {
            continue;
        };
        let mut headers = headers(&[("date", DATE)]);
        headers.insert("retry-after", value);
        let clock = PeerClock::of(&headers, Timestamp::now());
        assert_eq!(clock.retry_after(&headers), None, "{garbage:?}");
        headers.insert("x-ratelimit-reset", HeaderValue::from_static("9"));
        assert_eq!(clock.retry_after(&headers), Some(9 * SECOND), "{garbage:?}");
    }
}

#[test]
fn a_wait_until_a_date_survives_wrong_clocks() {
    let named = headers(&[
        ("date", DATE),
        ("retry-after", "Thu, 27 Jan 2022 20:04:25 GMT"),
    ]);
    for ours in [
        "2022-01-27T20:03:25Z",
        "2022-01-28T20:03:25Z",
        "2022-01-26T20:03:25Z",
    ] {
        assert_eq!(
            PeerClock::of(&named, at(ours)).retry_after(&named),
            Some(60 * SECOND),
            "{ours}"
        );
    }
    let without_date = headers(&[("retry-after", "Thu, 27 Jan 2022 20:04:25 GMT")]);
    let clock = PeerClock::of(&without_date, at("2022-01-27T20:04:05Z"));
    assert_eq!(clock.retry_after(&without_date), Some(20 * SECOND));
}

/// The life of a URL that is good until 21:03:25, seen at `ours` in an answer of `date`.
fn life(date: &str, age: &str, ours: &str, signed: Option<Duration>) -> Duration {
    let clock = PeerClock::of(&headers(&[("date", date), ("age", age)]), at(ours));
    clock.url_life(PeerTime::parse("2022-01-27T21:03:25Z").unwrap(), signed)
}

#[test]
fn one_wrong_clock_of_three_changes_nothing() {
    let right = "2022-01-27T20:03:25Z";
    // `Date` may be a second behind.
    let is_an_hour = |life: Duration| (HOUR - SECOND..=HOUR).contains(&life);
    for wrong in [
        "Wed, 26 Jan 2022 20:03:25 GMT",
        "Thu, 27 Jan 2022 19:53:25 GMT",
        "Fri, 28 Jan 2022 20:03:25 GMT",
    ] {
        assert!(
            is_an_hour(life(wrong, "", right, Some(HOUR))),
            "their clock: {wrong}"
        );
    }
    for wrong in [
        "2022-01-26T20:03:25Z",
        "2022-01-27T20:13:25Z",
        "2022-01-28T20:03:25Z",
    ] {
        assert!(
            is_an_hour(life(DATE, "", wrong, Some(HOUR))),
            "our clock: {wrong}"
        );
    }
    for wrong in [SECOND, 2 * HOUR] {
        assert!(
            is_an_hour(life(DATE, "", right, Some(wrong))),
            "the signature: {wrong:?}"
        );
    }
}

#[test]
fn of_two_clocks_the_shorter_result_is_believed() {
    let right = "2022-01-27T20:03:25Z";
    assert_eq!(
        life("Wed, 26 Jan 2022 20:03:25 GMT", "", right, None),
        HOUR,
        "a day behind"
    );
    assert_eq!(life(DATE, "", "2022-01-27T20:33:25Z", None), HOUR / 2);
    assert_eq!(
        life(DATE, "", "2022-01-28T20:03:25Z", None),
        HOUR - SECOND,
        "ours can't be right"
    );
    assert_eq!(
        life(DATE, "600", "2022-01-27T20:03:25Z", None),
        HOUR - 601 * SECOND,
        "it lay in a cache"
    );
    assert_eq!(life(DATE, "-1", right, None), HOUR - SECOND);
    assert_eq!(
        life(DATE, "999999999", right, None),
        HOUR - SECOND,
        "no cache is that old"
    );
    assert_eq!(
        life("yesterday", "", right, None),
        HOUR,
        "no clock but ours"
    );
}

#[test]
fn an_expiry_is_a_date_number_or_span() {
    let clock = PeerClock::of(&headers(&[("date", DATE)]), at("2022-01-27T20:03:25Z"));
    let life =
        |expiry: Value| PeerTime::from_json(&expiry).map(|expiry| clock.url_life(expiry, None));
    for same in [
        json!("2022-01-27T20:04:25.000Z"),
        json!(1_643_313_865),
        json!("1643313865000"),
        json!(1_643_313_865_000_i64),
    ] {
        assert_eq!(life(same.clone()), Some(59 * SECOND), "{same}");
    }
    assert_eq!(life(json!(60)), Some(60 * SECOND));
    assert_eq!(
        life(json!("2022-01-27T20:00:00Z")),
        Some(Duration::ZERO),
        "it is over"
    );
    assert_eq!(life(json!("9999-12-31T23:59:59Z")), Some(LONGEST_URL_LIFE));
    for garbage in [
        json!(null),
        json!(true),
        json!({}),
        json!([]),
        json!("soon"),
        json!(""),
    ] {
        assert_eq!(life(garbage.clone()), None, "{garbage}");
    }
}

#[test]
fn a_tokens_life_has_a_least_and_a_most() {
    let clock = PeerClock::of(&headers(&[("date", DATE)]), at("2022-01-27T20:03:25Z"));
    let life = |expires_in: Value| clock.token_life(PeerTime::from_json(&expires_in).unwrap());
    assert_eq!(life(json!(3900)), 3900 * SECOND);
    assert_eq!(life(json!("3900")), 3900 * SECOND);
    assert_eq!(
        life(json!(1_643_313_865)),
        59 * SECOND,
        "an epoch, by its own clock"
    );
    assert_eq!(
        (life(json!(0)), life(json!(-1))),
        (LEAST_TOKEN_LIFE, LEAST_TOKEN_LIFE)
    );
    assert_eq!(life(json!(1e8)), LONGEST_TOKEN_LIFE);
}

#[test]
fn a_jwt_signatures_two_times_give_its_lifetime() {
    let signed = |claims: &str| {
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        signed_life(
            &format!("https://storage.test/a?x=1&signature={token}")
                .parse()
                .unwrap(),
        )
    };
    assert_eq!(
        signed(r#"{"iat":1643313805,"exp":1643313865}"#),
        Some(60 * SECOND)
    );
    for useless in [
        r#"{"exp":1643313865}"#,
        r#"{"iat":5,"exp":5}"#,
        r#"{"iat":6,"exp":5}"#,
        r#"{"iat":"a","exp":5}"#,
        "x",
    ] {
        assert_eq!(signed(useless), None, "{useless}");
    }
    assert_eq!(
        signed_life(&"https://storage.test/a?signature=0a1b2c".parse().unwrap()),
        None
    );
}
