//! The way out: metadata and signed URLs from the cache, bytes from storage.

mod cache;
mod content;
mod resume;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::egain::{Asset, Egain};
use crate::signals::metrics::Metrics;
use crate::storage::Storage;
use crate::words::asset::AssetId;
use crate::words::caller::Claimant;
use crate::words::fault::Fault;
pub use cache::Config;
use cache::UrlCache;
pub use content::Content;

/// Everything a download needs.
#[derive(Clone)]
pub struct Download {
    egain: Egain,
    storage: Storage,
    cache: UrlCache,
    metrics: Arc<Metrics>,
}

impl Download {
    /// With an empty cache.
    pub fn new(egain: Egain, storage: Storage, config: Config, metrics: Arc<Metrics>) -> Self {
        let cache = UrlCache::new(egain.clone(), storage.clone(), config, metrics.clone());
        Self { egain, storage, cache, metrics }
    }

    /// What is known of an asset, with a signed URL that is good for a while. `fresh` asks eGain in any case.
    pub async fn metadata(&self, id: &AssetId, claimant: &Claimant, fresh: bool) -> Result<Arc<Asset>, Fault> {
        if fresh {
            self.cache.forget(id, Instant::now()).await;
        }
        self.cache.get(id, claimant).await
    }

    /// How much longer the asset's signed URL will be given out.
    pub fn time_left(&self, asset: &Asset) -> Duration {
        self.cache.time_left(asset)
    }

    /// Deletes the asset at eGain; its signed URL is forgotten at once.
    pub async fn delete(&self, id: &AssetId, claimant: &Claimant) -> Result<(), Fault> {
        let deleted = self.egain.delete_asset(id, claimant).await;
        self.cache.forget(id, Instant::now()).await;
        deleted
    }
}
