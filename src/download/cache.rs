//! Signed URLs, each until its own expiry. What saves calls: misses of one id share one call
//! (single flight), what isn't there is remembered briefly (negative caching), and a URL stays
//! until there is a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use moka::{Expiry, sync};
use tracing::Instrument;

use super::known_asset::KnownAsset;
use super::shared_entry::SharedEntry;
use crate::egain::{Asset, EgainClient};
use crate::shared_store::{SharedUrlLookup, SharedUrls, StoreLease};
use crate::storage::StorageClient;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::AssetId;
use crate::types::caller::Principal;
use crate::types::dual_instant::DualInstant;
use crate::types::error::{Error, ErrorCode, Stage};

/// What is remembered, and for how long.
#[derive(Debug, Clone)]
pub struct UrlCacheConfig {
    /// Entries.
    pub capacity: u64,
    /// A URL is given out until so long before its expiry, or a quarter of its life if that is
    /// less.
    pub safety_margin: Duration,
    /// How long "not found", "not yet available" and storage's first refusal are remembered, and
    /// how often a URL may be replaced ahead of its time.
    pub negative_ttl: Duration,
}

/// How long a dead URL's mark is kept: longer than any call that was under way when it died.
const MARK_KEPT: Duration = Duration::from_secs(600);

/// What eGain said of an asset.
#[derive(Clone)]
struct Entry {
    asked: Instant,
    good_until: DualInstant,
    said: Result<Arc<KnownAsset>, Error>,
    /// When eGain was last asked for a new URL though this one was good.
    renewed: Option<Instant>,
}

impl Entry {
    /// None where it can't be read.
    fn of_another_replica(told: &[u8], left: Duration) -> Option<Self> {
        let asset = SharedEntry::decode(told, left)?;
        Some(Self {
            asked: asset.requested(),
            good_until: DualInstant::now() + left,
            said: Ok(Arc::new(asset)),
            renewed: None,
        })
    }
}

/// The cache of signed URLs.
#[derive(Clone)]
pub(super) struct UrlCache {
    entries: Cache<AssetId, Entry>,
    /// Ids whose URLs asked for up to an instant are dead. moka's `invalidate` doesn't stop an
    /// insert that is under way, so an entry is also judged by this mark when it is read.
    dead: sync::Cache<AssetId, Instant>,
    egain: EgainClient,
    storage: StorageClient,
    /// What other replicas have fetched, if they share it.
    shared: Option<SharedUrls>,
    config: UrlCacheConfig,
    metrics: Arc<ServiceMetrics>,
}

/// Where a lookup found what it returned. Several lookups share one call, and each has its own.
#[derive(Default)]
struct LookupSource {
    /// eGain was called for this one.
    called: AtomicBool,
    /// Another replica has fetched it.
    shared: AtomicBool,
}

impl LookupSource {
    fn name(&self) -> &'static str {
        if self.called.load(Ordering::Relaxed) {
            "miss"
        } else if self.shared.load(Ordering::Relaxed) {
            "shared_hit"
        } else {
            "coalesced"
        }
    }
}

struct UntilGone;

impl Expiry<AssetId, Entry> for UntilGone {
    fn expire_after_create(&self, _: &AssetId, entry: &Entry, now: Instant) -> Option<Duration> {
        Some(entry.good_until.monotonic.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        id: &AssetId,
        entry: &Entry,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(id, entry, now)
    }
}

impl UrlCache {
    pub(super) fn new(
        egain: EgainClient,
        storage: StorageClient,
        config: UrlCacheConfig,
        metrics: Arc<ServiceMetrics>,
    ) -> Self {
        // LRU: the default policy refuses new keys that nobody asked for before, which here are
        // all.
        let entries = Cache::builder()
            .max_capacity(config.capacity)
            .eviction_policy(EvictionPolicy::lru());
        let entries = entries.expire_after(UntilGone).build();
        let counted: Cache<AssetId, Entry> = entries.clone();
        metrics.at_scrape(move |metrics| {
            // The count is late otherwise. It waits only while somebody else does the same.
            let _done_or_being_done = counted.run_pending_tasks().now_or_never();
            metrics
                .url_cache_entries
                .set(counted.entry_count().try_into().unwrap_or(i64::MAX));
        });
        let dead = sync::Cache::builder()
            .max_capacity(config.capacity)
            .eviction_policy(EvictionPolicy::lru());
        Self {
            entries,
            dead: dead.time_to_live(MARK_KEPT).build(),
            egain,
            storage,
            shared: None,
            config,
            metrics,
        }
    }

