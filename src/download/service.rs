//! What a download needs, and what is known of an asset without reading its bytes.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

use super::cache::{UrlCache, UrlCacheConfig};
use super::early_deaths::EarlyDeaths;
use super::known_asset::KnownAsset;
use super::validators::{ClientValidators, ContentValidators};
use crate::egain::EgainClient;
use crate::shared_store::{AssetDeletion, SharedDeletions, SharedUrls};
use crate::storage::StorageClient;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::AssetId;
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode};

/// Everything a download needs.
#[derive(Clone)]
pub struct DownloadService {
    pub(super) egain: EgainClient,
    pub(super) storage: StorageClient,
    pub(super) cache: UrlCache,
    pub(super) early_deaths: EarlyDeaths,
    /// Where deletions are published, if there are other replicas to hear of them.
    pub(super) deletions: Option<SharedDeletions>,
    pub(super) metrics: Arc<ServiceMetrics>,
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
            deletions: None,
            metrics,
        }
    }

    /// Shares URLs and deletions with other replicas.
    pub fn sharing(self, urls: SharedUrls, deletions: SharedDeletions) -> Self {
        Self {
            cache: self.cache.sharing(urls),
            deletions: Some(deletions),
            ..self
        }
    }

    /// What is known of an asset, with a signed URL that is good for a while. `fresh` requests a
    /// new one of eGain, at most once within `negative_ttl`; the old one is there until then.
    pub async fn metadata(
        &self,
        id: &AssetId,
        principal: &Principal,
        fresh: bool,
    ) -> Result<Arc<KnownAsset>, Error> {
        if fresh {
            self.cache.renew(id, principal, Instant::now()).await
        } else {
            self.cache.get(id, principal).await
        }
    }

    /// The validators of an asset's bytes, as a `GET` of them has them.
    pub fn validators<'a>(&self, id: &AssetId, asset: &'a KnownAsset) -> &'a ContentValidators {
        asset.validators(|| ContentValidators::own(id, asset.size()))
    }

    /// The validators of an asset that the client has already, as its `If-None-Match` proves. Makes
    /// no call: an id's bytes never change.
    pub async fn unchanged(&self, id: &AssetId, headers: &HeaderMap) -> Option<ContentValidators> {
        // Not where it is known that there is no such asset.
        let asset = self.cache.peek(id).await.transpose().ok()?;
        let (size, known) = match &asset {
            Some(asset) => (asset.size(), asset.known_validators()),
            None => (None, None),
        };
        let client = ClientValidators { id, size, known };
        if !client.is_proven(headers) {
            return None;
        }
        match known {
            Some(known) => Some(known.clone()),
            None => Some(ContentValidators::own(id, size)),
        }
    }

    /// Deletes the asset at eGain. Its signed URL is forgotten at once, here and at the other
    /// replicas, also where the client disconnects before eGain has responded. `forget` forgets
    /// what else is known of an asset that doesn't exist any more.
    pub async fn delete(
        &self,
        id: &AssetId,
        principal: &Principal,
        forget: impl Fn() + Clone + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let service = self.clone();
        let gone = id.clone();
        let finish = move || {
            forget();
            let (service, gone) = (service.clone(), gone.clone());
            async move { service.forget_everywhere(gone, true).await }
        };
        let deleted = self.egain.delete_asset(id, principal, finish.clone()).await;
        match &deleted {
            Ok(()) => {}
            Err(error) if error.code() == ErrorCode::NotFound => finish().await,
            Err(_unclear) => self.forget_everywhere(id.clone(), false).await,
        }
        deleted
    }

    async fn forget_everywhere(&self, id: AssetId, is_certain: bool) {
        self.forget(&id).await;
        if let Some(deletions) = &self.deletions {
            deletions.publish(&AssetDeletion { id, is_certain }).await;
        }
    }

    /// An asset was deleted, here or at another replica.
    pub async fn forget(&self, id: &AssetId) {
        self.cache.forget(id, Instant::now()).await;
        self.early_deaths.forget(id);
    }
}
