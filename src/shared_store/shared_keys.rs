//! `Idempotency-Key`s of all replicas: one of them runs the upload, and all give its response.

use std::sync::Arc;
use std::time::Duration;

use redis::{Script, Value};
use tokio::time::sleep;
use uuid::Uuid;

use super::connection::StoreConnection;
use super::key_names::KeyNames;
use super::lease::StoreLease;
use super::seal::ValueSealer;
use crate::types::asset::AssetId;

/// 1 if the key is the caller's now; else what it holds.
const BEGIN: &str = "local held = redis.call('GET', KEYS[1]) \
                     if held then return held end \
                     redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1";

/// An owner begins with this, and no sealed value does: their first four bytes are a key's id.
const OWNER: &str = "owner:";

/// How long a key is taken after the replica that ran its upload died.
const UPLOAD_LEASE: Duration = Duration::from_secs(10);

/// Pauses between the attempts to store a response while the store can't be used.
const RETRIES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// `Idempotency-Key`s of all replicas.
#[derive(Clone)]
pub struct SharedKeys {
    store: StoreConnection,
    names: KeyNames,
    sealer: Arc<ValueSealer>,
    ttl: Duration,
}

/// What is known of a key.
pub enum SharedKeyLookup {
    /// It was free, and is this replica's until the lease is dropped.
    Fresh(StoreLease),
    /// An upload with it is in flight at another replica.
    InFlight,
    /// An upload with it has ended well; this was recorded of it.
    Done {
        /// As it was recorded.
        record: Vec<u8>,
    },
    /// The store can't be used.
    Unknown,
}

impl SharedKeys {
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
            ttl,
        }
    }

    /// Takes a key, if it is free.
    pub async fn begin(&self, key: &[u8]) -> SharedKeyLookup {
        let name = self.names.of("upload", key);
        let owner = format!("{OWNER}{}", Uuid::new_v4().simple());
        let script = Script::new(BEGIN);
        let mut begin = script.key(&name);
        begin.arg(&owner).arg(UPLOAD_LEASE.as_millis() as u64);
        match self.store.invoke(&begin).await {
            Ok(Value::Int(1)) => {
                let lease = StoreLease::hold(self.store.clone(), name, owner, UPLOAD_LEASE);
                SharedKeyLookup::Fresh(lease)
            }
            Ok(Value::BulkString(held)) => self.held(&name, &held),
            _ => SharedKeyLookup::Unknown,
        }
    }

    fn held(&self, name: &str, held: &[u8]) -> SharedKeyLookup {
        if held.starts_with(OWNER.as_bytes()) {
            return SharedKeyLookup::InFlight;
        }
        match self.sealer.open(name, held) {
            Some(record) => SharedKeyLookup::Done { record },
            // Sealed with a key that isn't in use any more: this replica decides alone.
            None => SharedKeyLookup::Unknown,
        }
    }

    /// Whether a replica has deleted the asset since.
    pub async fn is_deleted(&self, id: &AssetId) -> bool {
        let mut command = redis::cmd("GET");
        command.arg(self.names.of_asset("gone", id));
        let mark: Result<Option<u8>, _> = self.store.run(&command).await;
        matches!(mark, Ok(Some(1)))
    }

    /// Frees a key whose response leads to a deleted asset.
    pub async fn free(&self, key: &[u8]) {
        let mut command = redis::cmd("DEL");
        command.arg(self.names.of("upload", key));
        let _freed_or_down = self.store.run::<i64>(&command).await;
    }

    /// Records how an upload ended, in the background: the file is stored, and its client waits for
    /// the response. Without a lease the key was taken while the store couldn't be used.
    pub fn complete(&self, key: &[u8], record: &[u8], lease: Option<StoreLease>) {
        let name = self.names.of("upload", key);
        let sealed = self.sealer.seal(&name, record);
        let mut command = redis::cmd("SET");
        let ttl = self.ttl.as_millis() as u64;
        command.arg(name).arg(sealed).arg("PX").arg(ttl);
        let store = self.store.clone();
        tokio::spawn(async move {
            for pause in RETRIES {
                if store.run::<Value>(&command).await.is_ok() {
                    break;
                }
                sleep(pause).await;
            }
            if let Some(lease) = lease {
                lease.forget();
            }
        });
    }
}
