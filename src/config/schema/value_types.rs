//! The types of values, from the plain ones to URLs.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::de::{IntoDeserializer, value::Error};
use serde::{Deserialize, Serialize};
use toml::Value;
use url::Url;

use super::value::{HIDDEN, SettingValue, mistyped, parsed, unreadable};
use crate::api::{CorsOrigin, IpRange};
use crate::media::MediaPattern;
use crate::storage::HostPattern;
use crate::types::units::{ByteSize, duration};

impl SettingValue for String {
    const EXPECTED: &'static str = "a string that isn't empty";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err(unreadable::<Self>(text))
        } else {
            Ok(text.to_owned())
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }
}

impl SettingValue for SecretString {
    const EXPECTED: &'static str = "a string that isn't empty (in quotes)";
    const SECRET: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err("expected a secret, found nothing".into())
        } else {
            Ok(text.into())
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(HIDDEN.into()))
    }
}

/// What lists are made of: types that read and write themselves.
pub(in crate::config) trait ListEntry: FromStr<Err: Display> + Display {
    /// What a list of them is called, to end the sentence "expected".
    const EXPECTED: &'static str;
}

impl ListEntry for MediaPattern {
    const EXPECTED: &'static str = "a list of MIME patterns";
}

impl ListEntry for IpRange {
    const EXPECTED: &'static str = "a list of IP addresses and ranges";
}

impl ListEntry for CorsOrigin {
    const EXPECTED: &'static str = "a list of origins";
}

impl ListEntry for HostPattern {
    const EXPECTED: &'static str = "a list of hosts";
}

impl<T: ListEntry> SettingValue for Vec<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    /// Entries are parted by commas; blanks around them and empty ones don't count.
    fn from_text(text: &str) -> Result<Self, String> {
        let mut entries = Self::new();
        for part in text.split(',') {
            let part = part.trim();
            if !part.is_empty() {
                entries.push(entry(part)?);
            }
        }
        Ok(entries)
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        let Value::Array(values) = value else {
            return Err(mistyped::<Self>(value));
        };
        let mut entries = Self::with_capacity(values.len());
        for value in values {
            entries.push(entry(&String::from_toml(value)?)?);
        }
        Ok(entries)
    }

    fn to_toml(&self) -> Option<Value> {
        let mut values = Vec::with_capacity(self.len());
        for entry in self {
            values.push(Value::String(entry.to_string()));
        }
        Some(Value::Array(values))
    }
}

fn entry<T: ListEntry>(text: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(entry) => Ok(entry),
        Err(error) => Err(error.to_string()),
    }
}

impl SettingValue for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Boolean(value) => Ok(*value),
            other => Err(mistyped::<Self>(other)),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
}

impl SettingValue for f64 {
    const EXPECTED: &'static str = "a number such as 5 or 0.5";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        // A float has all 32 bits of such an integer.
        if let Value::Integer(number) = value
            && let Ok(number) = i32::try_from(*number)
        {
            return Ok(number.into());
        }
        match value {
            Value::Float(number) => Ok(*number),
            other => Err(mistyped::<Self>(other)),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::Float(*self))
    }
}

macro_rules! whole_numbers {
    ($($type:ty)*) => {$(
        impl SettingValue for $type {
            const EXPECTED: &'static str = "a whole number";

            fn from_text(text: &str) -> Result<Self, String> {
                parsed(text)
            }

            fn from_toml(value: &Value) -> Result<Self, String> {
                if let Value::Integer(number) = value
                    && let Ok(number) = Self::try_from(*number)
                {
                    return Ok(number);
                }
                Err(mistyped::<Self>(value))
            }

            fn to_toml(&self) -> Option<Value> {
                Value::try_from(self).ok()
            }
        }
    )*};
}
whole_numbers! { u32 u64 usize }

/// A duration as all settings write it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Written(#[serde(with = "duration")] Duration);

impl SettingValue for Duration {
    const EXPECTED: &'static str = "a duration such as 30s or 5m";

