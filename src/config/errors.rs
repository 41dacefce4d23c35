//! What is wrong with the settings: every mistake, one line each, under the name its author used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One thing to correct.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The key as it was written: `egain.rate` in a file, `ASSET_GATEWAY_EGAIN__RATE` as a
    /// variable.
    pub key: String,
    /// What is wrong and what is expected. One line; never holds a secret.
    pub says: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.says)
    }
}

/// Every mistake that was found, sorted by key. Displays as one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingsErrors(Vec<Mistake>);

impl SettingsErrors {
    /// The mistakes, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Mistake> {
        self.0.iter()
    }
}

/// Collects mistakes while settings are read and compared with each other.
#[derive(Debug, Default)]
pub(super) struct ErrorCollector {
    found: Vec<Mistake>,
    written: BTreeMap<&'static str, String>,
    invalid: BTreeSet<&'static str>,
    has_unreadable_source: bool,
}

impl ErrorCollector {
    /// Remembers how a key was written, for mistakes that are only seen later.
    pub(super) fn note_source(&mut self, key: &'static str, written: &str) {
        self.written.insert(key, written.to_owned());
    }

    /// The value of a known key can't be used.
    pub(super) fn invalid(&mut self, key: &'static str, written: &str, says: impl Into<String>) {
        self.invalid.insert(key);
        self.add(written, says);
    }

    /// Something that isn't a known key's value is wrong.
    pub(super) fn add(&mut self, written: &str, says: impl Into<String>) {
        let one_line = |text: &str| text.replace(char::is_control, " ");
        self.found.push(Mistake {
            key: one_line(written),
            says: one_line(&says.into()),
        });
    }

    /// A whole source couldn't be read, so that nobody knows what it sets.
    pub(super) fn unreadable_source(&mut self, source: &str, says: impl Into<String>) {
        self.has_unreadable_source = true;
        self.add(source, says);
    }

    /// Keys that are fine by themselves don't go together. Reported under the first of them.
    ///
    /// Stays silent when one of them is known to be bad or may be in a source that couldn't be
    /// read: what is in its place is a default, and a complaint about that would only mislead.
    pub(super) fn conflict(&mut self, keys: &[&'static str], says: impl Into<String>) {
        if self.has_unreadable_source || keys.iter().any(|key| self.invalid.contains(key)) {
            return;
        }
        let Some(&first) = keys.first() else { return };
        match self.written.get(first).cloned() {
            Some(written) => self.add(&written, says),
            None => self.add(first, says),
        }
    }

    /// `value`, if nothing is wrong.
    pub(super) fn into_result<T>(mut self, value: T) -> Result<T, SettingsErrors> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found.sort();
        Err(SettingsErrors(self.found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_sorted_and_one_line_each() {
        let mut errors = ErrorCollector::default();
        errors.add("b", "second");
        errors.add("a", "first");
        assert_eq!(
            errors.into_result(()).unwrap_err().to_string(),
            "a: first\nb: second"
        );
    }

    #[test]
    fn a_conflict_is_named_as_its_key_was_written() {
        let mut errors = ErrorCollector::default();
        errors.note_source("x.y", "ASSET_GATEWAY_X__Y");
        errors.conflict(&["x.y", "x.z"], "disagree");
        assert_eq!(
            errors.into_result(()).unwrap_err().to_string(),
            "ASSET_GATEWAY_X__Y: disagree"
        );
    }

    #[test]
    fn a_conflict_with_an_invalid_value_is_left_out() {
        let mut errors = ErrorCollector::default();
        errors.invalid("x.z", "x.z", "is bad");
        errors.conflict(&["x.y", "x.z"], "disagree");
        assert_eq!(
            errors.into_result(()).unwrap_err().to_string(),
            "x.z: is bad"
        );
    }
}
