//! The way in. [`UploadService::run`] is the whole of it, a line a stage; each stage has a file.

mod digest;
mod fields;
mod form;
mod framing;
mod idempotency;
mod length;
mod look_ahead;
mod parse;
mod parse_form;
mod replay;
mod rules;
mod spool;
mod store;
mod upload_metrics;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http_body::Body;
use http_body_util::BodyExt;
use tracing::Instrument;

use crate::body::digest::{DigestSlot, hex};
use crate::body::min_rate::{self, MinRateBody, caller_too_slow};
use crate::egain::accounts::LiveRules;
use crate::egain::{EgainClient, NewAsset, OrphanQueue};
use crate::media::{AgreedName, MediaKind, SniffedType, agree, sniff};
use crate::policy::UploadPolicy;
use crate::storage::StorageClient;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::{AssetId, Sender};
use crate::types::caller::{AuthenticatedCaller, Principal};
use crate::types::error::{Error, ErrorCode, Stage};
use fields::{UploadFields, UploadMetadata};
use framing::KnownFramings;
pub use idempotency::IdempotencyConfig;
use idempotency::{
    IdempotencyGuard, IdempotencyKey, IdempotencyLookup, IdempotencyRecord, IdempotencyStore,
    UploadFingerprint, another_file,
};
use length::SizedFile;
pub use length::{LengthLimits, LengthSource};
use look_ahead::LookAhead;
pub use parse::UploadRequest;
use parse::{ParseContext, ParsedUpload};
use rules::UploadRules;
pub use rules::{EffectiveRules, KindAllowance};
use spool::SharedSpool;
pub use spool::SpoolConfig;
pub use store::UploadTiming;
use store::{FileStore, StoreJob};
use upload_metrics::UploadMetrics;

/// How uploads are read.
#[derive(Debug, Clone)]
pub struct UploadConfig {
    /// Sizes.
    pub limits: LengthLimits,
    /// How slow a caller may be.
    pub min_rate: min_rate::PaceLimits,
    /// Files of unknown length.
    pub spool: SpoolConfig,
    /// Uploads with an `Idempotency-Key`.
    pub once: IdempotencyConfig,
}

/// A file that storage has confirmed.
#[derive(Debug, Clone)]
pub struct UploadReceipt {
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
    pub timing: UploadTiming,
}

/// Everything an upload needs.
#[derive(Clone)]
pub struct UploadService {
    config: UploadConfig,
    policy: Arc<UploadPolicy>,
    live_rules: LiveRules,
    delivery: FileStore,
    spools: SharedSpool,
    framings: KnownFramings,
    ledger: IdempotencyStore,
    metrics: Arc<ServiceMetrics>,
}

impl UploadService {
    /// Fails where temporary files can't be made.
    pub fn new(
        config: UploadConfig,
        policy: UploadPolicy,
        live_rules: LiveRules,
        (egain, storage, orphans): (EgainClient, StorageClient, OrphanQueue),
        metrics: Arc<ServiceMetrics>,
    ) -> io::Result<Self> {
        let spools = SharedSpool::new(config.spool.clone(), &metrics);
        spools.probe()?;
        let delivery = FileStore {
            egain,
            storage,
            orphans,
        };
        let (policy, ledger) = (Arc::new(policy), IdempotencyStore::new(&config.once));
        Ok(Self {
            config,
            policy,
            live_rules,
            delivery,
            spools,
            framings: KnownFramings::new(),
            ledger,
            metrics,
        })
    }

    /// An asset was deleted: a retry of its upload stores it again.
    pub fn forget(&self, id: &AssetId) {
        self.ledger.forget(id);
    }

