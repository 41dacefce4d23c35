//! The options that every command of a client has.

use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use url::Url;

use super::caller_key::CallerKey;

/// The exit codes of client commands, as their help has them.
pub(in crate::cli) const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 refused by the gateway (4xx); \
4 busy, try again later (429, 503); 5 no gateway was reached.";

/// Which gateway, as whom, and how to report.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ClientOptions {
    /// The gateway as its callers reach it, such as https://gateway.example.com.
    #[arg(
        long,
        env = "ASSET_GATEWAY_URL",
        value_parser = base_url,
        default_value = "http://127.0.0.1:8080"
    )]
    pub url: Url,
    /// A caller's key or token.
    #[arg(long, env = "ASSET_GATEWAY_KEY", hide_env_values = true)]
    pub key: Option<CallerKey>,
    /// How long to wait in all while the gateway is busy, such as 30s; 0s fails at once.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub wait: Duration,
    /// Prints JSON: one document, or one a line for each file or id; failures, too.
    #[arg(long)]
    pub json: bool,
}

/// A web address that a path can be added to.
pub(in crate::cli) fn base_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    if is_plain && matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err("expected a URL with http or https, and without user and password".to_owned())
    }
}

/// A duration that isn't negative.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<SignedDuration, _> = text.parse();
    parsed
        .ok()
        .and_then(|signed| Duration::try_from(signed).ok())
        .ok_or_else(|| "expected a duration, such as 30s or 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_called() {
        assert!(base_url("https://gateway.example.com").is_ok());
        for text in [
            "ftp://gateway.example.com",
            "https://user:hunter2@gateway.example.com",
            "gateway.example.com",
            "",
        ] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_has_a_unit_and_no_sign() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for text in ["-1s", "20", ""] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
