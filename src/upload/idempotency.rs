//! The same `Idempotency-Key` from the same caller stores one file: a retry gets the response of
//! the first attempt.
//!
//! A failed attempt releases its key at once: a key that outlives its attempt would lose the
//! caller's file for good.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fields::UploadMetadata;
use super::length_source::LengthSource;
use super::parsed::ParsedUpload;
use super::receipt::{UploadReceipt, UploadTiming};
use crate::body::digest::Sha256Sum;
use crate::shared_store::{SharedKeyLookup, SharedKeys, StoreLease};
use crate::types::asset::{AssetId, Sender};
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::{Error, ErrorCode, Stage};

/// The longest key in bytes; a UUID has 36.
const LONGEST_KEY: usize = 255;

/// How long keys are remembered, and how many.
#[derive(Debug, Clone)]
pub struct IdempotencyConfig {
    /// From the first response on.
    pub ttl: Duration,
    /// Responses that are remembered.
    pub capacity: u64,
}

/// A key is a caller's own: another caller's same key means something else. Stored as a hash,
/// however long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct IdempotencyKey(Sha256Sum);

impl IdempotencyKey {
    /// The request's key, if it has one.
    pub(super) fn of(
        caller: &AuthenticatedCaller,
        headers: &HeaderMap,
    ) -> Result<Option<Self>, Error> {
        let Some(value) = headers.get("idempotency-key") else {
            return Ok(None);
        };
        let key = value.to_str().map(str::trim).unwrap_or_default();
        if key.is_empty() || key.len() > LONGEST_KEY {
            let detail =
                "Idempotency-Key is not 1 to 255 printable ASCII characters, such as a UUID";
            return Err(Error::caller(ErrorCode::InvalidField, Stage::Admit, detail));
        }
        Ok(Some(Self(hash([Some(caller.id.as_str()), Some(key)]))))
    }
}

/// What makes two uploads the same, as far as it is known before their bytes are. Never a form's
/// raw bytes: its boundary differs each time.
#[derive(Debug, Clone, Copy)]
pub(super) struct UploadFingerprint {
    /// A hash of channel, sender, name and type as they were declared.
    metadata: Sha256Sum,
    size: Option<u64>,
    sum: Option<Sha256Sum>,
}

impl UploadFingerprint {
    /// What an upload says of its file.
    pub(super) fn of(upload: &ParsedUpload) -> Self {
        let UploadMetadata {
            channel, sender, ..
        } = &upload.metadata;
        let metadata = hash([
            Some(channel),
            Some(sender.name()),
            upload.name(),
            upload.explicit_type.as_deref(),
        ]);
        Self {
            metadata,
            size: upload.declared,
            sum: upload.digest.expected,
        }
    }

    fn differs_from(&self, first: &IdempotencyRecord) -> bool {
        self.metadata != first.metadata
            || self.size.is_some_and(|size| size != first.size)
            || self.sum.is_some_and(|sum| sum != first.sum)
    }
}

/// Each text with its length before it, so that no two lists have one hash.
fn hash<const N: usize>(texts: [Option<&str>; N]) -> Sha256Sum {
    let mut hasher = Sha256::new();
    for text in texts {
        let length = match text {
            Some(text) => text.len() as u64,
            None => u64::MAX,
        };
        hasher.update(length.to_be_bytes());
        hasher.update(text.unwrap_or_default());
    }
    hasher.finalize().into()
}

/// The keys of uploads in flight, and the responses that were given.
#[derive(Clone)]
pub(super) struct IdempotencyStore {
    state: Arc<StoreState>,
    /// Those of all replicas, if they share them.
    shared: Option<SharedKeys>,
}

struct StoreState {
    done: Cache<IdempotencyKey, Arc<IdempotencyRecord>>,
    in_flight: Mutex<HashSet<IdempotencyKey>>,
    /// Keys that lead to these are free.
    deleted: Cache<AssetId, ()>,
}

/// An upload that got its response. Small, as there may be many for a day.
#[derive(Debug)]
pub(super) struct IdempotencyRecord {
    metadata: Sha256Sum,
    sum: Sha256Sum,
    size: u64,
    sender: Sender,
    length_source: LengthSource,
    /// Id, channel, name and type, one behind the other.
    texts: Box<str>,
    ends: [u16; 3],
}

