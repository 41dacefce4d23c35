//! Signed URLs of all replicas: what one has fetched, the others needn't fetch.

use std::sync::Arc;
use std::time::Duration;

use redis::{Script, Value};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::connection::{StoreConnection, StoreDown};
use super::key_names::KeyNames;
use super::lease::StoreLease;
use super::seal::ValueSealer;
use crate::types::asset::AssetId;

/// The entry with its remaining life; else 1 if the caller may fetch it now, or 0 if another one
/// does.
const FIND: &str = "local entry = redis.call('GET', KEYS[1]) \
                    if entry then return {entry, redis.call('PTTL', KEYS[1])} end \
                    if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end \
                    return 0";

/// Stores an entry, unless the asset was deleted meanwhile. Frees the lock of who fetched it.
const PUBLISH: &str = "if redis.call('GET', KEYS[2]) == ARGV[3] then \
                       redis.call('DEL', KEYS[2]) end \
                       if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end \
                       redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1";

/// How long a fetch is another one's after its replica died.
const FETCH_LEASE: Duration = Duration::from_secs(3);
/// How often it is looked whether another replica's fetch has ended: at first, and at most.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(80)];
/// Another replica's fetch isn't waited for any longer: its queue for eGain's budget may be longer
/// than our own.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Signed URLs of all replicas.
#[derive(Clone)]
pub struct SharedUrls {
    store: StoreConnection,
    names: KeyNames,
    sealer: Arc<ValueSealer>,
    replica: Arc<str>,
}

/// What is known of an asset.
pub enum SharedUrlLookup {
    /// Another replica has fetched it.
    Found {
        /// As it was published.
        entry: Vec<u8>,
        /// How much longer it is valid.
        left: Duration,
    },
    /// Nothing: fetch it. Other replicas wait until the lease is dropped, or the entry published.
    Missing(StoreLease),
    /// The store can't be used, or another replica has fetched it for very long.
    Unknown,
}

impl SharedUrls {
    pub(super) fn new(
        store: StoreConnection,
        names: KeyNames,
        sealer: Arc<ValueSealer>,
        replica: Arc<str>,
    ) -> Self {
        Self {
            store,
            names,
            sealer,
            replica,
        }
    }

    /// Finds an entry. While another replica fetches it, waits for that (single flight).
    pub async fn find(&self, id: &AssetId) -> SharedUrlLookup {
        let lock = self.names.of_asset("fetch", id);
        let owner = format!("{}:{}", self.replica, Uuid::new_v4().simple());
        let (began, mut pause) = (Instant::now(), LOOK_AGAIN[0]);
        loop {
            match self.look(id, &lock, &owner).await {
                Ok(Value::Array(found)) => return self.opened(id, found),
                Ok(Value::Int(1)) => {
                    let lease = StoreLease::hold(self.store.clone(), lock, owner, FETCH_LEASE);
                    return SharedUrlLookup::Missing(lease);
                }
                Ok(_) if began.elapsed() < LONGEST_WAIT => sleep(pause).await,
                _ => return SharedUrlLookup::Unknown,
            }
            pause = (2 * pause).min(LOOK_AGAIN[1]);
        }
    }

    async fn look(&self, id: &AssetId, lock: &str, owner: &str) -> Result<Value, StoreDown> {
        let script = Script::new(FIND);
        let mut look = script.key(self.names.of_asset("url", id));
        look.key(lock)
            .arg(owner)
            .arg(FETCH_LEASE.as_millis() as u64);
        self.store.invoke(&look).await
    }

    fn opened(&self, id: &AssetId, found: Vec<Value>) -> SharedUrlLookup {
        let name = self.names.of_asset("url", id);
        if let [Value::BulkString(sealed), Value::Int(left)] = found.as_slice()
            && let Ok(left) = u64::try_from(*left)
            && let Some(entry) = self.sealer.open(&name, sealed)
        {
            let left = Duration::from_millis(left);
            return SharedUrlLookup::Found { entry, left };
        }
        // Sealed with a key that isn't in use any more: it will be written anew.
        SharedUrlLookup::Unknown
    }

    /// Stores an entry for all replicas, for as long as it is valid. With the lease of who fetched
    /// it, unless it replaces a valid one.
    pub async fn publish(
        &self,
        id: &AssetId,
        entry: &[u8],
        left: Duration,
        lease: Option<StoreLease>,
    ) {
        let left = left.as_millis() as u64;
        if left == 0 {
            return;
        }
        let name = self.names.of_asset("url", id);
        let sealed = self.sealer.seal(&name, entry);
        let owner = lease.as_ref().map_or("", StoreLease::owner);
        let script = Script::new(PUBLISH);
        let mut publish = script.key(name);
        publish
            .key(self.names.of_asset("fetch", id))
            .key(self.names.of_asset("gone", id))
            .arg(sealed)
            .arg(left)
            .arg(owner);
        let published = self.store.invoke::<i64>(&publish).await;
        if let (Ok(_), Some(lease)) = (published, lease) {
            lease.forget();
        }
    }
}