    fn from_text(text: &str) -> Result<Self, String> {
        let written: Result<Written, Error> = Written::deserialize(text.into_deserializer());
        match written {
            Ok(Written(duration)) => Ok(duration),
            Err(_) => Err(unreadable::<Self>(text)),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Value::try_from(Written(*self)).ok()
    }
}

impl SettingValue for ByteSize {
    const EXPECTED: &'static str = "a size such as 64KiB or 10MiB";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(bytes) => match u64::try_from(*bytes) {
                Ok(bytes) => Ok(Self(bytes)),
                Err(_) => Err(mistyped::<Self>(value)),
            },
            Value::String(text) => Self::from_text(text),
            other => Err(mistyped::<Self>(other)),
        }
    }

    /// In the largest unit that loses nothing; the type's own `Display` rounds.
    fn to_toml(&self) -> Option<Value> {
        const UNITS: [(&str, u64); 4] = [
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        let Self(bytes) = *self;
        for (name, unit) in UNITS {
            if bytes >= unit && bytes % unit == 0 {
                return Some(Value::String(format!("{}{name}", bytes / unit)));
            }
        }
        Some(Value::String(format!("{bytes}B")))
    }
}

impl SettingValue for SocketAddr {
    const EXPECTED: &'static str = "an IP address with a port, such as 0.0.0.0:8080 or [::]:8080";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}

impl SettingValue for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(unreadable::<Self>(text));
        }
        Ok(text.into())
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.display().to_string()))
    }
}

impl SettingValue for Url {
    const EXPECTED: &'static str =
        "an http or https URL with a host, and without user, password, query and fragment";

    /// What was found is not shown: a URL is where people put passwords.
    fn from_text(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(url) if is_plain_http(&url) => Ok(url),
            _ => Err(format!("expected {}", Self::EXPECTED)),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}

fn is_plain_http(url: &Url) -> bool {
    let anonymous = url.username().is_empty() && url.password().is_none();
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && anonymous
        && url.query().is_none()
        && url.fragment().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::schema::value::shown;

    fn read<T: SettingValue>(text: &str) -> String {
        T::from_text(text).map_or_else(|why| why, |value| shown(&value))
    }

    #[test]
    fn sizes_lose_nothing_when_written() {
        for (given, written) in [
            ("10MiB", "10MiB"),
            ("10485761", "10485761B"),
            ("1.5KiB", "1536B"),
            ("0", "0B"),
        ] {
            assert_eq!(read::<ByteSize>(given), written);
        }
    }

    #[test]
    fn durations_need_a_unit_and_no_sign() {
        assert_eq!(read::<Duration>("90s"), "1m 30s");
        assert_eq!(
            read::<Duration>("30"),
            r#"expected a duration such as 30s or 5m, found "30""#
        );
        assert_eq!(
            read::<Duration>("-1s"),
            r#"expected a duration such as 30s or 5m, found "-1s""#
        );
    }

    #[test]
    fn lists_are_parted_by_commas() {
        let list = Vec::<MediaPattern>::from_text(" image/* ,, text/plain,").unwrap();
        assert_eq!(
            list.iter().map(MediaPattern::to_string).collect::<Vec<_>>(),
            ["image/*", "text/plain"]
        );
    }

    #[test]
    fn toml_is_taken_by_its_own_types() {
        assert_eq!(
            u32::from_toml(&Value::Integer(-1)).unwrap_err(),
            "expected a whole number, found -1"
        );
        assert_eq!(
            usize::from_toml(&Value::Float(1.5)).unwrap_err(),
            "expected a whole number, found 1.5"
        );
        assert_eq!(
            bool::from_toml(&Value::Integer(1)).unwrap_err(),
            "expected true or false, found 1"
        );
        assert_eq!(f64::from_toml(&Value::Integer(5)), Ok(5.0));
        assert_eq!(ByteSize::from_toml(&Value::Integer(5)), Ok(ByteSize(5)));
    }

    #[test]
    fn a_url_with_password_is_refused_and_not_shown() {
        for bad in [
            "https://user:hunter2@x.test",
            "ftp://x.test",
            "https://",
            "x.test",
            "https://x.test?key=hunter2",
        ] {
            assert_eq!(
                read::<Url>(bad),
                format!("expected {}", Url::EXPECTED),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_mistyped_secret_is_not_shown() {
        let why = SecretString::from_toml(&Value::Integer(1234)).unwrap_err();
        assert!(!why.contains("1234"), "{why}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(bytes in 0..1u64 << 60, millis in 0..1u64 << 40) {
            let size = ByteSize(bytes);
            prop_assert_eq!(ByteSize::from_toml(&size.to_toml().unwrap()), Ok(size));
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(Duration::from_toml(&duration.to_toml().unwrap()), Ok(duration));
        }
    }
}
