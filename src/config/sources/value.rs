//! Values as they were written. Nothing here knows what a value means.

use std::collections::BTreeMap;

use toml::Value;

/// What all our variables begin with.
pub(in crate::config) const PREFIX: &str = "ASSET_GATEWAY_";

/// A value that somebody wrote. Has no `Debug`, as it may be a secret.
pub(in crate::config) struct SourcedValue {
    /// The name it was written under.
    pub written: String,
    /// What was written.
    pub value: RawValue,
}

/// A value as it came.
pub(in crate::config) enum RawValue {
    /// From a variable or a file of its own.
    Text(String),
    /// From the settings file.
    Toml(Value),
}

/// One source's values by key (`egain.rate`).
pub(in crate::config) type SettingsSource = BTreeMap<String, SourcedValue>;
