//! The name of a request: the caller's, when well-formed, else a new one.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// Where it travels.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// 1 to 128 of `A-Z a-z 0-9 . _ -`: safe in any log.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's id, or a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        match headers.get(HEADER) {
            Some(id) if is_well_formed(id.as_bytes()) => Self(id.clone()),
            _ => Self(Self::fresh()),
        }
    }

    fn fresh() -> HeaderValue {
        let mut buffer = Uuid::encode_buffer();
        HeaderValue::from_str(Uuid::new_v4().hyphenated().encode_lower(&mut buffer))
            .expect("a UUID is plain ASCII")
    }

    /// As a header.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("checked when it was taken")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&id.len()) && id.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &'static str) -> String {
        RequestId::of(
            &[(HEADER, HeaderValue::from_static(id))]
                .into_iter()
                .collect(),
        )
        .to_string()
    }

    #[test]
    fn the_callers_id_is_kept_only_when_well_formed() {
        assert_eq!(of("abc-1.2_3"), "abc-1.2_3");
        for bad in ["", "a b", "a\"b", "a;b"] {
            assert_eq!(of(bad).len(), 36, "{bad}");
        }
    }
}
