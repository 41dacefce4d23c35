//! Digests in headers (RFC 9530): what is wanted, and what is promised.

use http::HeaderMap;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::body::digest::Sha256Sum;
use crate::types::error::{Error, ErrorCode, Stage};

/// What a caller wants of, or promises by, a SHA-256. Other algorithms are ignored, as RFC 9530
/// section 2 permits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DeclaredDigest {
    /// Whether the response has to name it.
    pub wanted: bool,
    /// What it must be.
    pub expected: Option<Sha256Sum>,
}

impl DeclaredDigest {
    /// What the request's headers want, without what they promise.
    pub(super) fn wanted_by(headers: &HeaderMap) -> Self {
        Self {
            wanted: wanted(headers),
            expected: None,
        }
    }

    /// Both together; two promises must be the same.
    pub(super) fn and(self, other: Self) -> Result<Self, Error> {
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

/// Whether `Want-Repr-Digest` wants SHA-256 (RFC 9530 section 4; 0 means "not wanted"). A malformed
/// wish is ignored (RFC 8941 section 4.2); a malformed promise is refused.
fn wanted(headers: &HeaderMap) -> bool {
    let Ok(dictionary) = dictionary(headers, "want-repr-digest") else {
        return false;
    };
    match item(&dictionary).and_then(|item| item.as_integer()) {
        Some(preference) => i64::from(preference) > 0,
        None => false,
    }
}

/// What `Repr-Digest` and `Content-Digest` promise of the request's content, which for a request
/// without content coding are the same bytes.
pub(super) fn promised(headers: &HeaderMap) -> Result<Option<Sha256Sum>, Error> {
    let representation = promised_by(headers, "repr-digest")?;
    let content = promised_by(headers, "content-digest")?;
    Ok(representation.and(content)?.expected)
}

fn promised_by(headers: &HeaderMap, header: &'static str) -> Result<DeclaredDigest, Error> {
    let dictionary = dictionary(headers, header)?;
    let Some(item) = item(&dictionary) else {
        return Ok(DeclaredDigest::default());
    };
    let Some(bytes) = item.as_byte_sequence() else {
        return Err(unreadable(header));
    };
    let sum = Sha256Sum::try_from(bytes).map_err(|_| unreadable(header))?;
    Ok(DeclaredDigest {
        wanted: true,
        expected: Some(sum),
    })
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
