//! What is remembered of an asset, in as little memory as it takes: there may be 100,000 of them.

use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::validators::ContentValidators;
use crate::egain::Asset;
use crate::types::dual_instant::DualInstant;
use crate::types::secret::SignedUrl;

/// An asset as eGain described it, and what storage has shown of it since.
///
/// One allocation for all texts, in place of one each and a parsed URL. It holds a signed URL, so
/// it has no `Debug`.
pub struct KnownAsset {
    /// Signed URL, name, content type and expiry, one behind the other.
    text: Box<str>,
    /// Where each of the first three ends.
    ends: [u32; 3],
    size: Option<NonZeroU64>,
    requested: Instant,
    good_until: DualInstant,
    validators: OnceLock<Box<ContentValidators>>,
    /// Its type where storage or its bytes tell more than eGain does.
    exact_type: OnceLock<Box<str>>,
}

impl KnownAsset {
    /// `good_until` is when its URL is no longer given out.
    pub(super) fn new(asset: &Asset, good_until: DualInstant) -> Self {
        let texts = [
            asset.url.url.expose(),
            asset.name.as_deref().unwrap_or_default(),
            asset.content_type.as_deref().unwrap_or_default(),
            asset.url.expiry.as_deref().unwrap_or_default(),
        ];
        let mut end = 0;
        // eGain's responses are bounded far below 4 GiB.
        let ends = [0, 1, 2].map(|piece: usize| {
            end += texts[piece].len() as u32;
            end
        });
        Self {
            text: texts.concat().into(),
            ends,
            // eGain has no empty files: zero is a size that it doesn't know.
            size: asset.size.and_then(NonZeroU64::new),
            requested: asset.url.requested,
            good_until,
            validators: OnceLock::new(),
            exact_type: OnceLock::new(),
        }
    }

    /// Its name with extension, if known.
    pub fn name(&self) -> Option<&str> {
        some(&self.text[self.ends[0] as usize..self.ends[1] as usize])
    }

    /// Its MIME type as eGain has it, if it has one: without parameters, in all that was seen.
    pub fn content_type(&self) -> Option<&str> {
        some(&self.text[self.ends[1] as usize..self.ends[2] as usize])
    }

    /// When its signed URL expires, as eGain wrote it.
    pub fn url_expiry(&self) -> Option<&str> {
        some(&self.text[self.ends[2] as usize..])
    }

    /// Its bytes, if known.
    pub fn size(&self) -> Option<u64> {
        Some(self.size?.get())
    }

    /// A signed URL to read it, as text: only for the caller that requested it.
    pub fn expose_url(&self) -> &str {
        &self.text[..self.ends[0] as usize]
    }

    /// The same, to read from.
    pub(super) fn url(&self) -> SignedUrl {
        SignedUrl::parse(self.expose_url()).expect("it is a parsed URL's text")
    }

    /// How much longer the signed URL will be given out.
    pub fn time_left(&self) -> Duration {
        self.good_until.left()
    }

    /// When it was requested of eGain.
    pub(super) fn requested(&self) -> Instant {
        self.requested
    }

    /// The validators of its bytes: once sent, they stay, so that every response has the same.
    pub(super) fn validators(
        &self,
        otherwise: impl FnOnce() -> ContentValidators,
    ) -> &ContentValidators {
        self.validators.get_or_init(|| Box::new(otherwise()))
    }

    /// The validators, if a response had them before.
    pub(super) fn known_validators(&self) -> Option<&ContentValidators> {
        Some(self.validators.get()?)
    }

    /// Its MIME type with the parameters (`charset`, `codecs`) that a response has shown since.
    pub fn exact_type(&self) -> Option<&str> {
        Some(self.exact_type.get()?)
    }

    /// Remembers a type with parameters: once sent, it stays, so that every response has the same.
    pub(super) fn refine_type(&self, exact: impl Into<Box<str>>) {
        self.exact_type.get_or_init(|| exact.into());
    }
}

fn some(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::asset::ExpiringUrl;

    fn known(name: Option<&str>, expiry: Option<&str>) -> KnownAsset {
        let url = "https://storage.egain.cloud/f?signature=abc";
        let url = ExpiringUrl {
            url: SignedUrl::parse(url).unwrap(),
            requested: Instant::now(),
            expires: None,
            expiry: expiry.map(str::to_owned),
        };
        let asset = Asset {
            name: name.map(str::to_owned),
            content_type: Some("image/png".into()),
            size: Some(0),
            url,
        };
        KnownAsset::new(&asset, DualInstant::now())
    }

    #[test]
    fn known_values_are_read_back_others_stay_unknown() {
        let asset = known(Some("größe.png"), Some("2026-01-01T00:00:00Z"));
        assert_eq!(
            (asset.name(), asset.content_type()),
            (Some("größe.png"), Some("image/png"))
        );
        assert_eq!(
            (asset.url_expiry(), asset.size()),
            (Some("2026-01-01T00:00:00Z"), None)
        );
        assert_eq!(asset.url().expose(), asset.expose_url());
        let bare = known(None, None);
        assert_eq!(
            (bare.name(), bare.content_type(), bare.url_expiry()),
            (None, Some("image/png"), None)
        );
        assert_eq!(
            bare.expose_url(),
            "https://storage.egain.cloud/f?signature=abc"
        );
    }
}