    /// With what other replicas have fetched behind it.
    pub(super) fn sharing(self, urls: SharedUrls) -> Self {
        Self {
            shared: Some(urls),
            ..self
        }
    }

    /// A good URL, from the cache or from one call that all who wait share. It is the first one's
    /// turn that is used.
    pub(super) async fn get(
        &self,
        id: &AssetId,
        principal: &Principal,
    ) -> Result<Arc<KnownAsset>, Error> {
        self.find(id, principal, None).await
    }

    /// A URL that was asked for after this instant, if eGain gives one. Else the one that is there,
    /// as long as it is good; also where it was replaced less than `negative_ttl` ago.
    pub(super) async fn renew(
        &self,
        id: &AssetId,
        principal: &Principal,
        after: Instant,
    ) -> Result<Arc<KnownAsset>, Error> {
        self.find(id, principal, Some(after)).await
    }

    /// What is in the cache. Asks nobody.
    pub(super) async fn peek(&self, id: &AssetId) -> Option<Result<Arc<KnownAsset>, Error>> {
        Some(
            self.entries
                .get(id)
                .await
                .filter(|entry| !self.is_over(id, entry))?
                .said,
        )
    }

    async fn find(
        &self,
        id: &AssetId,
        principal: &Principal,
        after: Option<Instant>,
    ) -> Result<Arc<KnownAsset>, Error> {
        if let Some(entry) = self
            .entries
            .get(id)
            .await
            .filter(|entry| !self.is_outdated(id, entry, after))
        {
            self.count("hit");
            return entry.said;
        }
        // In a task of its own: a caller that leaves would otherwise make those who wait with it
        // ask again.
        let (cache, id, principal) = (self.clone(), id.clone(), principal.clone());
        let asking = async move { cache.look_up(&id, &principal, after).await };
        tokio::spawn(asking.in_current_span())
            .await
            .unwrap_or_else(|_| Err(lost()))
    }

    /// Drops what was asked for up to this instant, also where the answer is still under way.
    pub(super) async fn forget(&self, id: &AssetId, asked_until: Instant) {
        let later = self
            .dead
            .get(id)
            .map_or(asked_until, |earlier| earlier.max(asked_until));
        self.dead.insert(id.clone(), later);
        // A mark alone would end long before the entry, which would then be given out again.
        if self
            .entries
            .get(id)
            .await
            .is_some_and(|entry| entry.asked <= later)
        {
            self.entries.invalidate(id).await;
        }
    }

    async fn look_up(
        &self,
        id: &AssetId,
        principal: &Principal,
        after: Option<Instant>,
    ) -> Result<Arc<KnownAsset>, Error> {
        let source = LookupSource::default();
        let mut entry = self.ask_once(id, principal, after, &source).await;
        let anothers_turn =
            !source.called.load(Ordering::Relaxed) && entry.said.as_ref().is_err_and(had_no_turn);
        if anothers_turn || self.is_dead(id, &entry) {
            // Another caller's share was used up, which says nothing of this one's; or forgotten
            // under way.
            entry = self.ask_once(id, principal, after, &source).await;
        }
        self.count(source.name());
        entry.said
    }

    async fn ask_once(
        &self,
        id: &AssetId,
        principal: &Principal,
        after: Option<Instant>,
        source: &LookupSource,
    ) -> Entry {
        let ask = async {
            match after {
                Some(_) => {
                    source.called.store(true, Ordering::Relaxed);
                    self.replace(id, principal).await
                }
                None => self.find_or_ask(id, principal, source).await,
            }
        };
        self.entries
            .entry_by_ref(id)
            .or_insert_with_if(ask, |entry| self.is_outdated(id, entry, after))
            .await
            .into_value()
    }

    /// Asks, and keeps a good URL where the answer is no verdict on the asset: eGain is down, or
    /// the budget is used up.
    async fn replace(&self, id: &AssetId, principal: &Principal) -> Entry {
        let old = self
            .entries
            .get(id)
            .await
            .filter(|old| old.said.is_ok() && !self.is_over(id, old));
        let new = self.ask(id, principal).await;
        let renewed = Some(new.asked);
        match old {
            Some(old) if new.said.as_ref().is_err_and(|error| !is_negative(error)) => {
                Entry { renewed, ..old }
            }
            _ => {
                self.publish(id, &new, None);
                Entry { renewed, ..new }
            }
        }
    }

