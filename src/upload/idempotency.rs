//! The same `Idempotency-Key` from the same caller stores one file: a retry is answered as the
//! first attempt was.
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
use sha2::{Digest, Sha256};

use super::fields::UploadMetadata;
use super::parse::ParsedUpload;
use super::{LengthSource, UploadReceipt, UploadTiming};
use crate::body::digest::{Sha256Sum, hex};
use crate::types::asset::{AssetId, Sender};
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::{Error, ErrorCode, Stage};

/// The longest key in bytes; a UUID has 36.
const LONGEST_KEY: usize = 255;

/// How long keys are remembered, and how many.
#[derive(Debug, Clone)]
pub struct IdempotencyConfig {
    /// From the first answer on.
    pub ttl: Duration,
    /// Answers.
    pub capacity: u64,
}

/// A key is a caller's own: another caller's same key means something else. Kept as a hash, however
/// long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Sha256Sum);

impl IdempotencyKey {
    /// The request's key, if it has one.
    pub fn of(caller: &AuthenticatedCaller, headers: &HeaderMap) -> Result<Option<Self>, Error> {
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
/// raw bytes: its boundary is another one each time.
#[derive(Debug, Clone, Copy)]
pub struct UploadFingerprint {
    /// Channel, sender, name and type as they were said.
    said: Sha256Sum,
    size: Option<u64>,
    sum: Option<Sha256Sum>,
}

impl UploadFingerprint {
    /// What an offer says of itself.
    pub fn of(offer: &ParsedUpload) -> Self {
        let UploadMetadata {
            channel,
            sender,
            name,
            ..
        } = &offer.metadata;
        let name = name.as_deref().or(offer.given_name.as_deref());
        let said = hash([
            Some(channel),
            Some(sender.name()),
            name,
            offer.given_type.as_deref(),
        ]);
        Self {
            said,
            size: offer.declared,
            sum: offer.digest.expected,
        }
    }

    fn differs_from(&self, first: &IdempotencyRecord) -> bool {
        let known_to_differ = self.size.is_some_and(|size| size != first.size)
            || self.sum.is_some_and(|sum| sum != first.sum);
        self.said != first.said || known_to_differ
    }
}

/// Each text with its length before it, so that no two lists have one hash.
fn hash<const N: usize>(texts: [Option<&str>; N]) -> Sha256Sum {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(
            text.map_or(u64::MAX, |text| text.len() as u64)
                .to_be_bytes(),
        );
        hasher.update(text.unwrap_or_default());
    }
    hasher.finalize().into()
}

/// The keys under way and the answers that were given.
#[derive(Clone)]
pub struct IdempotencyStore(Arc<StoreState>);

struct StoreState {
    done: Cache<IdempotencyKey, Arc<IdempotencyRecord>>,
    running: Mutex<HashSet<IdempotencyKey>>,
    /// Keys that lead to these are free again.
    deleted: Cache<AssetId, ()>,
}

/// An upload that was answered. Small, as there may be many for a day.
#[derive(Debug)]
pub struct IdempotencyRecord {
    said: Sha256Sum,
    sum: Sha256Sum,
    size: u64,
    sender: Sender,
    length_source: LengthSource,
    /// Id, channel, name and type, one behind the other.
    texts: Box<str>,
    ends: [u16; 3],
}

impl IdempotencyRecord {
    fn new(said: Sha256Sum, sum: Sha256Sum, receipt: &UploadReceipt) -> Self {
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
            said,
            sum,
            size: *size,
            sender: *sender,
            length_source: *length_source,
            texts: texts.into(),
            ends,
        }
    }

    fn text(&self, at: usize) -> &str {
        let start = at
            .checked_sub(1)
            .map_or(0, |before| self.ends[before].into());
        let end = self
            .ends
            .get(at)
            .map_or(self.texts.len(), |end| (*end).into());
        &self.texts[start..end]
    }

    fn id(&self) -> AssetId {
        AssetId::parse(self.text(0)).expect("it was an id")
    }

    /// Whether the file that came now is the one that came first.
    pub fn has_sum(&self, sum: Option<&Sha256Sum>) -> bool {
        sum == Some(&self.sum)
    }

    /// The first answer, with the sum where it is asked for now.
    pub fn receipt(&self, wants_sum: bool) -> UploadReceipt {
        UploadReceipt {
            id: self.id(),
            channel: self.text(1).to_owned(),
            name: self.text(2).to_owned(),
            content_type: self.text(3).to_owned(),
            size: self.size,
            sender: self.sender,
            length_source: self.length_source,
            sha256: wants_sum.then(|| hex(&self.sum)),
            timing: UploadTiming::default(),
        }
    }
}

/// What the ledger says of a key.
pub enum IdempotencyLookup {
    /// Nobody has it: the upload may go on.
    Fresh(IdempotencyGuard),
    /// It was answered, for a file that isn't known to be another one.
    Done(Arc<IdempotencyRecord>),
}

/// A key that is under way; released when it is dropped.
pub struct IdempotencyGuard {
    book: Arc<StoreState>,
    key: IdempotencyKey,
    said: Sha256Sum,
}

impl IdempotencyStore {
    /// An empty one.
    pub fn new(config: &IdempotencyConfig) -> Self {
        let done = Cache::builder()
            .max_capacity(config.capacity)
            .time_to_live(config.ttl)
            .weigher(weight);
        let deleted = Cache::builder()
            .max_capacity(config.capacity)
            .time_to_live(config.ttl);
        Self(Arc::new(StoreState {
            done: done.eviction_policy(EvictionPolicy::lru()).build(),
            running: Mutex::default(),
            deleted: deleted.eviction_policy(EvictionPolicy::lru()).build(),
        }))
    }

