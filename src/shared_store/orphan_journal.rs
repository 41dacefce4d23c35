//! Assets that have to be deleted, written down so that they outlive this replica: orphans, and
//! assets whose upload is in flight, which are orphans if this replica dies.
//!
//! What is in memory holds; the journal in Redis follows it, a little later and several changes at
//! once, so that a quick upload is never written down. When the store was lost, all is written
//! again. A replica that finds another one's journal, and that one dead, takes its entries over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use redis::{Pipeline, Script, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::connection::{StoreConnection, StoreDown};
use super::key_names::KeyNames;
use super::seal::ValueSealer;
use crate::types::asset::AssetId;

/// A change is written this much later. Most uploads have ended by then.
const WRITTEN_AFTER: Duration = Duration::from_millis(100);
/// How often journals of dead replicas are looked for.
const CLAIM_EVERY: Duration = Duration::from_secs(15);
/// An upload of a dead replica is taken over after this time only. That replica may merely have
/// lost the store, and its upload be in flight.
const UNCOMMITTED_FOR: Duration = Duration::from_secs(15 * 60);
/// Entries at one time: the queue of orphans, and as many uploads. More aren't written down.
const MOST_ENTRIES: usize = 20_000;

/// Why an asset is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    /// Its upload is in flight.
    Uncommitted {
        /// Milliseconds since 1970.
        since: u64,
    },
    /// It has to be deleted.
    Orphan,
}

/// An asset that was taken over from a replica that died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedAsset {
    /// The asset.
    pub id: AssetId,
    /// Whether its upload was in flight, so that it may be stored, and even confirmed to a client.
    pub is_uncommitted: bool,
}

/// Writes down which assets have to be deleted.
#[derive(Clone)]
pub struct OrphanJournal {
    store: StoreConnection,
    names: KeyNames,
    sealer: Arc<ValueSealer>,
    /// This replica in names of keys.
    replica: String,
    state: Arc<Mutex<JournalState>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct JournalState {
    entries: HashMap<AssetId, EntryKind>,
    /// Those that Redis doesn't have as they are now.
    unwritten: HashSet<AssetId>,
    /// Those that Redis may have in any form.
    in_redis: HashSet<AssetId>,
}

impl OrphanJournal {
    pub(super) fn new(
        store: StoreConnection,
        names: KeyNames,
        sealer: Arc<ValueSealer>,
        replica: &str,
    ) -> Self {
        Self {
            store,
            replica: KeyNames::part(replica.as_bytes()),
            names,
            sealer,
            state: Arc::default(),
            changed: Arc::default(),
        }
    }

    /// An asset was created for an upload.
    pub fn created(&self, id: &AssetId) {
        let since = now();
        self.change(id, Some(EntryKind::Uncommitted { since }));
    }

    /// An asset has to be deleted.
    pub fn orphaned(&self, id: &AssetId) {
        self.change(id, Some(EntryKind::Orphan));
    }

    /// An asset is stored, or was deleted, or was given up.
    pub fn settled(&self, id: &AssetId) {
        self.change(id, None);
    }

    fn change(&self, id: &AssetId, kind: Option<EntryKind>) {
        let state = &mut *self.state.lock();
        let changes = match kind {
            Some(kind) if state.entries.len() < MOST_ENTRIES => {
                state.entries.insert(id.clone(), kind) != Some(kind)
            }
            Some(_) => false,
            None => state.entries.remove(id).is_some(),
        };
        if changes {
            state.unwritten.insert(id.clone());
            self.changed.notify_one();
        }
    }

    /// Keeps the journal in Redis as it is here. Never returns.
    pub async fn keep_written(self) {
        let mut is_up = self.store.watch();
        loop {
            if !is_up_now(&mut is_up).await {
                continue;
            }
            if self.write_all().await.is_err() {
                sleep(WRITTEN_AFTER).await;
                continue;
            }
            self.follow_changes(&mut is_up).await;
        }
    }