    /// From a request to a stored file. Dropping the future leaves nothing behind, but for an
    /// upload with a key whose bytes are all here: a retry will find its answer.
    pub async fn run<B>(&self, request: UploadRequest<B>) -> Result<UploadReceipt, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let mut tally = UploadMetrics::begin(&self.metrics);
        let stay = request.stay.clone();
        match self.prepare(request, &mut tally).await {
            Ok(PrepareOutcome::Send(ready)) if ready.claim.is_some() => {
                let upload = self.clone();
                let finishing = async move {
                    let _stay = stay;
                    upload.finish(*ready, tally).await
                };
                let finishing = tokio::spawn(finishing.in_current_span());
                finishing.await.unwrap_or_else(|_| Err(defect()))
            }
            Ok(PrepareOutcome::Send(ready)) => self.finish(*ready, tally).await,
            Ok(PrepareOutcome::Answer(receipt)) => {
                tally.replayed(receipt.length_source);
                Ok(*receipt)
            }
            Err(fault) => {
                tally.end(Some(&fault));
                Err(fault)
            }
        }
    }

    /// All that happens before anything is asked of eGain.
    async fn prepare<B>(
        &self,
        request: UploadRequest<B>,
        tally: &mut UploadMetrics,
    ) -> Result<PrepareOutcome, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let began = Instant::now();
        let rules = self.rules(&request.caller).await?;
        let request = request.bound_by(&rules);
        let (claimant, caller) = (Principal::from(&*request.caller), request.caller.clone());
        let key = IdempotencyKey::of(&request.caller, &request.head.headers)?;
        let paced =
            request.map(|body| MinRateBody::new(body, self.config.min_rate, caller_too_slow));
        let (all, hash) = (&self.config.limits, key.is_some());
        let reading = ParseContext {
            framings: &self.framings,
            spools: &self.spools,
            limits: all,
            hash,
        };
        let offer = ParsedUpload::of(paced, &reading).await?;
        self.policy
            .judge_channel(&offer.metadata.channel, &caller.channels)
            .or_else(|fault| self.only_reported(fault))?;
        let UploadMetadata {
            channel, sender, ..
        } = &offer.metadata;
        let own = rules.size_limit(channel, sender.direction(), None);
        let limits = if self.policy.report_only {
            self.config.limits
        } else {
            own
        };
        offer.declared.map_or(Ok(()), |size| limits.check(size))?;
        let claim = match key
            .map(|key| self.ledger.claim(key, UploadFingerprint::of(&offer)))
            .transpose()?
        {
            Some(IdempotencyLookup::Done(record)) => {
                return answer_again(offer, &record, &reading)
                    .await
                    .map(PrepareOutcome::Answer);
            }
            Some(IdempotencyLookup::Fresh(claim)) => Some(claim),
            None => None,
        };
        let (offer, ahead) = look_ahead(offer, &reading).await?;
        let (sniffed, agreed) = self.inspect(&rules, &offer, &ahead)?;
        let UploadMetadata {
            channel, sender, ..
        } = &offer.metadata;
        let own = rules.size_limit(
            channel,
            sender.direction(),
            Some(MediaKind::of(sniffed.essence())),
        );
        let limits = if self.policy.report_only {
            self.config.limits
        } else {
            own
        };
        let (metadata, wants_sum, sum) =
            (offer.metadata.clone(), offer.wants_sum(), offer.sum.clone());
        let file = length::measure(&caller.id, offer, ahead, &self.spools, &limits).await?;
        tally.measured(file.source);
        own.check(file.length)
            .or_else(|fault| self.only_reported(fault))?;
        let timing = UploadTiming {
            read: began.elapsed(),
            ..UploadTiming::default()
        };
        let (name, content_type) = (agreed.name, sniffed.content_type());
        Ok(PrepareOutcome::Send(Box::new(PreparedUpload {
            claimant,
            metadata,
            name,
            content_type,
            file,
            wants_sum,
            sum,
            claim,
            timing,
        })))
    }

    /// From the signed URL to the receipt.
    async fn finish(
        &self,
        ready: PreparedUpload,
        mut tally: UploadMetrics,
    ) -> Result<UploadReceipt, Error> {
        let outcome = self.store(ready).await;
        if let Ok(receipt) = &outcome {
            tally.measured(receipt.length_source);
        }
        tally.end(outcome.as_ref().err());
        outcome
    }

    async fn store(&self, ready: PreparedUpload) -> Result<UploadReceipt, Error> {
        let PreparedUpload {
            claimant,
            metadata,
            name,
            content_type,
            mut file,
            wants_sum,
            sum,
            claim,
            mut timing,
        } = ready;
        let (channel, sender) = (metadata.channel.as_str(), metadata.sender);
        let asset = NewAsset {
            principal: &claimant,
            channel,
            sender,
            name: &name,
            size: file.length,
        };
        let bytes = self
            .metrics
            .transfer_bytes
            .with_label_values(&["upload", self.label(channel)]);
        let mut consignment = StoreJob {
            asset,
            content_type: &content_type,
            file: &mut file,
            bytes,
        };
        let stored = self.delivery.deliver(&mut consignment, &mut timing).await?;
        let sum = sum.and_then(|slot| slot.get().copied());
        let receipt = UploadReceipt {
            id: stored.id,
            name: stored.other_name.unwrap_or(name),
            content_type,
            size: file.length,
            channel: metadata.channel,
            sender: metadata.sender,
            length_source: file.source,
            sha256: sum.filter(|_| wants_sum).map(|sum| hex(&sum)),
            timing,
        };
        // What stays for a day shouldn't lie among buffers that go.
        drop(file);
        if let Some((claim, sum)) = claim.zip(sum) {
            claim.fulfil(&receipt, sum);
        }
        Ok(receipt)
    }

    /// A caller's word becomes a label only if the settings have it, too.
    fn label(&self, channel: &str) -> &str {
        self.policy.known_channel(channel).unwrap_or("other")
    }

    /// What a caller may send to the channel that a request's query names, or that the caller is
    /// bound to.
    ///
    /// # Errors
    /// As for an upload: fields that are wrong, a channel of others, an account that is closed.
    pub async fn allowance(
        &self,
        caller: &Arc<AuthenticatedCaller>,
        head: &Parts,
    ) -> Result<EffectiveRules, Error> {
        let rules = self.rules(caller).await?;
        let caller = rules.bind(caller);
        let metadata = UploadFields::of_query(head)?.understand(&caller, Stage::Admit)?;
        self.policy
            .judge_channel(&metadata.channel, &caller.channels)?;
        Ok(rules.allowance(&metadata.channel, metadata.sender))
    }

    /// The rules of the caller's account are at hand once it was seen.
    async fn rules(&self, caller: &AuthenticatedCaller) -> Result<UploadRules, Error> {
        let live = match &caller.account {
            Some(account) => Some(self.live_rules.channel_of(account).await?),
            None => None,
        };
        Ok(UploadRules::new(
            self.policy.clone(),
            self.config.limits,
            live,
        ))
    }

    /// What the file is, what it will be called, and whether it may be sent at all.
    fn inspect(
        &self,
        rules: &UploadRules,
        offer: &ParsedUpload,
        ahead: &LookAhead,
    ) -> Result<(SniffedType, AgreedName), Error> {
        let head = ahead.head(self.config.limits.look_ahead as usize);
        let name = offer
            .metadata
            .name
            .as_deref()
            .or(offer.given_name.as_deref());
        let sniffed = sniff(&head, ahead.ended, offer.given_type.as_deref(), name);
        let agreed = agree(name, &sniffed);
        let UploadMetadata {
            channel, sender, ..
        } = &offer.metadata;
        let verdict = rules.judge(&sniffed, &agreed, channel, sender.direction());
        verdict.or_else(|fault| self.only_reported(fault))?;
        Ok((sniffed, agreed))
    }

    /// Lets a refusal pass, counted and logged, where the policy is only tried.
    fn only_reported(&self, fault: Error) -> Result<(), Error> {
        if !self.policy.report_only {
            return Err(fault);
        }
        self.metrics
            .rejected
            .with_label_values(&["would_reject"])
            .inc();
        tracing::warn!(
            code = fault.code().name(),
            detail = fault.detail(),
            "would be refused"
        );
        Ok(())
    }
}

