//! The environment as a source of values.

use std::ffi::OsString;
use std::path::PathBuf;

use super::value::{PREFIX, RawValue, SettingsSource, SourcedValue};
use crate::config::errors::ErrorCollector;

/// The variable that names the file.
pub(in crate::config) const FILE_VARIABLE: &str = "ASSET_GATEWAY_CONFIG";

/// The environment's part in the settings.
#[derive(Default)]
pub(in crate::config) struct Environment {
    /// Values by key. What isn't written like a key is here under its own name.
    pub keys: SettingsSource,
    /// Values that other programs' conventions give: they hold where a key isn't set.
    pub conventions: SettingsSource,
    /// The settings file that it names.
    pub file: Option<PathBuf>,
}

/// The variables of curl and others that stand for a key of ours. In lower case, they are written
/// by the same programs.
const CONVENTIONS: [(&str, &str); 6] = [
    ("HTTPS_PROXY", "egain.proxy"),
    ("NO_PROXY", "egain.no_proxy"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otel.endpoint"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "otel.traces_endpoint"),
    ("OTEL_SDK_DISABLED", "otel.disabled"),
    ("OTEL_SERVICE_NAME", "otel.service_name"),
];

/// Sorts out the environment.
///
/// Only variables with `__` after the prefix are keys: Kubernetes injects others with the same
/// prefix, such as `ASSET_GATEWAY_PORT`. An empty variable counts as not set, as templates leave
/// them behind.
pub(in crate::config) fn read<N, V>(
    variables: impl IntoIterator<Item = (N, V)>,
    errors: &mut ErrorCollector,
) -> Environment
where
    N: Into<OsString>,
    V: Into<OsString>,
{
    let mut environment = Environment::default();
    for (name, value) in variables {
        // No name of ours is anything but UTF-8.
        let (Ok(name), value) = (name.into().into_string(), value.into()) else {
            continue;
        };
        if value.is_empty() {
            continue;
        }
        if let Some(key) = conventional_key(&name) {
            if let Ok(text) = value.into_string() {
                environment.add_convention(key, name, text);
            }
        } else if name == FILE_VARIABLE {
            environment.file = Some(value.into());
        } else if let Some(key) = key_of(&name) {
            match value.into_string() {
                Ok(text) => drop(environment.keys.insert(
                    key,
                    SourcedValue {
                        written: name,
                        value: RawValue::Text(text),
                    },
                )),
                Err(_) => errors.add(&name, "is not UTF-8"),
            }
        }
    }
    environment
}

impl Environment {
    /// Of two spellings the one in capitals holds.
    fn add_convention(&mut self, key: &str, written: String, text: String) {
        let in_capitals = written.starts_with(|first: char| first.is_ascii_uppercase());
        if in_capitals || !self.conventions.contains_key(key) {
            let value = RawValue::Text(text);
            self.conventions
                .insert(key.to_owned(), SourcedValue { written, value });
        }
    }
}

fn conventional_key(name: &str) -> Option<&'static str> {
    let (_, key) = CONVENTIONS
        .iter()
        .find(|(convention, _)| name == *convention || name == convention.to_lowercase())?;
    Some(key)
}

/// `egain.rate` of `ASSET_GATEWAY_EGAIN__RATE`; the name itself if it isn't all in capitals.
fn key_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?;
    if !rest.contains("__") {
        return None;
    }
    let capitals = !rest.contains(|c: char| c.is_lowercase() || c == '.');
    Some(if capitals {
        rest.replace("__", ".").to_lowercase()
    } else {
        name.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_injects_is_no_key() {
        assert_eq!(key_of("ASSET_GATEWAY_PORT"), None);
        assert_eq!(key_of("ASSET_GATEWAY_SERVICE_PORT_HTTP"), None);
        assert_eq!(key_of("EGAIN__RATE"), None);
    }

    #[test]
    fn two_underscores_part_section_and_key() {
        assert_eq!(
            key_of("ASSET_GATEWAY_EGAIN__BASE_URL").unwrap(),
            "egain.base_url"
        );
        assert_eq!(
            key_of("ASSET_GATEWAY_AUTH__JWT__JWKS_URL").unwrap(),
            "auth.jwt.jwks_url"
        );
        assert_eq!(
            key_of("ASSET_GATEWAY_egain__rate").unwrap(),
            "ASSET_GATEWAY_egain__rate"
        );
    }

    #[test]
    fn a_convention_in_capitals_wins_over_lower_case() {
        let mut errors = ErrorCollector::default();
        let variables = [
            ("https_proxy", "lower:1"),
            ("HTTPS_PROXY", "upper:1"),
            ("no_proxy", "lower.test"),
        ];
        let reversed = variables.iter().rev().copied();
        for found in [read(variables, &mut errors), read(reversed, &mut errors)] {
            let written = found.conventions.values().map(|value| &*value.written);
            assert_eq!(Vec::from_iter(written), ["no_proxy", "HTTPS_PROXY"]);
        }
    }

    #[test]
    fn an_empty_variable_is_not_given() {
        let mut errors = ErrorCollector::default();
        let found = read(
            [
                ("ASSET_GATEWAY_EGAIN__SCOPE", ""),
                ("ASSET_GATEWAY_CONFIG", ""),
            ],
            &mut errors,
        );
        assert!(found.keys.is_empty() && found.file.is_none());
    }
}
