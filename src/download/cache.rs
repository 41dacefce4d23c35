//! Signed URLs, each until its own expiry. What saves calls: misses of one id share one call, and what isn't there
//! is remembered briefly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use crate::egain::{Asset, Egain};
use crate::signals::metrics::Metrics;
use crate::storage::Storage;
use crate::words::asset::AssetId;
use crate::words::fault::{Code, Fault};

/// What is remembered, and for how long.
#[derive(Debug, Clone)]
pub struct Config {
    /// Entries.
    pub capacity: u64,
    /// A URL is given out until so long before its expiry, or a quarter of its life if that is less.
    pub safety_margin: Duration,
    /// How long "not found" and "not yet available" are remembered.
    pub negative_ttl: Duration,
}

/// How long a dead URL's mark is kept: longer than any call that was under way when it died.
const MARK_KEPT: Duration = Duration::from_secs(600);

/// What eGain said of an asset.
#[derive(Clone)]
struct Entry {
    asked: Instant,
    good_until: Instant,
    said: Result<Arc<Asset>, Fault>,
}

/// The cache of signed URLs.
#[derive(Clone)]
pub struct UrlCache {
    entries: Cache<AssetId, Entry>,
    /// Ids whose URLs asked for up to an instant are dead. moka's `invalidate` doesn't stop an insert that is under
    /// way, so an entry is also judged by this mark when it is read.
    dead: Cache<AssetId, Instant>,
    egain: Egain,
    storage: Storage,
    config: Config,
    metrics: Arc<Metrics>,
}

struct UntilGone;

impl Expiry<AssetId, Entry> for UntilGone {
    fn expire_after_create(&self, _: &AssetId, entry: &Entry, now: Instant) -> Option<Duration> {
        Some(entry.good_until.saturating_duration_since(now))
    }

    fn expire_after_update(&self, id: &AssetId, entry: &Entry, now: Instant, _: Option<Duration>) -> Option<Duration> {
        self.expire_after_create(id, entry, now)
    }
}

impl UrlCache {
    pub fn new(egain: Egain, storage: Storage, config: Config, metrics: Arc<Metrics>) -> Self {
        // LRU: the default policy refuses new keys that nobody asked for before, which here are all.
        let entries = Cache::builder().max_capacity(config.capacity).eviction_policy(EvictionPolicy::lru());
        let dead = Cache::builder().max_capacity(config.capacity).eviction_policy(EvictionPolicy::lru());
        Self {
            entries: entries.expire_after(UntilGone).build(),
            dead: dead.time_to_live(MARK_KEPT).build(),
            egain,
            storage,
            config,
            metrics,
        }
    }

    /// A good URL, from the cache or from one call that all who wait share.
    pub async fn get(&self, id: &AssetId) -> Result<Arc<Asset>, Fault> {
        let mut counted = None;
        // The second round is for an entry that was asked for before its id was forgotten.
        for _ in 0..2 {
            let asked = AtomicBool::new(false);
            let found = self.entries.entry_by_ref(id).or_try_insert_with(self.ask(id, &asked)).await;
            let (entry, result) = match found {
                Ok(found) if !found.is_fresh() => (found.into_value(), "hit"),
                Ok(found) => (found.into_value(), if asked.load(Ordering::Relaxed) { "miss" } else { "coalesced" }),
                Err(fault) => return Err(Fault::clone(&fault)),
            };
            counted.get_or_insert(result);
            if !self.is_dead(id, &entry).await {
                self.count(counted.unwrap_or(result));
                return entry.said;
            }
            self.entries.invalidate(id).await;
        }
        self.ask(id, &AtomicBool::new(false)).await?.said
    }

    /// Drops what was asked for up to this instant, also where an answer to it is still under way.
    pub fn forget(&self, id: &AssetId, asked_until: Instant) {
        let (dead, id) = (self.dead.clone(), id.clone());
        drop((dead, id, asked_until));
    }

    /// How much longer the URL will be given out.
    pub fn time_left(&self, asset: &Asset) -> Duration {
        good_until(asset, self.config.safety_margin).saturating_duration_since(Instant::now())
    }

    fn count(&self, result: &str) {
        self.metrics.url_cache_requests.with_label_values(&[result]).inc();
        self.metrics.url_cache_entries.set(self.entries.entry_count() as i64);
    }
}