    /// Writes changes until that fails, or the store was lost.
    async fn follow_changes(&self, is_up: &mut watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = self.changed.notified() => sleep(WRITTEN_AFTER).await,
                _ = is_up.changed() => return,
            }
            let changes = self.take_changes();
            if !changes.is_empty() && self.write(&changes).await.is_err() {
                return;
            }
        }
    }

    fn take_changes(&self) -> Vec<(AssetId, Option<EntryKind>)> {
        let state = &mut *self.state.lock();
        let mut changes = Vec::new();
        for id in std::mem::take(&mut state.unwritten) {
            let kind = state.entries.get(&id).copied();
            // An entry that came and went since then needn't be removed.
            let concerns_redis = match kind {
                Some(_) => {
                    state.in_redis.insert(id.clone());
                    true
                }
                None => state.in_redis.remove(&id),
            };
            if concerns_redis {
                changes.push((id, kind));
            }
        }
        changes
    }

    /// Writes all entries again, as the store may have lost them.
    async fn write_all(&self) -> Result<(), StoreDown> {
        let mut entries = self.take_changes();
        let all = self.state.lock().entries.clone();
        entries.extend(all.into_iter().map(|(id, kind)| (id, Some(kind))));
        if entries.is_empty() {
            return Ok(());
        }
        self.write(&entries).await
    }

    async fn write(&self, entries: &[(AssetId, Option<EntryKind>)]) -> Result<(), StoreDown> {
        let (journal, times) = (self.key("orphans"), self.key("uncommitted"));
        let mut pipe = Pipeline::new();
        let mut has_entries = false;
        for (id, kind) in entries {
            let name = KeyNames::part(id.as_str().as_bytes());
            match kind {
                None => {
                    pipe.hdel(&journal, &name).ignore();
                    pipe.zrem(&times, &name).ignore();
                    continue;
                }
                Some(EntryKind::Uncommitted { since }) => {
                    pipe.zadd(&times, &name, *since).ignore();
                }
                Some(EntryKind::Orphan) => {
                    pipe.zrem(&times, &name).ignore();
                }
            }
            let sealed = self.sealer.seal(&self.sealed_for(), id.as_str().as_bytes());
            pipe.hset(&journal, &name, sealed).ignore();
            has_entries = true;
        }
        if has_entries {
            pipe.sadd(self.names.single("journals"), &self.replica)
                .ignore();
        }
        let written = self.store.run_all(&pipe).await;
        if written.is_err() {
            self.keep_unwritten(entries);
        }
        written
    }

    /// What couldn't be written is tried again once the store is back, removals, too.
    fn keep_unwritten(&self, entries: &[(AssetId, Option<EntryKind>)]) {
        let state = &mut *self.state.lock();
        for (id, _) in entries {
            state.unwritten.insert(id.clone());
            state.in_redis.insert(id.clone());
        }
    }

    /// What dead replicas have left, which is this one's from now on. If there is nothing, waits
    /// for a while.
    pub async fn claim(&self) -> Vec<ClaimedAsset> {
        let mut is_up = self.store.watch();
        let claimed = self.try_claim().await.unwrap_or_default();
        if claimed.is_empty() {
            let _time_is_over_or_store_is_back = timeout(CLAIM_EVERY, is_up.changed()).await;
        }
        claimed
    }

    async fn try_claim(&self) -> Result<Vec<ClaimedAsset>, StoreDown> {
        let script = Script::new(include_str!("claim.lua"));
        let mut claim = script.key(self.names.single("journals"));
        claim.arg(&self.replica);
        for kind in ["replica", "orphans", "uncommitted"] {
            claim.arg(format!("{}:", self.names.single(kind)));
        }
        claim.arg(now()).arg(UNCOMMITTED_FOR.as_millis() as u64);
        let claimed: Vec<Value> = self.store.invoke(&claim).await?;
        let mut assets = Vec::new();
        for entry in claimed.chunks(2) {
            if let [Value::BulkString(sealed), Value::Int(is_uncommitted)] = entry
                && let Some(id) = self.opened(sealed)
            {
                let is_uncommitted = *is_uncommitted == 1;
                let kind = if is_uncommitted {
                    EntryKind::Uncommitted { since: 0 }
                } else {
                    EntryKind::Orphan
                };
                let state = &mut *self.state.lock();
                state.entries.insert(id.clone(), kind);
                state.in_redis.insert(id.clone());
                assets.push(ClaimedAsset { id, is_uncommitted });
            }
        }
        Ok(assets)
    }

    fn opened(&self, sealed: &[u8]) -> Option<AssetId> {
        let id = self.sealer.open(&self.sealed_for(), sealed)?;
        AssetId::parse(std::str::from_utf8(&id).ok()?)
    }

    /// Entries move from one journal to another, so they are sealed for all of them.
    fn sealed_for(&self) -> String {
        self.names.single("orphans")
    }

    fn key(&self, kind: &str) -> String {
        format!("{}:{}", self.names.single(kind), self.replica)
    }
}

/// Whether the store can be used. If not, returns when that may have changed.
async fn is_up_now(is_up: &mut watch::Receiver<bool>) -> bool {
    if *is_up.borrow_and_update() {
        return true;
    }
    // The store holds the sender.
    let _store_is_there = is_up.changed().await;
    false
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}
