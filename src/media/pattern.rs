//! Patterns of types, as policy is written in them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::restricted_name::is_restricted_name;
use super::table;

/// A pattern of MIME types: `image/png`, `image/*` or `*/*`.
///
/// Compared as a whole and without regard to case. Names that mean one type match each other:
/// `image/jpg` is `image/jpeg`, `audio/x-m4a` is `audio/mp4`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaPattern {
    /// Lower case.
    written: String,
    kind: PatternKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum PatternKind {
    All,
    /// Those of a family; lower case.
    Family(String),
    /// The one with this name, which is the type's [own](table::canonical).
    One(String),
}

/// What was written is no pattern of types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no pattern of types: write `image/png`, `image/*` or `*/*`")]
pub struct BadPattern(String);

impl MediaPattern {
    /// Whether a type without parameters, under [its one name](super::Sniffed::essence), is one of
    /// those meant.
    pub fn matches(&self, essence: &str) -> bool {
        match &self.kind {
            PatternKind::One(meant) => meant.eq_ignore_ascii_case(essence),
            PatternKind::Family(meant) => match essence.split_once('/') {
                Some((family, _)) => meant.eq_ignore_ascii_case(family),
                None => false,
            },
            PatternKind::All => essence.contains('/'),
        }
    }
}

impl FromStr for MediaPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let written = text.trim().to_ascii_lowercase();
        let kind = match written.split_once('/') {
            Some(("*", "*")) => PatternKind::All,
            Some((family, "*")) if is_restricted_name(family) => {
                PatternKind::Family(family.to_owned())
            }
            Some((family, subtype))
                if is_restricted_name(family) && is_restricted_name(subtype) =>
            {
                PatternKind::One(table::canonical(&written).to_owned())
            }
            _ => return Err(BadPattern(text.to_owned())),
        };
        Ok(Self { written, kind })
    }
}

impl fmt::Display for MediaPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl TryFrom<String> for MediaPattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        text.parse()
    }
}

impl From<MediaPattern> for String {
    fn from(pattern: MediaPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, essence: &str) -> bool {
        pattern.parse::<MediaPattern>().unwrap().matches(essence)
    }

    #[test]
    fn a_pattern_matches_a_whole_type_in_any_case() {
        assert!(matches("image/PNG", "Image/png"));
        assert!(matches("image/*", "image/svg+xml"));
        assert!(matches("*/*", "application/octet-stream"));
        assert!(!matches("image/png", "image/png2"));
        assert!(!matches("image/*", "imagery/png"));
        assert!(!matches("image/*", "application/image/png"));
        assert!(!matches("*/*", "nonsense"));
    }

    #[test]
    fn other_names_of_a_type_match_it() {
        assert!(matches("image/jpg", "image/jpeg"));
        assert!(matches("audio/x-m4a", "audio/mp4"));
        assert!(matches("application/javascript", "text/javascript"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_and_quoted() {
        for bad in [
            "",
            "*",
            "image",
            "image/",
            "/png",
            "*/png",
            "image/p*",
            "image/png; q=1",
            "a/b/c",
            "im age/png",
        ] {
            let error = bad.parse::<MediaPattern>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{bad}` is no pattern")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_pattern_is_a_string_in_settings() {
        let patterns: Vec<MediaPattern> =
            serde_json::from_str(r#"["image/*", " text/Plain "]"#).unwrap();
        assert_eq!(
            serde_json::to_string(&patterns).unwrap(),
            r#"["image/*","text/plain"]"#
        );
        assert!(
            serde_json::from_str::<MediaPattern>(r#""images""#)
                .unwrap_err()
                .to_string()
                .contains("`images`")
        );
    }

    #[test]
    fn the_default_of_deny_parses_and_matches_itself() {
        for pattern in table::EXECUTABLE_PATTERNS {
            assert!(matches(pattern, pattern));
        }
    }
}
