//! What replicas tell each other of an asset: its signed URL, and what eGain said beside it.

use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::known_asset::KnownAsset;
use crate::egain::Asset;
use crate::types::asset::ExpiringUrl;
use crate::types::dual_instant::DualInstant;
use crate::types::secret::SignedUrl;

/// An asset as another replica has fetched it. It holds a signed URL, so it has no `Debug`.
#[derive(Serialize, Deserialize)]
pub(super) struct SharedEntry {
    url: String,
    expiry: Option<String>,
    name: Option<String>,
    content_type: Option<String>,
    size: Option<u64>,
    /// When eGain was asked, in milliseconds since 1970, by the clock of that replica.
    asked_ms: u64,
}

impl SharedEntry {
    /// What is told of an asset.
    pub(super) fn encode(asset: &KnownAsset) -> Vec<u8> {
        let now = SystemTime::now();
        let asked = now
            .checked_sub(asset.requested().elapsed())
            .and_then(|asked| asked.duration_since(SystemTime::UNIX_EPOCH).ok());
        let entry = Self {
            url: asset.expose_url().to_owned(),
            expiry: asset.url_expiry().map(str::to_owned),
            name: asset.name().map(str::to_owned),
            content_type: asset.content_type().map(str::to_owned),
            size: asset.size(),
            asked_ms: asked.unwrap_or_default().as_millis() as u64,
        };
        serde_json::to_vec(&entry).expect("it has string keys")
    }

    /// What was told of an asset whose URL is valid for this much longer. None if it can't be read.
    pub(super) fn decode(text: &[u8], left: Duration) -> Option<KnownAsset> {
        let entry: Self = serde_json::from_slice(text).ok()?;
        let asked = SystemTime::UNIX_EPOCH + Duration::from_millis(entry.asked_ms);
        // If clocks differ by more, it was asked for just now.
        let age = asked.elapsed().unwrap_or_default();
        let now = Instant::now();
        let asset = Asset {
            name: entry.name,
            content_type: entry.content_type,
            size: entry.size,
            url: ExpiringUrl {
                url: SignedUrl::parse(&entry.url)?,
                requested: now.checked_sub(age).unwrap_or(now),
                expires: None,
                expiry: entry.expiry,
            },
        };
        Some(KnownAsset::new(&asset, DualInstant::now() + left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_replica_knows_the_same_of_an_asset() {
        let minute = Duration::from_secs(60);
        let asset = Asset {
            name: Some("größe.png".into()),
            content_type: None,
            size: Some(7),
            url: ExpiringUrl {
                url: SignedUrl::parse("https://storage.egain.cloud/f?signature=abc").unwrap(),
                requested: Instant::now(),
                expires: None,
                expiry: Some("2026-01-01T00:00:00Z".into()),
            },
        };
        let told = SharedEntry::encode(&KnownAsset::new(&asset, DualInstant::now() + minute));
        let known = SharedEntry::decode(&told, minute).unwrap();
        assert_eq!(
            (known.name(), known.content_type(), known.size()),
            (Some("größe.png"), None, Some(7))
        );
        assert_eq!(
            (known.expose_url(), known.url_expiry()),
            (asset.url.url.expose(), Some("2026-01-01T00:00:00Z"))
        );
        assert!(known.time_left() <= minute && known.requested().elapsed() < minute);
        assert!(SharedEntry::decode(b"{}", minute).is_none());
    }
}
