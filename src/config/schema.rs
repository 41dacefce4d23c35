//! A section is a struct and a table of its keys, from one declaration, so that they can't drift.

pub(super) mod key;
pub(super) mod render;
pub(super) mod rules;
pub(super) mod value;
pub(super) mod value_types;

use toml::Value;

use super::sources::reader::SettingsReader;
use value::SettingValue;

pub use key::SettingKey;

/// What every section can do.
pub(super) trait SettingsSection: Sized {
    /// Its keys, in the order of its fields.
    const KEYS: &'static [SettingKey];

    /// Reads every key; a default replaces what is missing or invalid.
    fn read(from: &mut SettingsReader) -> Self;

    /// Its values in the order of `KEYS`, nothing for what isn't set.
    fn values(&self) -> Vec<Option<Value>>;
}

/// A default in the form that a variable would have.
pub(super) fn preset<T: SettingValue>(text: &str) -> T {
    T::from_text(text).expect("the tests read every default")
}

/// Declares a section: `key: Type = "default" where rule;`, or `key: Option<Type> => "what holds
/// when it isn't set" where rule;`. A section within another follows it, as `auth.jwt` follows
/// `auth`.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:ident as $name:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty $(= $default:literal)? $(=> $phrase:literal)?
                    $(where $rule:expr)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        pub struct $section { $($(#[doc = $doc])+ pub $key: $type,)+ }

        impl $crate::config::schema::SettingsSection for $section {
            const KEYS: &'static [$crate::config::schema::SettingKey] = &[$(
                $crate::config::schema::SettingKey {
                    name: concat!($name, ".", stringify!($key)),
                    default: concat!($($default)? $($phrase)?),
                    preset: section!(@is_preset $($default)?),
                    doc: concat!($($doc),+).trim_ascii(),
                    secret: <$type as $crate::config::schema::value::SettingValue>::SECRET,
                },
            )+];

            fn read(from: &mut $crate::config::sources::reader::SettingsReader) -> Self {
                Self {$(
                    $key: {
                        let value = from.value::<$type>(
                            concat!($name, ".", stringify!($key)),
                            section!(@rule $($rule)?),
                        );
                        section!(@or_default value $($default)?)
                    },
                )+}
            }

            fn values(&self) -> Vec<Option<toml::Value>> {
                vec![$($crate::config::schema::value::SettingValue::to_toml(&self.$key),)+]
            }
        }
    };
    (@is_preset) => { false };
    (@is_preset $default:literal) => { true };
    (@rule) => { |_| Ok(()) };
    (@rule $rule:expr) => { $rule };
    (@or_default $value:ident) => { $value.unwrap_or_default() };
    (@or_default $value:ident $default:literal) => {
        $value.unwrap_or_else(|| $crate::config::schema::preset($default))
    };
}
pub(super) use section;
