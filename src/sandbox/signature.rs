//! Signed URLs: an HS256 token in the query that says what may be done with one asset until when.

use std::ops::Range;

use http::{Method, Uri};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

/// The query's name for the token.
const SIGNATURE: &str = "signature";

/// What a signature permits. eGain's sample names the claim `method`; the others are ours.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UrlClaims {
    method: String,
    asset: String,
    iat: i64,
    exp: i64,
    /// Tells one signature from another, also where all else is the same.
    pub(super) jti: Uuid,
}

/// Why a signature is of no use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidSignature {
    #[error("the signature is missing or not ours")]
    Forged,
    #[error("the signature is for another asset")]
    OtherAsset,
    #[error("the signature is for another method")]
    OtherMethod,
    #[error("the signature has expired")]
    Expired,
}

/// Signs and checks, with a secret that is as short-lived as the stand-in.
pub(super) struct UrlSigner {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl UrlSigner {
    pub(super) fn with_fresh_secret() -> Self {
        let secret = [Uuid::new_v4(), Uuid::new_v4()]
            .map(Uuid::into_bytes)
            .concat();
        let mut validation = Validation::new(Algorithm::HS256);
        // The library knows only the machine's clock, so expiry is checked here.
        validation.validate_exp = false;
        Self {
            encoding: EncodingKey::from_secret(&secret),
            decoding: DecodingKey::from_secret(&secret),
            validation,
        }
    }

    /// A URL good for `method` on `asset`, and the id of its signature. A JWT's `exp` has whole
    /// seconds, so the signature outlives the end of `validity` by up to one.
    pub(super) fn sign(
        &self,
        base: &Url,
        method: &Method,
        asset: &str,
        validity: Range<Timestamp>,
    ) -> (Url, Uuid) {
        let jti = Uuid::new_v4();
        let iat = validity.start.as_second();
        let exp = validity.end.as_second().saturating_add(1);
        let claims = UrlClaims {
            method: method.to_string(),
            asset: asset.to_owned(),
            iat,
            exp,
            jti,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("plain claims can be signed with a plain secret");
        let mut url = base.clone();
        url.set_path(&format!(
            "{}/storage/{asset}",
            base.path().trim_end_matches('/')
        ));
        url.query_pairs_mut().append_pair(SIGNATURE, &token);
        (url, jti)
    }

    /// What the signature in `uri` permits, if that is `method` on `asset` at `now`.
    pub(super) fn verify(
        &self,
        uri: &Uri,
        method: &Method,
        asset: &str,
        now: Timestamp,
    ) -> Result<UrlClaims, InvalidSignature> {
        let token = signature_of(uri).ok_or(InvalidSignature::Forged)?;
        let claims = jsonwebtoken::decode::<UrlClaims>(&token, &self.decoding, &self.validation)
            .map_err(|_| InvalidSignature::Forged)?
            .claims;
        if claims.asset != asset {
            Err(InvalidSignature::OtherAsset)
        } else if claims.method != method.as_str() {
            Err(InvalidSignature::OtherMethod)
        } else if claims.exp <= now.as_second() {
            Err(InvalidSignature::Expired)
        } else {
            Ok(claims)
        }
    }
}

fn signature_of(uri: &Uri) -> Option<String> {
    let query = uri.query()?;
    let (_, token) =
        url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == SIGNATURE)?;
    Some(token.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(
        signer: &UrlSigner,
        url: &Url,
        method: Method,
        asset: &str,
        now: Timestamp,
    ) -> Result<Uuid, InvalidSignature> {
        signer
            .verify(&url.as_str().parse().unwrap(), &method, asset, now)
            .map(|claims| claims.jti)
    }

    #[test]
    fn a_signature_is_valid_only_for_its_own_parameters() {
        let (signer, now) = (UrlSigner::with_fresh_secret(), Timestamp::now());
        let later = now + jiff::SignedDuration::from_secs(60);
        let (url, jti) = signer.sign(
            &"http://storage/base/".parse().unwrap(),
            &Method::POST,
            "one",
            now..later,
        );
        assert!(
            url.as_str()
                .starts_with("http://storage/base/storage/one?signature=")
        );
        assert_eq!(verify(&signer, &url, Method::POST, "one", now), Ok(jti));
        assert_eq!(
            verify(&signer, &url, Method::GET, "one", now),
            Err(InvalidSignature::OtherMethod)
        );
        assert_eq!(
            verify(&signer, &url, Method::POST, "two", now),
            Err(InvalidSignature::OtherAsset)
        );
        let too_late = later + jiff::SignedDuration::from_secs(2);
        assert_eq!(
            verify(&signer, &url, Method::POST, "one", too_late),
            Err(InvalidSignature::Expired)
        );
        let stranger = UrlSigner::with_fresh_secret();
        assert_eq!(
            verify(&stranger, &url, Method::POST, "one", now),
            Err(InvalidSignature::Forged)
        );
    }
}
