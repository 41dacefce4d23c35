//! What a presigned URL's signature is good for, as far as its query tells. It is only read here;
//! whether it is genuine is for storage to say.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde::Deserialize;
use url::Url;

/// Parameters that hold the signature of a large cloud's store.
const CLOUD_SIGNATURES: [&str; 2] = ["x-amz-signature", "x-goog-signature"];

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UrlSignature {
    /// A JWT that names its method.
    Jwt(Method),
    /// Amazon's store, Google's, or one that speaks as they do.
    Cloud,
    /// Azure's store, which requires a header with the kind of blob.
    Azure,
    /// Nobody that is known.
    Unknown,
}

impl UrlSignature {
    /// What the query has.
    pub(super) fn of(url: &Url) -> Self {
        for (_, value) in url.query_pairs() {
            if let Some(method) = method_of_jwt(&value) {
                return Self::Jwt(method);
            }
        }
        let has = |name: &str| {
            url.query_pairs()
                .any(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty())
        };
        if CLOUD_SIGNATURES.into_iter().any(has) {
            Self::Cloud
        } else if has("sig") && has("sv") {
            Self::Azure
        } else {
            Self::Unknown
        }
    }

    /// The method of uploads that it is good for: the clouds' stores take a raw body by PUT only.
    pub(super) fn upload_method(&self) -> Method {
        match self {
            Self::Jwt(method) => method.clone(),
            Self::Cloud | Self::Azure => Method::PUT,
            Self::Unknown => Method::POST,
        }
    }
}

/// The claim `method` of a JWT.
fn method_of_jwt(value: &str) -> Option<Method> {
    #[derive(Deserialize)]
    struct Claims {
        method: String,
    }
    let mut parts = value.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&json).ok()?;
    let method = claims.method.to_ascii_uppercase();
    [Method::POST, Method::PUT]
        .into_iter()
        .find(|known| known.as_str() == method)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(query: &str) -> Method {
        UrlSignature::of(&format!("https://s.egain.cloud/f?{query}").parse().unwrap())
            .upload_method()
    }

    #[test]
    fn the_method_is_the_one_that_was_signed() {
        let jwt = |claims: &str| {
            format!(
                "a=1.2.3&signature=eyJhbGciOiJIUzI1NiJ9.{}.c2ln",
                URL_SAFE_NO_PAD.encode(claims)
            )
        };
        assert_eq!(method(&jwt(r#"{"method":"POST","exp":1}"#)), Method::POST);
        assert_eq!(method(&jwt(r#"{"method":"put"}"#)), Method::PUT);
        assert_eq!(method(&jwt(r#"{"method":"DELETE"}"#)), Method::POST);
        assert_eq!(
            method(&(jwt(r#"{"method":"POST"}"#) + "&X-Amz-Signature=1")),
            Method::POST,
            "what is said is done"
        );
    }

    #[test]
    fn a_cloud_stores_signature_is_good_for_put() {
        for query in [
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=ab12",
            "x-amz-signature=ab12",
            "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature=ab12",
            "sv=2024-08-04&se=2026-01-01T00%3A00%3A00Z&sr=b&sp=cw&sig=a%2Bb%3D",
        ] {
            assert_eq!(method(query), Method::PUT, "{query}");
        }
        for query in [
            "sig=abc",
            "sv=1",
            "signature=ab12",
            "X-Amz-Signature=",
            "q=x-amz-signature",
        ] {
            assert_eq!(method(query), Method::POST, "{query}");
        }
    }
}