/// A record as replicas tell it each other.
#[derive(Serialize, Deserialize)]
struct SharedRecord {
    metadata: Sha256Sum,
    sum: Sha256Sum,
    size: u64,
    sender: String,
    length_source: String,
    id: String,
    channel: String,
    name: String,
    content_type: String,
}

impl IdempotencyRecord {
    fn encode(&self) -> Vec<u8> {
        let record = SharedRecord {
            metadata: self.metadata,
            sum: self.sum,
            size: self.size,
            sender: self.sender.name().to_owned(),
            length_source: self.length_source.name().to_owned(),
            id: self.text(0).to_owned(),
            channel: self.text(1).to_owned(),
            name: self.text(2).to_owned(),
            content_type: self.text(3).to_owned(),
        };
        serde_json::to_vec(&record).expect("it has string keys")
    }

    /// None if it can't be read.
    fn decode(text: &[u8]) -> Option<Self> {
        let record: SharedRecord = serde_json::from_slice(text).ok()?;
        let receipt = UploadReceipt {
            id: AssetId::parse(&record.id)?,
            channel: record.channel,
            name: record.name,
            content_type: record.content_type,
            size: record.size,
            sender: Sender::parse(&record.sender)?,
            length_source: record.length_source.parse().ok()?,
            sha256: None,
            timing: UploadTiming::default(),
        };
        Some(Self::new(record.metadata, record.sum, &receipt))
    }

    fn new(metadata: Sha256Sum, sum: Sha256Sum, receipt: &UploadReceipt) -> Self {
        let UploadReceipt {
            id,
            channel,
            name,
            content_type,
            size,
            sender,
            length_source,
            ..
        } = receipt;
        let (mut texts, mut ends) = (String::new(), [0; 3]);
        for (text, end) in [id.as_str(), channel, name].into_iter().zip(&mut ends) {
            texts += text;
            *end = u16::try_from(texts.len())
                .expect("ids, channels and names have a few hundred characters");
        }
        texts += content_type;
        Self {
            metadata,
            sum,
            size: *size,
            sender: *sender,
            length_source: *length_source,
            texts: texts.into(),
            ends,
        }
    }

    fn text(&self, at: usize) -> &str {
        let start = match at {
            0 => 0,
            _ => self.ends[at - 1].into(),
        };
        let end = match self.ends.get(at) {
            Some(end) => (*end).into(),
            None => self.texts.len(),
        };
        &self.texts[start..end]
    }

    fn id(&self) -> AssetId {
        AssetId::parse(self.text(0)).expect("it was an id")
    }

    /// Whether the file that came now is the one that came first.
    pub(super) fn has_sum(&self, sum: Option<&Sha256Sum>) -> bool {
        sum == Some(&self.sum)
    }

    /// The first response, with the digest where it is wanted now.
    pub(super) fn receipt(&self, wants_sum: bool) -> UploadReceipt {
        UploadReceipt {
            id: self.id(),
            channel: self.text(1).to_owned(),
            name: self.text(2).to_owned(),
            content_type: self.text(3).to_owned(),
            size: self.size,
            sender: self.sender,
            length_source: self.length_source,
            sha256: wants_sum.then(|| hex::encode(self.sum)),
            timing: UploadTiming::default(),
        }
    }
}

/// What is known of a key.
pub(super) enum IdempotencyLookup {
    /// It is free: the upload may go on.
    Fresh(IdempotencyGuard),
    /// An upload with it got its response, for a file that isn't known to be another one.
    Done(Arc<IdempotencyRecord>),
}

/// Holds the key of an upload in flight; releases it when dropped.
pub(super) struct IdempotencyGuard {
    store: IdempotencyStore,
    key: IdempotencyKey,
    metadata: Sha256Sum,
    /// The key among all replicas. None where it couldn't be taken there.
    lease: Option<StoreLease>,
}

impl IdempotencyStore {
    /// An empty one.
    pub(super) fn new(config: &IdempotencyConfig) -> Self {
        let done = Cache::builder()
            .max_capacity(config.capacity)
            .time_to_live(config.ttl)
            .weigher(weight);
        let deleted = Cache::builder()
            .max_capacity(config.capacity)
            .time_to_live(config.ttl);
        let state = StoreState {
            done: done.eviction_policy(EvictionPolicy::lru()).build(),
            in_flight: Mutex::default(),
            deleted: deleted.eviction_policy(EvictionPolicy::lru()).build(),
        };
        Self {
            state: Arc::new(state),
            shared: None,
        }
    }