/// What follows from a request that is in order.
enum PrepareOutcome {
    /// A file to send.
    Send(Box<PreparedUpload>),
    /// The answer that its key was given before.
    Answer(Box<UploadReceipt>),
}

/// A file that may be sent.
struct PreparedUpload {
    claimant: Principal,
    metadata: UploadMetadata,
    name: String,
    content_type: String,
    file: SizedFile,
    wants_sum: bool,
    sum: Option<DigestSlot>,
    claim: Option<IdempotencyGuard>,
    timing: UploadTiming,
}

/// Reads the first bytes of the file. A raw body that begins as a form is opened, and the file is
/// what lies in it.
async fn look_ahead(
    mut offer: ParsedUpload,
    reading: &ParseContext<'_>,
) -> Result<(ParsedUpload, LookAhead), Error> {
    let most = reading.limits.look_ahead;
    let mut ahead = LookAhead::default();
    ahead.fill(&mut offer.body, most).await?;
    let Some(boundary) = offer.form_inside(&ahead.head(most as usize))? else {
        return Ok((offer, ahead));
    };
    let mut offer = offer.opened(boundary, ahead, reading).await?;
    let mut ahead = LookAhead::default();
    ahead.fill(&mut offer.body, most).await?;
    Ok((offer, ahead))
}

/// The first answer, once it is certain that this is the same file.
async fn answer_again(
    offer: ParsedUpload,
    first: &IdempotencyRecord,
    reading: &ParseContext<'_>,
) -> Result<Box<UploadReceipt>, Error> {
    // A digest that is declared was compared already, and the file needn't be read.
    if offer.digest.expected.is_some() {
        return Ok(Box::new(first.receipt(offer.wants_sum())));
    }
    let (mut offer, ahead) = look_ahead(offer, reading).await?;
    let mut length = ahead.length();
    while let Some(frame) = offer.body.frame().await {
        length += frame?.data_ref().map_or(0, |data| data.len() as u64);
        reading.limits.check(length)?;
    }
    let is_same = first.has_sum(offer.sum.as_ref().and_then(|slot| slot.get()));
    if is_same {
        Ok(Box::new(first.receipt(offer.wants_sum())))
    } else {
        Err(another_file())
    }
}

fn defect() -> Error {
    let detail = "the gateway has a defect: report it with the request id; trying again may help";
    Error::gateway(ErrorCode::Internal, Stage::Store, detail).retryable(true)
}
