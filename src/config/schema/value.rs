//! What every value can do: be read from a variable and from TOML, and be shown.

use std::str::FromStr;

use toml::Value;

/// What `asset-gateway config` shows in place of a secret.
pub(in crate::config) const HIDDEN: &str = "[hidden]";

/// A type that settings can have.
///
/// Not `Deserialize`: that stops at the first mistake, speaks of Rust's types, and either keeps the
/// text of variables from being numbers or turns secrets such as `007` into them.
pub(in crate::config) trait SettingValue: Sized {
    /// What a value looks like, to end the sentence "expected".
    const EXPECTED: &'static str;

    /// The names that can be chosen from, to follow [`EXPECTED`](Self::EXPECTED); none for other
    /// types.
    const NAMES: &'static [&'static str] = &[];

    /// Whether the value must never be shown, and may come from a file of its own.
    const SECRET: bool = false;

    /// Reads what a variable holds. The error is a line that says what is wrong.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads what the file holds. As strict as TOML: `"5"` is no number.
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            other => Err(mistyped::<Self>(other)),
        }
    }

    /// How the file would hold it; nothing if it isn't set.
    fn to_toml(&self) -> Option<Value>;
}

/// "expected a whole number, found a list": TOML of another type.
pub(in crate::config) fn mistyped<T: SettingValue>(found: &Value) -> String {
    let found = match found {
        // A secret that was written without its quotes is no less a secret.
        _ if T::SECRET => "something else".into(),
        Value::String(text) => format!("the string {text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Datetime(date) => date.to_string(),
        Value::Array(_) => "a list".into(),
        Value::Table(_) => "a table".into(),
    };
    format!("expected {}, found {found}", expected::<T>())
}

/// "expected a whole number, found "many"": text that can't be read.
pub(in crate::config) fn unreadable<T: SettingValue>(text: &str) -> String {
    format!("expected {}, found {text:?}", expected::<T>())
}

/// "a whole number", or "one of stream, redirect".
fn expected<T: SettingValue>() -> String {
    if T::NAMES.is_empty() {
        T::EXPECTED.to_owned()
    } else {
        format!("{} {}", T::EXPECTED, T::NAMES.join(", "))
    }
}

/// How a value is written in a sentence.
pub(in crate::config) fn shown<T: SettingValue>(value: &T) -> String {
    match value.to_toml() {
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => "nothing".into(),
    }
}

impl<T: SettingValue> SettingValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const NAMES: &'static [&'static str] = T::NAMES;
    const SECRET: bool = T::SECRET;

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Some(T::from_text(text)?))
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        Ok(Some(T::from_toml(value)?))
    }

    fn to_toml(&self) -> Option<Value> {
        self.as_ref()?.to_toml()
    }
}

/// Reads and writes an enum by its variants' names, as `strum` has them.
macro_rules! named_values {
    ($($enum:ty),+) => {$(
        impl $crate::config::schema::value::SettingValue for $enum {
            const EXPECTED: &'static str = "one of";
            const NAMES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

            fn from_text(text: &str) -> Result<Self, String> {
                $crate::config::schema::value::parsed(text)
            }

            fn to_toml(&self) -> Option<toml::Value> {
                let name: &str = self.into();
                Some(toml::Value::String(name.to_owned()))
            }
        }
    )+};
}
pub(in crate::config) use named_values;

/// Reads a type by its own `FromStr`, whose error says less than what is expected.
pub(in crate::config) fn parsed<T: SettingValue + FromStr>(text: &str) -> Result<T, String> {
    match text.parse() {
        Ok(value) => Ok(value),
        Err(_) => Err(unreadable::<T>(text)),
    }
}