    /// With the keys of all replicas behind its own.
    pub(super) fn sharing(self, keys: SharedKeys) -> Self {
        Self {
            shared: Some(keys),
            ..self
        }
    }

    /// Takes the key, at this replica and then among all, or returns the record of its first
    /// attempt. Where the replicas can't be asked, this one decides alone.
    pub(super) async fn begin(
        &self,
        key: IdempotencyKey,
        fingerprint: UploadFingerprint,
    ) -> Result<IdempotencyLookup, Error> {
        let mut guard = match self.begin_here(key, fingerprint)? {
            IdempotencyLookup::Fresh(guard) => guard,
            done => return Ok(done),
        };
        let Some(shared) = &self.shared else {
            return Ok(IdempotencyLookup::Fresh(guard));
        };
        let mut lookup = shared.begin(&key.0).await;
        if let Some(record) = done_elsewhere(&lookup) {
            if !shared.is_deleted(&record.id()).await {
                if fingerprint.differs_from(&record) {
                    return Err(another_file());
                }
                return Ok(IdempotencyLookup::Done(Arc::new(record)));
            }
            shared.free(&key.0).await;
            lookup = shared.begin(&key.0).await;
        }
        match lookup {
            SharedKeyLookup::Fresh(lease) => guard.lease = Some(lease),
            SharedKeyLookup::InFlight => return Err(in_progress()),
            // Recorded by a release that this one can't read, or since a moment ago.
            SharedKeyLookup::Done { .. } | SharedKeyLookup::Unknown => {}
        }
        Ok(IdempotencyLookup::Fresh(guard))
    }

    /// As [`Self::begin`], at this replica alone.
    fn begin_here(
        &self,
        key: IdempotencyKey,
        fingerprint: UploadFingerprint,
    ) -> Result<IdempotencyLookup, Error> {
        // Locked until this returns: an upload that completes meanwhile is recorded first and
        // releases its key afterwards, so that its key is never free in between.
        let mut in_flight = self.state.in_flight.lock();
        let record = self.state.done.get(&key);
        if let Some(record) = record
            && !self.state.deleted.contains_key(&record.id())
        {
            if fingerprint.differs_from(&record) {
                return Err(another_file());
            }
            return Ok(IdempotencyLookup::Done(record));
        }
        if !in_flight.insert(key) {
            return Err(in_progress());
        }
        Ok(IdempotencyLookup::Fresh(IdempotencyGuard {
            store: self.clone(),
            key,
            metadata: fingerprint.metadata,
            lease: None,
        }))
    }

    /// An asset was deleted: keys that lead to it are free.
    pub(super) fn forget(&self, id: &AssetId) {
        self.state.deleted.insert(id.clone(), ());
    }
}

/// Records of up to half a KiB count as one key, longer ones as more, so that all together have a
/// bound in bytes, too.
fn weight(_: &IdempotencyKey, record: &Arc<IdempotencyRecord>) -> u32 {
    1 + (record.texts.len() / 512) as u32
}

/// The record of an upload at another replica, if it can be read.
fn done_elsewhere(lookup: &SharedKeyLookup) -> Option<IdempotencyRecord> {
    match lookup {
        SharedKeyLookup::Done { record } => IdempotencyRecord::decode(record),
        _ => None,
    }
}

fn in_progress() -> Error {
    let detail = "an upload with this Idempotency-Key is still in progress: wait for its response";
    let code = ErrorCode::IdempotencyInProgress;
    Error::caller(code, Stage::Admit, detail).with_retry_after(Duration::from_secs(1))
}

/// The key was used before, and not for this.
pub(super) fn another_file() -> Error {
    let detail = "this Idempotency-Key was used for another file: take a new key for each file";
    Error::caller(ErrorCode::IdempotencyMismatch, Stage::Admit, detail)
}

impl IdempotencyGuard {
    /// The file is stored: from now on a request with the key gets this receipt.
    pub(super) fn complete(mut self, receipt: &UploadReceipt, sum: Sha256Sum) {
        let record = IdempotencyRecord::new(self.metadata, sum, receipt);
        if let Some(shared) = &self.store.shared {
            shared.complete(&self.key.0, &record.encode(), self.lease.take());
        }
        self.store.state.done.insert(self.key, Arc::new(record));
    }
}

