//! A key: its name, its default and what it does.

use crate::config::sources::value::PREFIX;

/// One line of the table of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingKey {
    /// Section and key, such as `egain.rate`.
    pub name: &'static str,
    /// What holds when it isn't set: a value as it would be written, or a phrase if there is
    /// none.
    pub default: &'static str,
    /// Whether `default` is a value. If not, the key is unset by default.
    pub preset: bool,
    /// What it does, as one line.
    pub doc: &'static str,
    /// Whether its value is never shown, and may come from the file that `<name>_file` names.
    pub secret: bool,
}

impl SettingKey {
    /// The table it is in, such as `egain` or `auth.jwt`.
    pub fn table(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((table, _)) => table,
            None => self.name,
        }
    }

    /// The section's name, such as `egain`; `auth` for all that is in `auth.jwt`, too.
    pub fn section(&self) -> &'static str {
        match self.name.split_once('.') {
            Some((section, _)) => section,
            None => self.name,
        }
    }

    /// The key within its section, such as `rate` or `jwt.issuer`.
    pub fn field(&self) -> &'static str {
        match self.name.split_once('.') {
            Some((_, field)) => field,
            None => self.name,
        }
    }

    /// The environment's name for it, such as `ASSET_GATEWAY_EGAIN__RATE`.
    pub fn variable(&self) -> String {
        variable(self.name)
    }
}

/// `ASSET_GATEWAY_EGAIN__RATE` for `egain.rate`, `ASSET_GATEWAY_AUTH__JWT__ISSUER` for
/// `auth.jwt.issuer`.
pub(in crate::config) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}
