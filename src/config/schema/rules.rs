//! What a value of the right type must also hold.

use std::time::Duration;

use tracing_subscriber::EnvFilter;
use url::{Host, Url};

use super::value::{SettingValue, shown};

/// The longest that anything may be set to wait.
///
/// What is longer is a slip of the pen, and a clock's arithmetic must not overflow.
pub(in crate::config) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest that anything may be remembered.
pub(in crate::config) const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The longest that others may remember anything (RFC 9111 has no bound; caches read more as this).
pub(in crate::config) const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The shortest time limit that isn't simply a refusal: a handshake over a long way takes longer.
pub(in crate::config) const MOMENT: Duration = Duration::from_millis(100);

/// Whether a value follows a rule; the error is a line that says what is wrong.
pub(in crate::config) type RuleResult = Result<(), String>;

/// At least `least`, at most `most`.
pub(in crate::config) fn within<T: SettingValue + PartialOrd>(
    least: T,
    most: T,
) -> impl Fn(&T) -> RuleResult {
    move |value| {
        if (&least..=&most).contains(&value) {
            return Ok(());
        }
        Err(format!(
            "must be between {} and {}, is {}",
            shown(&least),
            shown(&most),
            shown(value)
        ))
    }
}

/// The rule for a value that may be unset.
pub(in crate::config) fn if_set<T>(
    rule: impl Fn(&T) -> RuleResult,
) -> impl Fn(&Option<T>) -> RuleResult {
    move |value| match value {
        Some(value) => rule(value),
        None => Ok(()),
    }
}

/// A list that has at least one entry.
#[expect(
    clippy::ptr_arg,
    reason = "rules take a value of the setting's own type"
)]
pub(in crate::config) fn some<T>(list: &Vec<T>) -> RuleResult {
    if list.is_empty() {
        Err("must have at least one entry".into())
    } else {
        Ok(())
    }
}

/// What is valid in an `Authorization` header.
pub(in crate::config) fn bearer(token: &secrecy::SecretString) -> RuleResult {
    use secrecy::ExposeSecret;
    if token.expose_secret().bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err("must be printable ASCII without blanks (is there a line break at its end?)".into())
}

/// The address of an HTTP proxy. The scheme may be missing, as in many environments.
pub(in crate::config) fn proxy(address: &secrecy::SecretString) -> RuleResult {
    use secrecy::ExposeSecret;
    if let Ok(address) = address.expose_secret().parse::<http::Uri>()
        && matches!(address.scheme_str(), None | Some("http"))
        && !matches!(address.host(), None | Some(""))
        && matches!(address.path(), "" | "/")
        && address.query().is_none()
    {
        return Ok(());
    }
    Err("expected http://host:port or http://user:password@host:port of an HTTP proxy".into())
}

/// Over https, or not off this machine: anybody could read or change what is sent elsewhere.
pub(in crate::config) fn private(url: &Url) -> RuleResult {
    let local = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "https" || local {
        Ok(())
    } else {
        Err("must be https, or on localhost or a loopback address".into())
    }
}

/// Directives for the log, such as `info` or `info,asset_gateway=debug`.
pub(in crate::config) fn log_filter(text: &String) -> RuleResult {
    // tracing-subscriber 0.3.23 counts from behind blanks and cuts from before them: another
    // target, or a panic.
    if text
        .split(',')
        .any(|directive| directive.starts_with(char::is_whitespace))
    {
        return Err(
            "expected directives without blanks before them, such as info,asset_gateway=debug"
                .into(),
        );
    }
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!(
            "expected directives such as info or info,asset_gateway=debug: {why}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_their_ends_and_refuse_not_a_number() {
        let rule = within(1.0, 2.0);
        assert_eq!((rule(&1.0), rule(&2.0)), (Ok(()), Ok(())));
        assert_eq!(
            rule(&2.5).unwrap_err(),
            "must be between 1.0 and 2.0, is 2.5"
        );
        assert!(rule(&f64::NAN).is_err());
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        assert_eq!(bearer(&"eyJ.a-b_c".into()), Ok(()));
        for bad in ["a b", "a\n", "ä"] {
            assert!(bearer(&bad.into()).is_err());
        }
    }

    #[test]
    fn a_proxy_is_an_http_address() {
        for good in [
            "http://proxy.test:3128",
            "http://user:p%40ss@10.0.0.1:3128/",
            "proxy.test:3128",
            "http://[::1]:8080",
        ] {
            assert_eq!(proxy(&good.into()), Ok(()), "{good}");
        }
        for bad in [
            "https://proxy.test:3128",
            "socks5://proxy.test:1080",
            "http://",
            "http://proxy.test/path",
            "http://proxy.test:3128?a",
            "a b",
        ] {
            // What was given isn't shown, as it may hold a password.
            let says = proxy(&bad.into()).unwrap_err();
            assert!(says.starts_with("expected http://host:port or "), "{bad}");
        }
    }

    #[test]
    fn secrets_travel_over_a_safe_way_only() {
        let told = |url: &str| private(&url.parse().unwrap());
        for safe in [
            "https://x.test/jwks",
            "http://localhost:1/jwks",
            "http://127.0.0.2/jwks",
            "http://[::1]/jwks",
        ] {
            assert_eq!(told(safe), Ok(()), "{safe}");
        }
        for unsafe_one in [
            "http://x.test/jwks",
            "http://localhost.x.test",
            "http://10.0.0.1",
            "http://127.0.0.1.x.test",
        ] {
            assert!(told(unsafe_one).is_err(), "{unsafe_one}");
        }
    }

    #[test]
    fn a_log_filter_is_tried() {
        assert_eq!(log_filter(&"info,asset_gateway=debug".into()), Ok(()));
        assert!(log_filter(&"info,asset_gateway=loud".into()).is_err());
        for blank in [
            "info, asset_gateway=debug",
            " \u{fffd}=",
            "info,\r\u{fffd}\u{fffd}R=\r",
        ] {
            assert!(log_filter(&blank.into()).is_err());
        }
    }
}
