//! The effective settings as TOML.

use std::fmt::Write;

use toml::Value;

use super::key::SettingKey;

/// One section after the other; a key that isn't set is a comment that says what holds.
pub(in crate::config) fn toml<'k>(
    settings: impl Iterator<Item = (&'k SettingKey, Option<Value>)>,
) -> String {
    let mut text = String::new();
    let mut section = "";
    for (key, value) in settings {
        if key.section() != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            section = key.section();
            writeln!(text, "{gap}[{section}]").expect("a string takes all");
        }
        match value {
            Some(value) => writeln!(text, "{} = {value}", key.field()),
            None => writeln!(text, "# {} is not set: {}", key.field(), key.default),
        }
        .expect("a string takes all");
    }
    text
}
