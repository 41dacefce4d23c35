//! Takes key after key out of the layers. What is left over in the end is unknown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file;
use super::value::{PREFIX, RawValue, SettingsSource, SourcedValue};
use crate::config::errors::ErrorCollector;
use crate::config::schema::key::{SettingKey, variable};
use crate::config::schema::rules::RuleResult;
use crate::config::schema::value::SettingValue;

/// Names that are less alike than this (0 to 1) aren't taken for slips of each other.
const ALIKE: f64 = 0.7;

/// The layers and the mistakes found in them.
pub(in crate::config) struct SettingsReader {
    /// The upper ones first.
    sources: [SettingsSource; 3],
    errors: ErrorCollector,
    /// The files that secrets were read from, by key.
    secret_files: BTreeMap<&'static str, PathBuf>,
}

impl SettingsReader {
    /// Opens the environment, a file, and the conventions of other programs, which hold least.
    /// `keys` are those that exist.
    pub(crate) fn new(
        file: Option<(&Path, &str)>,
        environment: SettingsSource,
        conventions: SettingsSource,
        keys: &[&SettingKey],
        mut errors: ErrorCollector,
    ) -> Self {
        let tables: Vec<&str> = keys.iter().map(|key| key.table()).collect();
        let file = match file {
            Some((path, named_by)) => file::read_settings(path, named_by, &tables, &mut errors),
            None => SettingsSource::new(),
        };
        Self {
            sources: [environment, file, conventions],
            errors,
            secret_files: BTreeMap::new(),
        }
    }

    /// A key's value; nothing if it isn't set, or if it is invalid, which is noted.
    pub(crate) fn value<T: SettingValue>(
        &mut self,
        key: &'static str,
        rule: impl Fn(&T) -> RuleResult,
    ) -> Option<T> {
        let source = if T::SECRET {
            self.take_secret(key)?
        } else {
            self.take(key)?
        };
        self.errors.note_source(key, &source.written);
        match checked(&source.value, rule) {
            Ok(value) => Some(value),
            Err(says) => {
                self.errors.invalid(key, &source.written, says);
                None
            }
        }
    }

    /// Takes a key out of every layer.
    fn take(&mut self, key: &str) -> Option<SourcedValue> {
        let found = self.sources.each_mut().map(|layer| layer.remove(key));
        found.into_iter().flatten().next()
    }

    /// Takes a secret and the file it may be in out of every layer.
    fn take_secret(&mut self, key: &'static str) -> Option<SourcedValue> {
        let in_file = format!("{key}_file");
        let mut found = (None, None);
        for layer in &mut self.sources {
            let in_layer = (layer.remove(key), layer.remove(&in_file));
            if found.0.is_none() && found.1.is_none() {
                found = in_layer;
            }
        }
        match found {
            (Some(direct), Some(file)) => {
                self.errors.invalid(
                    key,
                    &file.written,
                    format!(
                        "is given together with {}: only one of them can hold",
                        direct.written
                    ),
                );
                None
            }
            (None, Some(file)) => self.open_secret(key, file),
            (direct, None) => direct,
        }
    }

    /// The secret in a file, which may be read again.
    fn open_secret(&mut self, key: &'static str, file: SourcedValue) -> Option<SourcedValue> {
        let path = match &file.value {
            RawValue::Text(path) | RawValue::Toml(toml::Value::String(path)) => path,
            RawValue::Toml(_) => {
                self.errors
                    .invalid(key, &file.written, "expected the path of a file");
                return None;
            }
        };
        match file::read_secret(Path::new(path)) {
            Ok(text) => {
                self.secret_files.insert(key, path.into());
                Some(SourcedValue {
                    value: RawValue::Text(text),
                    ..file
                })
            }
            Err(why) => {
                self.errors
                    .invalid(key, &file.written, format!("can't read {path}: {why}"));
                None
            }
        }
    }

    /// The files that secrets were read from, by key.
    pub(crate) fn secret_files(&mut self) -> BTreeMap<&'static str, PathBuf> {
        std::mem::take(&mut self.secret_files)
    }

    /// What was noted so far; what nobody took is fine.
    pub(crate) fn into_errors(self) -> ErrorCollector {
        self.errors
    }

    /// Notes what nobody took.
    pub(crate) fn finish(mut self, keys: &[&SettingKey]) -> ErrorCollector {
        for layer in &self.sources {
            for (key, source) in layer {
                self.errors.add(&source.written, unknown(key, source, keys));
            }
        }
        self.errors
    }
}

fn checked<T: SettingValue>(raw: &RawValue, rule: impl Fn(&T) -> RuleResult) -> Result<T, String> {
    let value = match raw {
        RawValue::Text(text) => T::from_text(text)?,
        RawValue::Toml(value) => T::from_toml(value)?,
    };
    rule(&value)?;
    Ok(value)
}

/// "unknown key, did you mean egain.rate?", in the words of the one who wrote it.
fn unknown(key: &str, source: &SourcedValue, keys: &[&SettingKey]) -> String {
    let as_variable = source.written.starts_with(PREFIX);
    let is_section = !as_variable && !key.contains('.');
    let what = match &source.value {
        RawValue::Toml(toml::Value::Table(_)) if is_section => "section",
        _ => "key",
    };
    let names = keys
        .iter()
        .map(|key| if is_section { key.section() } else { key.name });
    match closest(key, names) {
        Some(name) if as_variable => format!("unknown {what}, did you mean {}?", variable(name)),
        Some(name) => format!("unknown {what}, did you mean {name}?"),
        None => format!("unknown {what}"),
    }
}

fn closest<'k>(key: &str, names: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let mut closest = None;
    let mut highest = ALIKE;
    for name in names {
        let likeness = strsim::normalized_damerau_levenshtein(key, name);
        // Of several that are as close, the last one is named.
        if likeness >= highest {
            (closest, highest) = (Some(name), likeness);
        }
    }
    closest
}
