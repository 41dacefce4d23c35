//! The way out: metadata and signed URLs from the cache, bytes from storage.

mod cache;
mod content;
mod early_deaths;
mod known_asset;
mod resume;
mod validators;

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

use crate::egain::EgainClient;
use crate::storage::StorageClient;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::AssetId;
use crate::types::caller::Principal;
use crate::types::error::Error;
use cache::UrlCache;
pub use cache::UrlCacheConfig;
pub use content::DownloadContent;
use early_deaths::EarlyDeaths;
pub use known_asset::KnownAsset;
use validators::ClientValidators;
pub use validators::ContentValidators;

/// Everything a download needs.
#[derive(Clone)]
pub struct DownloadService {
    egain: EgainClient,
    storage: StorageClient,
    cache: UrlCache,
    early_deaths: EarlyDeaths,
    metrics: Arc<ServiceMetrics>,
}

impl DownloadService {
    /// With an empty cache.
    pub fn new(
        egain: EgainClient,
        storage: StorageClient,
        config: UrlCacheConfig,
        metrics: Arc<ServiceMetrics>,
    ) -> Self {
        let early_deaths = EarlyDeaths::new(config.negative_ttl, metrics.clone());
        let cache = UrlCache::new(egain.clone(), storage.clone(), config, metrics.clone());
        Self {
            egain,
            storage,
            cache,
            early_deaths,
            metrics,
        }
    }

    /// What is known of an asset, with a signed URL that is good for a while. `fresh` asks eGain
    /// for a new one, at most once within `negative_ttl`; the old one is there until then.
    pub async fn metadata(
        &self,
        id: &AssetId,
        claimant: &Principal,
        fresh: bool,
    ) -> Result<Arc<KnownAsset>, Error> {
        if fresh {
            self.cache.renew(id, claimant, Instant::now()).await
        } else {
            self.cache.get(id, claimant).await
        }
    }

    /// The validators of an asset's bytes, as a `GET` of them has them.
    pub fn validators<'a>(&self, id: &AssetId, asset: &'a KnownAsset) -> &'a ContentValidators {
        asset.validators(|| ContentValidators::own(id, asset.size()))
    }

    /// The validators of an asset that the client has already, as its `If-None-Match` proves. Asks
    /// nobody: an id's bytes never change.
    pub async fn unchanged(&self, id: &AssetId, headers: &HeaderMap) -> Option<ContentValidators> {
        // Not where it is known that there is no such asset.
        let known = self.cache.peek(id).await.transpose().ok()?;
        let (size, told) = (
            known.as_ref().and_then(|asset| asset.size()),
            known.as_ref().and_then(|asset| asset.known_validators()),
        );
        let having = ClientValidators { id, size, told };
        having.is_proven(headers).then(|| {
            told.cloned()
                .unwrap_or_else(|| ContentValidators::own(id, size))
        })
    }

    /// Deletes the asset at eGain; its signed URL is forgotten at once.
    pub async fn delete(&self, id: &AssetId, claimant: &Principal) -> Result<(), Error> {
        let deleted = self.egain.delete_asset(id, claimant).await;
        self.cache.forget(id, Instant::now()).await;
        self.early_deaths.forget(id);
        deleted
    }
}