    /// Takes the key, or says how its first attempt was answered.
    pub fn claim(
        &self,
        key: IdempotencyKey,
        fingerprint: UploadFingerprint,
    ) -> Result<IdempotencyLookup, Error> {
        let mut running = self.0.running.lock();
        if let Some(record) = self
            .0
            .done
            .get(&key)
            .filter(|record| !self.0.deleted.contains_key(&record.id()))
        {
            return if fingerprint.differs_from(&record) {
                Err(another_file())
            } else {
                Ok(IdempotencyLookup::Done(record))
            };
        }
        if !running.insert(key) {
            let detail =
                "an upload with this Idempotency-Key is still under way: wait for its answer";
            return Err(
                Error::caller(ErrorCode::IdempotencyInProgress, Stage::Admit, detail)
                    .retry_after(Duration::from_secs(1)),
            );
        }
        Ok(IdempotencyLookup::Fresh(IdempotencyGuard {
            book: self.0.clone(),
            key,
            said: fingerprint.said,
        }))
    }

    /// An asset was deleted: keys that lead to it are free.
    pub fn forget(&self, id: &AssetId) {
        self.0.deleted.insert(id.clone(), ());
    }
}

/// Records of up to half a KiB count as one key, longer ones as more, so that all together have a
/// bound in bytes, too.
fn weight(_: &IdempotencyKey, record: &Arc<IdempotencyRecord>) -> u32 {
    1 + (record.texts.len() / 512) as u32
}

/// The key was used before, and not for this.
pub fn another_file() -> Error {
    let detail = "this Idempotency-Key was used for another file: take a new key for each file";
    Error::caller(ErrorCode::IdempotencyMismatch, Stage::Admit, detail)
}

impl IdempotencyGuard {
    /// The file is stored: from now on the key is answered.
    pub fn fulfil(self, receipt: &UploadReceipt, sum: Sha256Sum) {
        self.book.done.insert(
            self.key,
            Arc::new(IdempotencyRecord::new(self.said, sum, receipt)),
        );
    }
}

impl Drop for IdempotencyGuard {
    fn drop(&mut self) {
        self.book.running.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> IdempotencyStore {
        IdempotencyStore::new(&IdempotencyConfig {
            ttl: Duration::from_secs(60),
            capacity: 10,
        })
    }

    fn fingerprint(name: &str, size: Option<u64>) -> UploadFingerprint {
        UploadFingerprint {
            said: hash([Some(name)]),
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

    fn claim(
        ledger: &IdempotencyStore,
        caller: &str,
        name: &str,
        size: Option<u64>,
    ) -> Result<IdempotencyLookup, ErrorCode> {
        ledger
            .claim(
                IdempotencyKey(hash([Some(caller), Some("k")])),
                fingerprint(name, size),
            )
            .map_err(|fault| fault.code())
    }

    fn fresh(found: Result<IdempotencyLookup, ErrorCode>) -> IdempotencyGuard {
        match found {
            Ok(IdempotencyLookup::Fresh(claim)) => claim,
            _ => panic!("expected the key to be free"),
        }
    }

    #[test]
    fn a_key_under_way_is_refused_and_a_failed_one_is_free_at_once() {
        let ledger = ledger();
        let first = fresh(claim(&ledger, "me", "a", None));
        assert!(matches!(
            claim(&ledger, "me", "a", None),
            Err(ErrorCode::IdempotencyInProgress)
        ));
        drop(fresh(claim(&ledger, "you", "a", None)));
        drop(first);
        fresh(claim(&ledger, "me", "a", None));
    }

    #[test]
    fn a_key_that_was_answered_is_answered_again_and_only_for_the_same_file() {
        let ledger = ledger();
        fresh(claim(&ledger, "me", "a", None)).fulfil(&receipt(7), [1; 32]);
        assert!(matches!(
            claim(&ledger, "me", "a", None),
            Ok(IdempotencyLookup::Done(_))
        ));
        assert!(matches!(
            claim(&ledger, "me", "a", Some(7)),
            Ok(IdempotencyLookup::Done(_))
        ));
        assert!(matches!(
            claim(&ledger, "me", "a", Some(8)),
            Err(ErrorCode::IdempotencyMismatch)
        ));
        assert!(matches!(
            claim(&ledger, "me", "b", Some(7)),
            Err(ErrorCode::IdempotencyMismatch)
        ));
    }

    #[test]
    fn a_record_holds_all_of_an_answer_in_little_room() {
        let (first, record) = (
            receipt(7),
            IdempotencyRecord::new([0; 32], [1; 32], &receipt(7)),
        );
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
        let ledger = ledger();
        fresh(claim(&ledger, "me", "a", None)).fulfil(&receipt(7), [1; 32]);
        ledger.forget(&AssetId::parse("a").unwrap());
        fresh(claim(&ledger, "me", "b", None)).fulfil(
            &UploadReceipt {
                id: AssetId::parse("b").unwrap(),
                ..receipt(8)
            },
            [2; 32],
        );
        assert!(matches!(
            claim(&ledger, "me", "b", None),
            Ok(IdempotencyLookup::Done(_))
        ));
    }
}
