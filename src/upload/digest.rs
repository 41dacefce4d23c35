//! Digests in headers (RFC 9530): what is asked for, and what is promised.

use http::HeaderMap;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::body::digest::Sha256Sum;
use crate::types::error::{Error, ErrorCode, Stage};

/// What a caller wants of, or promises by, a SHA-256. Other algorithms are ignored, as RFC 9530
/// section 2 permits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeclaredDigest {
    /// Whether the answer shall tell it.
    pub wanted: bool,
    /// What it must be.
    pub expected: Option<Sha256Sum>,
}

impl DeclaredDigest {
    /// Both together; two promises must be the same.
    pub fn and(self, other: Self) -> Result<Self, Error> {
        match (self.expected, other.expected) {
            (Some(one), Some(two)) if one != two => {
                let detail =
                    "two different SHA-256 values are declared for the same bytes: declare one";
                Err(Error::caller(
                    ErrorCode::ConflictingField,
                    Stage::Admit,
                    detail,
                ))
            }
            (one, two) => Ok(Self {
                wanted: self.wanted || other.wanted,
                expected: one.or(two),
            }),
        }
    }
}

/// Whether `Want-Repr-Digest` asks for SHA-256 (RFC 9530 section 4; 0 means "not wanted"). A wish
/// that can't be read is none (RFC 8941 section 4.2); a promise is another matter.
pub fn wanted(headers: &HeaderMap) -> bool {
    let Ok(dictionary) = dictionary(headers, "want-repr-digest") else {
        return false;
    };
    item(&dictionary)
        .and_then(|item| item.as_integer())
        .is_some_and(|preference| i64::from(preference) > 0)
}

/// What `Repr-Digest` and `Content-Digest` promise of the request's content, which for a request
/// without content coding are the same bytes.
pub fn promised(headers: &HeaderMap) -> Result<Option<Sha256Sum>, Error> {
    let of = |header| -> Result<DeclaredDigest, Error> {
        let dictionary = dictionary(headers, header)?;
        let expected = match item(&dictionary) {
            None => None,
            Some(item) => {
                let sum = item
                    .as_byte_sequence()
                    .and_then(|bytes| Sha256Sum::try_from(bytes).ok());
                Some(sum.ok_or_else(|| unreadable(header))?)
            }
        };
        Ok(DeclaredDigest {
            wanted: expected.is_some(),
            expected,
        })
    };
    Ok(of("repr-digest")?.and(of("content-digest")?)?.expected)
}

fn dictionary(headers: &HeaderMap, header: &'static str) -> Result<Dictionary, Error> {
    // Lines of one field are one list (RFC 9110 section 5.3).
    let lines: Vec<&[u8]> = headers
        .get_all(header)
        .iter()
        .map(|value| value.as_bytes())
        .collect();
    Parser::new(&lines.join(&b","[..]))
        .parse()
        .map_err(|_| unreadable(header))
}

fn item(dictionary: &Dictionary) -> Option<&BareItem> {
    match dictionary.get("sha-256")? {
        ListEntry::Item(item) => Some(&item.bare_item),
        ListEntry::InnerList(_) => None,
    }
}

fn unreadable(header: &str) -> Error {
    let detail =
        format!("{header} can't be read: write it as RFC 9530 says, such as sha-256=:base64:");
    Error::caller(ErrorCode::InvalidField, Stage::Admit, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    const ABC: &str = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";

    #[test]
    fn a_promise_is_read_from_either_header() {
        let one = promised(&headers(&[("repr-digest", ABC)])).unwrap();
        assert_eq!(one.map(|sum| sum[0]), Some(0xba));
        assert_eq!(
            promised(&headers(&[("content-digest", ABC), ("repr-digest", ABC)])).unwrap(),
            one
        );
        assert_eq!(
            promised(&headers(&[("repr-digest", "sha-512=:AAAA:")])).unwrap(),
            None
        );
        assert_eq!(promised(&headers(&[])).unwrap(), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in ["sha-256=abc", "sha-256=:AAAA:", "!"] {
            assert_eq!(
                promised(&headers(&[("repr-digest", wrong)]))
                    .unwrap_err()
                    .code(),
                ErrorCode::InvalidField,
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_wish_is_a_preference_above_zero() {
        assert!(wanted(&headers(&[(
            "want-repr-digest",
            "sha-512=3, sha-256=10"
        )])));
        for none in [
            "sha-256=0",
            "sha-256",
            "sha-256=yes",
            "sha-256=1,",
            "SHA-256=1",
            "!",
            "sha-256=:AAAA:",
        ] {
            assert!(!wanted(&headers(&[("want-repr-digest", none)])), "{none}");
        }
        assert!(!wanted(&headers(&[])));
    }
}
