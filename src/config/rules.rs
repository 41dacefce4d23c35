//! What a value of the right type must also hold.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::setting::{Setting, shown};

/// The longest that anything may be set to wait.
///
/// What is longer is a slip of the pen, and a clock's arithmetic must not overflow.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest time limit that isn't simply a refusal.
pub(super) const MOMENT: Duration = Duration::from_millis(1);

/// The verdict on a value; the error is a line that says what is wrong.
pub(super) type Verdict = Result<(), String>;

/// At least `least`, at most `most`.
pub(super) fn within<T: Setting + PartialOrd>(least: T, most: T) -> impl Fn(&T) -> Verdict {
    move |value| {
        if (&least..=&most).contains(&value) {
            return Ok(());
        }
        Err(format!("must be between {} and {}, is {}", shown(&least), shown(&most), shown(value)))
    }
}

/// If it is given at all.
pub(super) fn given<T>(rule: impl Fn(&T) -> Verdict) -> impl Fn(&Option<T>) -> Verdict {
    move |value| value.as_ref().map_or(Ok(()), &rule)
}

/// For every entry of a list.
pub(super) fn each(rule: impl Fn(&str) -> Verdict) -> impl Fn(&Vec<String>) -> Verdict {
    move |list| list.iter().try_for_each(|entry| rule(entry))
}

/// For every entry of a list that has at least one.
pub(super) fn some(rule: impl Fn(&str) -> Verdict) -> impl Fn(&Vec<String>) -> Verdict {
    let each = each(rule);
    move |list| if list.is_empty() { Err("must have at least one entry".into()) } else { each(list) }
}

/// A MIME pattern: `type/subtype`, `type/*` or `*/*`.
pub(super) fn mime_pattern(text: &str) -> Verdict {
    let good = match text.split_once('/') {
        Some(("*", "*")) => true,
        Some((kind, "*")) => is_token(kind),
        Some((kind, subtype)) => is_token(kind) && is_token(subtype),
        None => false,
    };
    if good { Ok(()) } else { Err(format!("{text:?} is not a MIME pattern such as image/png, image/* or */*")) }
}

/// RFC 9110's token, less the `*` that only patterns have.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'+-.^_`|~".contains(c))
}

/// A host that a signed URL may name: `host`, `host:port`, an IP address, or `*.domain`.
pub(super) fn host_pattern(text: &str) -> Verdict {
    let good = match text.strip_prefix("*.") {
        // `*.com` would trust the whole world that it means to keep out.
        Some(domain) => domain.contains('.') && is_domain(domain),
        None => is_host_with_port(text),
    };
    if good {
        Ok(())
    } else {
        Err(format!("{text:?} is not a host such as example.com, example.com:8443, 10.0.0.1 or *.example.com"))
    }
}

fn is_host_with_port(text: &str) -> bool {
    if is_host(text) || text.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_host(text: &str) -> bool {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bracketed.map_or_else(
        || text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) || is_domain(text),
        |ip| ip.parse::<Ipv6Addr>().is_ok(),
    )
}

/// Names as DNS has them. One that ends in a number would be read as an address, and is none.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let edges = !label.starts_with('-') && !label.ends_with('-');
        (1..=63).contains(&label.len()) && edges && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let numeric = text.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    text.len() <= 253 && !numeric && text.split('.').all(is_label)
}

/// What can stand in an `Authorization` header.
pub(super) fn bearer(token: &secrecy::SecretString) -> Verdict {
    use secrecy::ExposeSecret;
    if token.expose_secret().bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err("must be printable ASCII without blanks (is there a line break at its end?)".into())
}

/// Directives for the log, such as `info` or `info,asset_gateway=debug`.
pub(super) fn log_filter(text: &String) -> Verdict {
    EnvFilter::try_new(text)
        .map(|_| ())
        .map_err(|why| format!("expected directives such as info or info,asset_gateway=debug: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_addresses_and_wildcards() {
        for good in
            ["egain.cloud", "localhost", "storage:9000", "10.0.0.1", "10.0.0.1:80", "::1", "[::1]", "[::1]:80", "*.egain.cloud"]
        {
            assert_eq!(host_pattern(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "*",
            "*.com",
            "*.*.com",
            "a.*.com",
            "*.a.b:80",
            "https://a.b",
            "a/b",
            "a:",
            "a:0",
            "a:65536",
            "1.2.3",
            "[1.2.3.4]",
            "a..b",
            "-a.b",
            "*.1.2",
        ] {
            assert!(host_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mime_patterns_have_a_star_only_for_a_whole_part() {
        for good in ["image/png", "image/*", "*/*", "application/vnd.ms-excel", "image/svg+xml"] {
            assert_eq!(mime_pattern(good), Ok(()), "{good}");
        }
        for bad in ["", "image", "image/", "/png", "*/png", "image/p*", "*", "a/b/c", "image/png;q=1", "a b/c"] {
            assert!(mime_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_hold_their_ends_and_nothing_that_is_not_a_number() {
        let rule = within(1.0, 2.0);
        assert_eq!((rule(&1.0), rule(&2.0)), (Ok(()), Ok(())));
        assert_eq!(rule(&2.5).unwrap_err(), "must be between 1.0 and 2.0, is 2.5");
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
    fn a_log_filter_is_tried() {
        assert_eq!(log_filter(&"info,asset_gateway=debug".into()), Ok(()));
        assert!(log_filter(&"info,asset_gateway=loud".into()).is_err());
    }
}