impl Drop for IdempotencyGuard {
    fn drop(&mut self) {
        self.store.state.in_flight.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> IdempotencyStore {
        IdempotencyStore::new(&IdempotencyConfig {
            ttl: Duration::from_secs(60),
            capacity: 10,
        })
    }

    fn fingerprint(name: &str, size: Option<u64>) -> UploadFingerprint {
        UploadFingerprint {
            metadata: hash([Some(name)]),
            size,
            sum: None,
        }
    }

    fn receipt(size: u64) -> UploadReceipt {
        UploadReceipt {
            id: AssetId::parse("a").unwrap(),
            name: "ä.jpg".into(),
            content_type: "image/jpeg".into(),
            size,
            channel: "sms".into(),
            sender: Sender::CustomBot,
            length_source: LengthSource::Derived,
            sha256: None,
            timing: UploadTiming::default(),
        }
    }

    fn begin(
        store: &IdempotencyStore,
        caller: &str,
        name: &str,
        size: Option<u64>,
    ) -> Result<IdempotencyLookup, ErrorCode> {
        store
            .begin_here(
                IdempotencyKey(hash([Some(caller), Some("k")])),
                fingerprint(name, size),
            )
            .map_err(|error| error.code())
    }

    fn fresh(found: Result<IdempotencyLookup, ErrorCode>) -> IdempotencyGuard {
        match found {
            Ok(IdempotencyLookup::Fresh(guard)) => guard,
            _ => panic!("expected the key to be free"),
        }
    }

    #[test]
    fn a_key_is_refused_only_while_in_flight() {
        let store = store();
        let first = fresh(begin(&store, "me", "a", None));
        assert!(matches!(
            begin(&store, "me", "a", None),
            Err(ErrorCode::IdempotencyInProgress)
        ));
        drop(fresh(begin(&store, "you", "a", None)));
        drop(first);
        fresh(begin(&store, "me", "a", None));
    }

    #[test]
    fn a_completed_key_replays_only_the_same_file() {
        let store = store();
        fresh(begin(&store, "me", "a", None)).complete(&receipt(7), [1; 32]);
        assert!(matches!(
            begin(&store, "me", "a", None),
            Ok(IdempotencyLookup::Done(_))
        ));
        assert!(matches!(
            begin(&store, "me", "a", Some(7)),
            Ok(IdempotencyLookup::Done(_))
        ));
        assert!(matches!(
            begin(&store, "me", "a", Some(8)),
            Err(ErrorCode::IdempotencyMismatch)
        ));
        assert!(matches!(
            begin(&store, "me", "b", Some(7)),
            Err(ErrorCode::IdempotencyMismatch)
        ));
    }

    #[test]
    fn a_small_record_holds_a_whole_receipt() {
        let (first, record) = (
            receipt(7),
            IdempotencyRecord::new([0; 32], [1; 32], &receipt(7)),
        );
        let record = IdempotencyRecord::decode(&record.encode()).unwrap();
        let again = record.receipt(true);
        assert_eq!(
            (&again.id, &again.name, &again.content_type),
            (&first.id, &first.name, &first.content_type)
        );
        assert_eq!(
            (&again.channel, again.sender, again.size),
            (&first.channel, first.sender, first.size)
        );
        assert_eq!(
            (again.length_source, again.sha256),
            (first.length_source, Some("01".repeat(32)))
        );
        assert_eq!(record.receipt(false).sha256, None);
        assert!(
            record.has_sum(Some(&[1; 32]))
                && !record.has_sum(Some(&[2; 32]))
                && !record.has_sum(None)
        );
        assert!(size_of::<IdempotencyRecord>() + record.texts.len() < 150);
    }

    #[test]
    fn a_key_of_a_deleted_asset_is_free() {
        let store = store();
        fresh(begin(&store, "me", "a", None)).complete(&receipt(7), [1; 32]);
        store.forget(&AssetId::parse("a").unwrap());
        fresh(begin(&store, "me", "b", None)).complete(
            &UploadReceipt {
                id: AssetId::parse("b").unwrap(),
                ..receipt(8)
            },
            [2; 32],
        );
        assert!(matches!(
            begin(&store, "me", "b", None),
            Ok(IdempotencyLookup::Done(_))
        ));
    }
}