    /// What another replica has fetched, or is about to; else asks, and tells the other replicas.
    async fn find_or_ask(
        &self,
        id: &AssetId,
        principal: &Principal,
        source: &LookupSource,
    ) -> Entry {
        let mut lease = None;
        if let Some(shared) = &self.shared {
            match shared.find(id).await {
                SharedUrlLookup::Found { entry, left } => {
                    if let Some(entry) = Entry::of_another_replica(&entry, left)
                        && !self.is_dead(id, &entry)
                    {
                        source.shared.store(true, Ordering::Relaxed);
                        return entry;
                    }
                }
                SharedUrlLookup::Missing(own) => lease = Some(own),
                SharedUrlLookup::Unknown => {}
            }
        }
        source.called.store(true, Ordering::Relaxed);
        let entry = self.ask(id, principal).await;
        self.publish(id, &entry, lease);
        entry
    }

    /// Tells the other replicas what was fetched, in the background. If that failed, the dropped
    /// lease lets the next one try.
    fn publish(&self, id: &AssetId, entry: &Entry, lease: Option<StoreLease>) {
        if let (Some(shared), Ok(asset)) = (&self.shared, &entry.said) {
            let (shared, id, asset) = (shared.clone(), id.clone(), asset.clone());
            tokio::spawn(async move {
                let told = SharedEntry::encode(&asset);
                shared.publish(&id, &told, asset.time_left(), lease).await;
            });
        }
    }

    async fn ask(&self, id: &AssetId, principal: &Principal) -> Entry {
        let asked = DualInstant::now();
        let said = self
            .egain
            .get_asset(id, principal)
            .await
            .and_then(|asset| self.admit(asset));
        let good_until = match &said {
            Ok(asset) => self.good_until(asset),
            Err(error) if is_negative(error) => DualInstant::now() + self.config.negative_ttl,
            // Given to those who wait for it, and not kept.
            Err(_) => asked,
        };
        let said = said.map(|asset| Arc::new(KnownAsset::new(&asset, good_until)));
        Entry {
            asked: asked.monotonic,
            good_until,
            said,
            renewed: None,
        }
    }

    fn admit(&self, mut asset: Asset) -> Result<Asset, Error> {
        asset.url.url = self.storage.admit(&asset.url.url)?;
        Ok(asset)
    }

    /// The expiry less the margin; at once where eGain named no expiry.
    fn good_until(&self, asset: &Asset) -> DualInstant {
        let Some(expires) = asset.url.expires else {
            return DualInstant {
                monotonic: asset.url.requested,
                ..DualInstant::now()
            };
        };
        let life = expires
            .monotonic
            .saturating_duration_since(asset.url.requested);
        expires.less(self.config.safety_margin.min(life / 4))
    }

    /// Dead, or past its time on the wall clock alone: moka's own clock stands still while the
    /// machine is suspended.
    fn is_over(&self, id: &AssetId, entry: &Entry) -> bool {
        entry.good_until.left().is_zero() || self.is_dead(id, entry)
    }

    /// Over, or older than what is wanted and not replaced a moment ago.
    fn is_outdated(&self, id: &AssetId, entry: &Entry, after: Option<Instant>) -> bool {
        let renewed_lately = || {
            entry
                .renewed
                .is_some_and(|renewed| renewed.elapsed() < self.config.negative_ttl)
        };
        self.is_over(id, entry)
            || after.is_some_and(|after| entry.asked <= after && !renewed_lately())
    }

    fn is_dead(&self, id: &AssetId, entry: &Entry) -> bool {
        self.dead
            .get(id)
            .is_some_and(|asked_until| entry.asked <= asked_until)
    }

    fn count(&self, result: &str) {
        self.metrics
            .url_cache_requests
            .with_label_values(&[result])
            .inc();
    }
}

fn is_negative(error: &Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::NotFound | ErrorCode::AssetPending | ErrorCode::ContentRejected
    )
}

fn had_no_turn(error: &Error) -> bool {
    error.code() == ErrorCode::UpstreamBudget && error.stage() == Stage::Budget
}

fn lost() -> Error {
    Error::gateway(
        ErrorCode::Internal,
        Stage::Sign,
        "the gateway failed while it called eGain: try again",
    )
    .with_retryable(true)
}
