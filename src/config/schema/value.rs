//! What every value can do: be read from a variable and from TOML, and be shown.

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
    format!("expected {}, found {found}", T::EXPECTED)
}

/// "expected a whole number, found "many"": text that can't be read.
pub(in crate::config) fn unreadable<T: SettingValue>(text: &str) -> String {
    format!("expected {}, found {text:?}", T::EXPECTED)
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

/// Writes an enum's values as words.
macro_rules! words {
    ($enum:ident { $($variant:ident = $word:literal,)+ }) => {
        impl $crate::config::schema::value::SettingValue for $enum {
            const EXPECTED: &'static str =
                $crate::config::schema::value::one_of(concat!("one of", $(" ", $word, ","),+));

            fn from_text(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::config::schema::value::unreadable::<Self>(text)),
                }
            }

            fn to_toml(&self) -> Option<toml::Value> {
                let word = match self { $(Self::$variant => $word,)+ };
                Some(toml::Value::String(word.into()))
            }
        }
    };
}
pub(in crate::config) use words;

/// `one of a, b`, from `one of a, b,` as a macro has to write it.
pub(in crate::config) const fn one_of(words: &'static str) -> &'static str {
    words.split_at(words.len() - 1).0
}
