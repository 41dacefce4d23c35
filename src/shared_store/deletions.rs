//! Deletions, so that no replica goes on with what another one has deleted.
//!
//! A deletion is published to all replicas (pub/sub), and leaves a mark that keeps a fetch which is
//! still in flight from storing the asset's URL again. A replica that wasn't connected reads the
//! last ones when it is back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::Script;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;

use super::connection::StoreConnection;
use super::key_names::KeyNames;
use super::seal::ValueSealer;
use crate::types::asset::AssetId;

/// Removes the URL, marks the asset, and publishes the deletion.
const PUBLISH: &str = "redis.call('DEL', KEYS[1]) \
                       redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1]) \
                       local time = redis.call('TIME') \
                       local now = time[1] * 1000 + math.floor(time[2] / 1000) \
                       redis.call('ZADD', KEYS[3], now, ARGV[3]) \
                       redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - ARGV[4]) \
                       redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -ARGV[5] - 1) \
                       redis.call('PEXPIRE', KEYS[3], ARGV[4]) \
                       redis.call('PUBLISH', KEYS[4], ARGV[3]) return 1";

/// The last deletions are listed for this long, for replicas that come back: a longer loss of the
/// store is an outage of its own, and a URL of a deleted asset is refused by storage.
const LISTED: Duration = Duration::from_secs(600);
/// And no more than these.
const MOST_LISTED: u64 = 10_000;
/// The least life of a mark: longer than any call that was in flight at the deletion.
const LEAST_MARK: Duration = Duration::from_secs(600);
/// How often a deletion is published again if the store fails, and after which pauses.
const RETRIES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// An asset that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetDeletion {
    /// The asset.
    pub id: AssetId,
    /// Whether eGain has confirmed it; if not, only its URL is no longer used.
    pub is_certain: bool,
}

/// Publishes deletions.
#[derive(Clone)]
pub struct SharedDeletions {
    store: StoreConnection,
    names: KeyNames,
    sealer: Arc<ValueSealer>,
    mark: Duration,
}

/// Deletions at any replica, one after the other.
pub struct DeletionFeed {
    deletions: SharedDeletions,
    messages: broadcast::Receiver<Bytes>,
    is_up: watch::Receiver<bool>,
    /// Read from the list, and not returned yet.
    listed: Vec<AssetDeletion>,
}

impl SharedDeletions {
    pub(super) fn new(
        store: StoreConnection,
        names: KeyNames,
        sealer: Arc<ValueSealer>,
        ttl: Duration,
    ) -> Self {
        Self {
            store,
            names,
            sealer,
            mark: ttl.max(LEAST_MARK),
        }
    }

    /// Publishes a deletion. If the store can't be used, this is tried again in the background.
    pub async fn publish(&self, deletion: &AssetDeletion) {
        if self.try_publish(deletion).await {
            return;
        }
        let (deletions, deletion) = (self.clone(), deletion.clone());
        tokio::spawn(async move {
            for pause in RETRIES {
                sleep(pause).await;
                if deletions.try_publish(&deletion).await {
                    return;
                }
            }
        });
    }

    async fn try_publish(&self, deletion: &AssetDeletion) -> bool {
        let channel = self.names.single("messages");
        let message = self.sealer.seal(&channel, &encoded(deletion));
        let script = Script::new(PUBLISH);
        let mut publish = script.key(self.names.of_asset("url", &deletion.id));
        publish
            .key(self.names.of_asset("gone", &deletion.id))
            .key(self.names.single("deletions"))
            .key(&channel)
            .arg(self.mark.as_millis() as u64)
            .arg(u8::from(deletion.is_certain))
            .arg(message)
            .arg(LISTED.as_millis() as u64)
            .arg(MOST_LISTED);
        self.store.invoke::<i64>(&publish).await.is_ok()
    }

    /// Deletions from now on.
    pub fn feed(&self) -> DeletionFeed {
        DeletionFeed {
            deletions: self.clone(),
            messages: self.store.messages(),
            is_up: self.store.watch(),
            listed: Vec::new(),
        }
    }

    fn opened(&self, message: &[u8]) -> Option<AssetDeletion> {
        let channel = self.names.single("messages");
        decoded(&self.sealer.open(&channel, message)?)
    }

    /// The last deletions, for who may have missed some.
    async fn listed(&self) -> Vec<AssetDeletion> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.names.single("deletions")).arg(0).arg(-1);
        let sealed: Vec<Vec<u8>> = self.store.run(&command).await.unwrap_or_default();
        let opened = sealed.iter().filter_map(|message| self.opened(message));
        opened.collect()
    }
}

impl DeletionFeed {
    /// The next one.
    pub async fn next(&mut self) -> AssetDeletion {
        loop {
            if let Some(deletion) = self.listed.pop() {
                return deletion;
            }
            tokio::select! {
                message = self.messages.recv() => match message {
                    Ok(message) => {
                        if let Some(deletion) = self.deletions.opened(&message) {
                            return deletion;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.listed = self.deletions.listed().await;
                    }
                    // The store holds the sender, and this holds the store.
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                },
                Ok(()) = self.is_up.changed() => {
                    if *self.is_up.borrow_and_update() {
                        self.listed = self.deletions.listed().await;
                    }
                }
            }
        }
    }
}

fn encoded(deletion: &AssetDeletion) -> Vec<u8> {
    let mut text = vec![u8::from(deletion.is_certain)];
    text.extend(deletion.id.as_str().bytes());
    text
}

fn decoded(text: &[u8]) -> Option<AssetDeletion> {
    let (is_certain, id) = text.split_first()?;
    Some(AssetDeletion {
        id: AssetId::parse(std::str::from_utf8(id).ok()?)?,
        is_certain: *is_certain == 1,
    })
}
