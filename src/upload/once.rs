//! The same `Idempotency-Key` from the same caller stores one file: a retry is answered as the first attempt was.
//!
//! A failed attempt releases its key at once: a key that outlives its attempt would lose the caller's file for good.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

use super::Receipt;
use super::offer::Offer;
use crate::body::digest::{Sum, parse_hex};
use crate::words::asset::Sender;
use crate::words::caller::Caller;
use crate::words::fault::{Code, Fault, Stage};

/// The longest key in bytes; a UUID has 36.
const LONGEST_KEY: usize = 255;

/// How long keys are remembered, and how many.
#[derive(Debug, Clone)]
pub struct Config {
    /// From the first answer on.
    pub ttl: Duration,
    /// Answers.
    pub capacity: u64,
}

/// A key is a caller's own: another caller's same key means something else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    caller: String,
    key: String,
}

impl Key {
    /// The request's key, if it has one.
    pub fn of(caller: &Caller, headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
        let key = value.to_str().map(str::trim).unwrap_or_default();
        if key.is_empty() || key.len() > LONGEST_KEY {
            let detail = "Idempotency-Key is not 1 to 255 printable ASCII characters, such as a UUID";
            return Err(Fault::caller(Code::InvalidField, Stage::Admit, detail));
        }
        Ok(Some(Self { caller: caller.id.clone(), key: key.to_owned() }))
    }
}

/// What makes two uploads the same, as far as it is known before their bytes are. Never a form's raw bytes: its boundary
/// is another one each time.
#[derive(Debug, Clone)]
pub struct Fingerprint {
    channel: String,
    sender: Sender,
    name: Option<String>,
    size: Option<u64>,
    sum: Option<Sum>,
}

impl Fingerprint {
    /// What an offer says of itself.
    pub fn of(offer: &Offer) -> Self {
        let metadata = &offer.metadata;
        Self {
            channel: metadata.channel.clone(),
            sender: metadata.sender,
            name: metadata.name.clone().or_else(|| offer.given_name.clone()),
            size: offer.declared,
            sum: offer.promised,
        }
    }

    /// What is known of the file now that it was read.
    fn completed_by(self, receipt: &Receipt) -> Self {
        let sum = receipt.sha256.as_deref().and_then(parse_hex).or(self.sum);
        Self { size: Some(receipt.size), sum, ..self }
    }

    fn differs_from(&self, first: &Self) -> bool {
        let differ = |one: Option<u64>, two: Option<u64>| one.zip(two).is_some_and(|(one, two)| one != two);
        let sums_differ = self.sum.zip(first.sum).is_some_and(|(one, two)| one != two);
        let said = (&self.channel, self.sender, &self.name) != (&first.channel, first.sender, &first.name);
        said || sums_differ || differ(self.size, first.size)
    }
}

/// The keys under way and the answers that were given.
#[derive(Clone)]
pub struct Ledger(Arc<Book>);

struct Book {
    done: Cache<Key, Arc<Entry>>,
    running: Mutex<HashSet<Key>>,
}

struct Entry {
    fingerprint: Fingerprint,
    receipt: Receipt,
}

/// What the ledger says of a key.
pub enum Found {
    /// Nobody has it: the upload may go on.
    Fresh(Claim),
    /// It was answered.
    Done(Receipt),
}

/// A key that is under way; released when it is dropped.
pub struct Claim {
    book: Arc<Book>,
    key: Key,
    fingerprint: Fingerprint,
}

impl Ledger {
    /// An empty one.
    pub fn new(config: &Config) -> Self {
        let done = Cache::builder().max_capacity(config.capacity).time_to_live(config.ttl);
        let done = done.eviction_policy(EvictionPolicy::lru()).build();
        Self(Arc::new(Book { done, running: Mutex::default() }))
    }

    /// Takes the key, or says how its first attempt was answered.
    pub fn claim(&self, key: Key, fingerprint: Fingerprint) -> Result<Found, Fault> {
        let mut running = self.0.running.lock();
        if let Some(entry) = self.0.done.get(&key) {
            if fingerprint.differs_from(&entry.fingerprint) {
                let detail = "this Idempotency-Key was used for another file: take a new key for each file";
                return Err(Fault::caller(Code::IdempotencyMismatch, Stage::Admit, detail));
            }
            return Ok(Found::Done(entry.receipt.clone()));
        }
        if !running.insert(key.clone()) {
            let detail = "an upload with this Idempotency-Key is still under way: wait for its answer";
            return Err(Fault::caller(Code::IdempotencyInProgress, Stage::Admit, detail).retry_after(Duration::from_secs(1)));
        }
        Ok(Found::Fresh(Claim { book: self.0.clone(), key, fingerprint }))
    }
}

impl Claim {
    /// The file is stored: from now on the key is answered.
    pub fn fulfil(self, receipt: &Receipt) {
        let fingerprint = self.fingerprint.clone().completed_by(receipt);
        self.book.done.insert(self.key.clone(), Arc::new(Entry { fingerprint, receipt: receipt.clone() }));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.book.running.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::{LengthSource, Timing};
    use crate::words::asset::AssetId;

    fn ledger() -> Ledger {
        Ledger::new(&Config { ttl: Duration::from_secs(60), capacity: 10 })
    }

    fn key(caller: &str) -> Key {
        Key { caller: caller.into(), key: "k".into() }
    }

    fn fingerprint(name: &str, size: Option<u64>) -> Fingerprint {
        Fingerprint { channel: "sms".into(), sender: Sender::Customer, name: Some(name.into()), size, sum: None }
    }

    fn receipt(size: u64) -> Receipt {
        Receipt {
            id: AssetId::parse("a").unwrap(),
            name: "a.jpg".into(),
            content_type: "image/jpeg".into(),
            size,
            channel: "sms".into(),
            sender: Sender::Customer,
            length_source: LengthSource::Declared,
            sha256: None,
            timing: Timing::default(),
        }
    }

    fn claim(ledger: &Ledger, caller: &str, name: &str, size: Option<u64>) -> Result<Found, Code> {
        ledger.claim(key(caller), fingerprint(name, size)).map_err(|fault| fault.code())
    }

    fn fresh(found: Result<Found, Code>) -> Claim {
        match found {
            Ok(Found::Fresh(claim)) => claim,
            _ => panic!("expected the key to be free"),
        }
    }

    #[test]
    fn a_key_under_way_is_refused_and_a_failed_one_is_free_at_once() {
        let ledger = ledger();
        let first = fresh(claim(&ledger, "me", "a", None));
        assert!(matches!(claim(&ledger, "me", "a", None), Err(Code::IdempotencyInProgress)));
        drop(fresh(claim(&ledger, "you", "a", None)));
        drop(first);
        fresh(claim(&ledger, "me", "a", None));
    }

    #[test]
    fn a_key_that_was_answered_is_answered_again_and_only_for_the_same_file() {
        let ledger = ledger();
        fresh(claim(&ledger, "me", "a", None)).fulfil(&receipt(7));
        assert!(matches!(claim(&ledger, "me", "a", None), Ok(Found::Done(receipt)) if receipt.size == 7));
        assert!(matches!(claim(&ledger, "me", "a", Some(7)), Ok(Found::Done(_))));
        assert!(matches!(claim(&ledger, "me", "a", Some(8)), Err(Code::IdempotencyMismatch)));
        assert!(matches!(claim(&ledger, "me", "b", Some(7)), Err(Code::IdempotencyMismatch)));
    }
}
