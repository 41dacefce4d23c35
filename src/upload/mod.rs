//! The way in. [`Upload::run`] is the whole of it, a line a stage; each stage has a file.

mod deliver;
mod digest;
mod fields;
mod form;
mod framing;
mod length;
mod look_ahead;
mod material;
mod offer;
mod spool;
mod tally;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body::Body;

use crate::body::digest::{Sum, hex};
use crate::body::pace::{self, Pace, caller_too_slow};
use crate::egain::{Egain, NewAsset, Orphans};
use crate::media::{AgreedName, Sniffed, agree, sniff};
use crate::policy::Policy;
use crate::signals::metrics::Metrics;
use crate::storage::Storage;
use crate::words::asset::{AssetId, Sender};
use crate::words::fault::{Fault, Stage};
use deliver::Delivery;
pub use deliver::Timing;
use framing::Framings;
pub use length::{LengthSource, Limits};
use look_ahead::LookAhead;
use offer::Offer;
pub use offer::Request;
pub use spool::Config as SpoolConfig;
use spool::Spools;
use tally::Tally;

/// How uploads are read.
#[derive(Debug, Clone)]
pub struct Config {
    /// Sizes.
    pub limits: Limits,
    /// How slow a caller may be.
    pub pace: pace::Limits,
    /// Files of unknown length.
    pub spool: SpoolConfig,
}

/// A file that storage has confirmed.
#[derive(Debug)]
pub struct Receipt {
    /// Its id at eGain.
    pub id: AssetId,
    /// Its name as stored.
    pub name: String,
    /// Its type as stored.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// eGain's channel type.
    pub channel: String,
    /// eGain's sender type.
    pub sender: Sender,
    /// How its length was known.
    pub length_source: LengthSource,
    /// Its SHA-256 in hexadecimal, where it was wanted.
    pub sha256: Option<String>,
    /// Where the time went.
    pub timing: Timing,
}

/// Everything an upload needs.
#[derive(Clone)]
pub struct Upload {
    config: Config,
    policy: Arc<Policy>,
    delivery: Delivery,
    spools: Spools,
    framings: Framings,
    metrics: Arc<Metrics>,
}

impl Upload {
    /// Fails where temporary files can't be made.
    pub fn new(
        config: Config,
        policy: Policy,
        (egain, storage, orphans): (Egain, Storage, Orphans),
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let spools = Spools::new(config.spool.clone(), &metrics);
        spools.probe()?;
        let bytes = metrics.transfer_bytes.with_label_values(&["upload", "other"]);
        let delivery = Delivery { egain, storage, orphans, bytes };
        Ok(Self { config, policy: Arc::new(policy), delivery, spools, framings: Framings::new(), metrics })
    }

    /// From a request to a stored file. Dropping the future leaves nothing behind.
    pub async fn run<B>(&self, request: Request<B>) -> Result<Receipt, Fault>
    where
        B: Body<Data = Bytes, Error = Fault> + Send + Sync + Unpin + 'static,
    {
        let mut tally = Tally::begin(&self.metrics);
        let outcome = self.stages(request, &mut tally).await;
        tally.end(outcome.as_ref().err());
        outcome
    }

    async fn stages<B>(&self, request: Request<B>, tally: &mut Tally) -> Result<Receipt, Fault>
    where
        B: Body<Data = Bytes, Error = Fault> + Send + Sync + Unpin + 'static,
    {
        let (began, mut timing) = (Instant::now(), Timing::default());
        let paced = request.map(|body| Pace::new(body, self.config.pace, caller_too_slow));
        let mut offer = Offer::of(paced, &self.framings, &self.config.limits).await?;
        let mut ahead = LookAhead::default();
        ahead.fill(&mut offer.body, self.config.limits.look_ahead).await?;
        let (sniffed, agreed) = self.inspect(&offer, &ahead)?;
        let (metadata, sum) = (offer.metadata.clone(), offer.sum.clone());
        let file = length::measure(offer, ahead, &self.spools, &self.config.limits).await?;
        tally.measured(file.source);
        timing.read = began.elapsed();
        let content_type = sniffed.content_type();
        let asset = NewAsset { channel: &metadata.channel, sender: metadata.sender, name: &agreed.name, size: file.length };
        let id = self.delivery.deliver(&asset, &content_type, &file, &mut timing).await?;
        Ok(Receipt {
            id,
            name: agreed.name,
            content_type,
            size: file.length,
            channel: metadata.channel,
            sender: metadata.sender,
            length_source: file.source,
            sha256: sum.and_then(|slot| slot.get().map(|sum: &Sum| hex(sum))),
            timing,
        })
    }

    /// What the file is, what it will be called, and whether it may be sent at all.
    fn inspect(&self, offer: &Offer, ahead: &LookAhead) -> Result<(Sniffed, AgreedName), Fault> {
        let head = ahead.head(self.config.limits.look_ahead as usize);
        let name = offer.metadata.name.as_deref().or(offer.given_name.as_deref());
        let sniffed = sniff(&head, ahead.ended, offer.given_type.as_deref(), name);
        let agreed = agree(name, &sniffed);
        match self.policy.judge(&sniffed, &agreed) {
            Err(fault) if self.policy.report_only => {
                self.metrics.rejected.with_label_values(&["would_reject"]).inc();
                tracing::warn!(stage = Stage::Policy.name(), detail = fault.detail(), "would be refused");
            }
            verdict => verdict?,
        }
        Ok((sniffed, agreed))
    }
}
