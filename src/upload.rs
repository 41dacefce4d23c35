//! Uploads. [`UploadService::run`] is the whole path; each of its stages has a file. The layers of
//! the body are listed in `pipeline.rs`.

mod declared_length;
mod digest;
mod fields;
mod form;
mod framing;
mod idempotency;
mod length;
mod length_source;
mod look_ahead;
mod parse;
mod parse_form;
mod parsed;
mod pipeline;
mod receipt;
mod replay;
mod rules;
mod size_limit;
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

use crate::body::digest::DigestSlot;
use crate::body::min_rate::PaceLimits;
use crate::egain::NewAsset;
use crate::egain::accounts::LiveRules;
use crate::media::{MediaKind, agree, sniff};
use crate::policy::UploadPolicy;
use crate::shared_store::SharedKeys;
use crate::telemetry::metrics::ServiceMetrics;
use crate::telemetry::traces::stage_span;
use crate::types::asset::AssetId;
use crate::types::caller::{AuthenticatedCaller, Principal};
use crate::types::error::{Error, ErrorCode, Stage};
use fields::{UploadFields, UploadMetadata};
use framing::KnownFramings;
pub use idempotency::IdempotencyConfig;
use idempotency::{
    IdempotencyGuard, IdempotencyKey, IdempotencyLookup, IdempotencyRecord, IdempotencyStore,
    UploadFingerprint, another_file,
};
use length::{LengthResolver, SizedFile};
pub use length_source::LengthSource;
use look_ahead::LookAhead;
pub use parse::UploadRequest;
use parsed::{ParseContext, ParsedUpload};
pub use receipt::{UploadReceipt, UploadTiming};
use rules::UploadRules;
pub use rules::{EffectiveRules, KindAllowance};
pub use size_limit::SizeLimit;
use spool::SharedSpool;
pub use spool::SpoolConfig;
pub use store::FileStore;
use store::StoreJob;
use upload_metrics::UploadMetrics;

/// How uploads are read.
#[derive(Debug, Clone)]
pub struct UploadConfig {
    /// The largest file.
    pub size_limit: SizeLimit,
    /// Bytes that are read before any call to eGain.
    pub look_ahead: u64,
    /// How slow a client may be.
    pub min_rate: PaceLimits,
    /// Files of unknown length.
    pub spool: SpoolConfig,
    /// Uploads with an `Idempotency-Key`.
    pub idempotency: IdempotencyConfig,
}

/// Everything an upload needs.
#[derive(Clone)]
pub struct UploadService {
    config: UploadConfig,
    policy: Arc<UploadPolicy>,
    live_rules: LiveRules,
    file_store: FileStore,
    spools: SharedSpool,
    framings: KnownFramings,
    idempotency: IdempotencyStore,
    metrics: Arc<ServiceMetrics>,
}

impl UploadService {
    /// Fails where temporary files can't be made.
    pub fn new(
        config: UploadConfig,
        policy: UploadPolicy,
        live_rules: LiveRules,
        file_store: FileStore,
        metrics: Arc<ServiceMetrics>,
    ) -> io::Result<Self> {
        let spools = SharedSpool::new(config.spool.clone(), &metrics);
        spools.probe()?;
        let idempotency = IdempotencyStore::new(&config.idempotency);
        Ok(Self {
            config,
            policy: Arc::new(policy),
            live_rules,
            file_store,
            spools,
            framings: KnownFramings::new(),
            idempotency,
            metrics,
        })
    }

    /// Shares keys of uploads with other replicas.
    pub fn sharing(self, keys: SharedKeys) -> Self {
        Self {
            idempotency: self.idempotency.sharing(keys),
            ..self
        }
    }

    /// An asset was deleted: a retry of its upload stores it again.
    pub fn forget(&self, id: &AssetId) {
        self.idempotency.forget(id);
    }

    /// From a request to a stored file. Dropping the future leaves nothing behind, except for an
    /// upload with a key whose bytes are all here: a retry will find its response.
    pub async fn run<B>(&self, request: UploadRequest<B>) -> Result<UploadReceipt, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let mut metrics = UploadMetrics::begin(&self.metrics);
        let stay = request.stay.clone();
        let preparing = self.prepare(request, &mut metrics);
        match preparing.instrument(stage_span!("read")).await {
            Ok(PrepareOutcome::Send(prepared)) if prepared.guard.is_some() => {
                let service = self.clone();
                // In a task of its own, which goes on when the client disconnects.
                let finishing = async move {
                    let _stay = stay;
                    service.finish(*prepared, metrics).await
                };
                let finishing = tokio::spawn(finishing.in_current_span());
                finishing.await.unwrap_or_else(|_| Err(panicked()))
            }
            Ok(PrepareOutcome::Send(prepared)) => self.finish(*prepared, metrics).await,
            Ok(PrepareOutcome::Replay(receipt)) => {
                metrics.replayed(receipt.length_source);
                Ok(*receipt)
            }
            Err(error) => {
                metrics.end(Some(&error));
                Err(error)
            }
        }
    }

    /// All that happens before any call to eGain.
    async fn prepare<B>(
        &self,
        request: UploadRequest<B>,
        metrics: &mut UploadMetrics,
    ) -> Result<PrepareOutcome, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let began = Instant::now();
        let rules = self.rules(&request.caller).await?;
        let request = request.bound_by(&rules);
        let caller = request.caller.clone();
        let key = IdempotencyKey::of(&caller, &request.head.headers)?;
        let context = ParseContext {
            framings: &self.framings,
            spools: &self.spools,
            settings_limit: self.config.size_limit,
            look_ahead: self.config.look_ahead,
            always_hash: key.is_some(),
        };
        let request = request.map(|body| pipeline::min_rate(body, self.config.min_rate));
        let upload = ParsedUpload::parse(request, &context).await?;
        self.admit(&caller, &rules, &upload)?;
        let mut guard = None;
        if let Some(key) = key {
            let fingerprint = UploadFingerprint::of(&upload);
            match self.idempotency.begin(key, fingerprint).await? {
                IdempotencyLookup::Fresh(fresh) => guard = Some(fresh),
                IdempotencyLookup::Done(record) => {
                    let receipt = replay_receipt(upload, &record, &context).await?;
                    return Ok(PrepareOutcome::Replay(Box::new(receipt)));
                }
            }
        }
        let (upload, ahead) = look_ahead(upload, &context).await?;
        let mut prepared = self
            .measure(&caller, &rules, upload, ahead, metrics)
            .await?;
        prepared.guard = guard;
        prepared.timing.read = began.elapsed();
        Ok(PrepareOutcome::Send(Box::new(prepared)))
    }

    /// Refuses what can be refused once channel and sender are known, and the length if it is
    /// declared.
    fn admit(
        &self,
        caller: &AuthenticatedCaller,
        rules: &UploadRules,
        upload: &ParsedUpload,
    ) -> Result<(), Error> {
        let UploadMetadata {
            channel, sender, ..
        } = &upload.metadata;
        self.enforce(self.policy.check_channel(channel, &caller.channels))?;
        if let Some(length) = upload.declared {
            let limit = rules.size_limit(channel, sender.direction(), None);
            rules.enforced(limit).check(length)?;
        }
        Ok(())
    }

    /// Checks the file's type, name and length.
    async fn measure(
        &self,
        caller: &AuthenticatedCaller,
        rules: &UploadRules,
        upload: ParsedUpload,
        ahead: LookAhead,
        metrics: &mut UploadMetrics,
    ) -> Result<PreparedUpload, Error> {
        let inspected = self.inspect(rules, &upload, &ahead)?;
        let metadata = upload.metadata.clone();
        let wants_sum = upload.wants_sum();
        let sum = upload.sum.clone();
        let direction = metadata.sender.direction();
        let limit = rules.size_limit(&metadata.channel, direction, Some(inspected.kind));
        let lengths = LengthResolver {
            caller: &caller.id,
            spools: &self.spools,
            limit: rules.enforced(limit),
            look_ahead: self.config.look_ahead,
        };
        let file = lengths.resolve(upload, ahead).await?;
        metrics.measured(file.source);
        lengths.limit.check(file.length)?;
        // The same limit again, except where violations of the policy are only reported.
        self.enforce(limit.check(file.length))?;
        Ok(PreparedUpload {
            principal: Principal::from(caller),
            metadata,
            name: inspected.name,
            content_type: inspected.content_type,
            file,
            wants_sum,
            sum,
            guard: None,
            timing: UploadTiming::default(),
        })
    }

    /// From the signed URL to the receipt.
    async fn finish(
        &self,
        prepared: PreparedUpload,
        mut metrics: UploadMetrics,
    ) -> Result<UploadReceipt, Error> {
        let outcome = self.store(prepared).await;
        if let Ok(receipt) = &outcome {
            // A guess that was corrected is spooled now.
            metrics.measured(receipt.length_source);
        }
        metrics.end(outcome.as_ref().err());
        outcome
    }

    async fn store(&self, prepared: PreparedUpload) -> Result<UploadReceipt, Error> {
        let PreparedUpload {
            metadata,
            name,
            content_type,
            mut file,
            mut timing,
            ..
        } = prepared;
        let labels = ["upload", self.label(&metadata.channel)];
        let mut job = StoreJob {
            asset: NewAsset {
                principal: &prepared.principal,
                channel: &metadata.channel,
                sender: metadata.sender,
                name: &name,
                size: file.length,
            },
            content_type: &content_type,
            file: &mut file,
            sent_bytes: self.metrics.transfer_bytes.with_label_values(&labels),
        };
        let stored = self.file_store.store(&mut job, &mut timing).await?;
        let sum = prepared.sum.and_then(|slot| slot.get().copied());
        let receipt = UploadReceipt {
            id: stored.id,
            name: stored.other_name.unwrap_or(name),
            content_type,
            size: file.length,
            channel: metadata.channel,
            sender: metadata.sender,
            length_source: file.source,
            sha256: sum.filter(|_| prepared.wants_sum).map(hex::encode),
            timing,
        };
        // What stays for a day shouldn't be allocated among buffers that go.
        drop(file);
        if let (Some(guard), Some(sum)) = (prepared.guard, sum) {
            guard.complete(&receipt, sum);
        }
        Ok(receipt)
    }

    /// The value of the `channel` label: a channel's name from the settings, never the caller's.
    fn label(&self, channel: &str) -> &str {
        self.policy.known_channel(channel).unwrap_or("other")
    }

    /// What a caller may send to the channel that a request's query names, or that the caller is
    /// bound to.
    ///
    /// # Errors
    /// As for an upload: fields that are wrong, another caller's channel, a closed account.
    pub async fn allowance(
        &self,
        caller: &Arc<AuthenticatedCaller>,
        head: &Parts,
    ) -> Result<EffectiveRules, Error> {
        let rules = self.rules(caller).await?;
        let caller = rules.bind(caller);
        let metadata = UploadFields::of_query(head)?.into_metadata(&caller, Stage::Admit)?;
        self.policy
            .check_channel(&metadata.channel, &caller.channels)?;
        Ok(rules.effective(&metadata.channel, metadata.sender))
    }

    /// The rules for this caller. Those of its account are in memory once the account was seen.
    async fn rules(&self, caller: &AuthenticatedCaller) -> Result<UploadRules, Error> {
        let live = match &caller.account {
            Some(account) => Some(self.live_rules.channel_of(account).await?),
            None => None,
        };
        let policy = self.policy.clone();
        let limit = self.config.size_limit;
        Ok(UploadRules::new(policy, limit, live))
    }

    /// What the file is, what it will be called, and whether it may be sent at all.
    fn inspect(
        &self,
        rules: &UploadRules,
        upload: &ParsedUpload,
        ahead: &LookAhead,
    ) -> Result<InspectedFile, Error> {
        let head = ahead.head(self.config.look_ahead as usize);
        let name = upload.name();
        let sniffed = sniff(&head, ahead.ended, upload.explicit_type.as_deref(), name);
        let agreed = agree(name, &sniffed);
        let UploadMetadata {
            channel, sender, ..
        } = &upload.metadata;
        self.enforce(rules.check(&sniffed, &agreed, channel, sender.direction()))?;
        Ok(InspectedFile {
            name: agreed.name,
            content_type: sniffed.content_type(),
            kind: MediaKind::of(sniffed.essence()),
        })
    }

    /// The verdict, except that a refusal is only counted and logged with `policy.report_only`.
    fn enforce(&self, verdict: Result<(), Error>) -> Result<(), Error> {
        let Err(error) = verdict else {
            return Ok(());
        };
        if !self.policy.report_only {
            return Err(error);
        }
        self.metrics
            .rejected
            .with_label_values(&["would_reject"])
            .inc();
        tracing::warn!(
            code = error.code().name(),
            detail = error.detail(),
            "policy violation (report only)"
        );
        Ok(())
    }
}

/// What follows from a request that is in order.
enum PrepareOutcome {
    /// A file to send.
    Send(Box<PreparedUpload>),
    /// The receipt of an earlier upload with the same key.
    Replay(Box<UploadReceipt>),
}

/// A file that may be sent.
struct PreparedUpload {
    principal: Principal,
    metadata: UploadMetadata,
    name: String,
    content_type: String,
    file: SizedFile,
    wants_sum: bool,
    sum: Option<DigestSlot>,
    guard: Option<IdempotencyGuard>,
    timing: UploadTiming,
}

/// What a file is, by its bytes, and the name that agrees with them.
struct InspectedFile {
    name: String,
    content_type: String,
    kind: MediaKind,
}

/// Reads the first bytes of the file. A raw body that begins as a form is parsed as one, and the
/// file is the one inside it.
async fn look_ahead(
    mut upload: ParsedUpload,
    context: &ParseContext<'_>,
) -> Result<(ParsedUpload, LookAhead), Error> {
    let limit = context.look_ahead;
    let mut ahead = LookAhead::default();
    ahead.fill(&mut upload.body, limit).await?;
    let Some(boundary) = upload.form_inside(&ahead.head(limit as usize))? else {
        return Ok((upload, ahead));
    };
    let mut upload = upload.reparse_as_form(boundary, ahead, context).await?;
    let mut ahead = LookAhead::default();
    ahead.fill(&mut upload.body, limit).await?;
    Ok((upload, ahead))
}

/// The first receipt, once it is certain that this is the same file.
async fn replay_receipt(
    upload: ParsedUpload,
    first: &IdempotencyRecord,
    context: &ParseContext<'_>,
) -> Result<UploadReceipt, Error> {
    // A declared digest was compared with the record's, so the file needn't be read.
    if upload.digest.expected.is_some() {
        return Ok(first.receipt(upload.wants_sum()));
    }
    let (mut upload, ahead) = look_ahead(upload, context).await?;
    let mut length = ahead.length();
    while let Some(frame) = upload.body.frame().await {
        if let Some(data) = frame?.data_ref() {
            length += data.len() as u64;
        }
        // The file is stored already, so today's rules for it don't matter: this only bounds what
        // is read.
        context.settings_limit.check(length)?;
    }
    let sum = upload.sum.as_ref().and_then(|slot| slot.get());
    if first.has_sum(sum) {
        Ok(first.receipt(upload.wants_sum()))
    } else {
        Err(another_file())
    }
}

fn panicked() -> Error {
    let detail = "the gateway has a defect: report it with the request id; trying again may help";
    Error::gateway(ErrorCode::Internal, Stage::Store, detail).with_retryable(true)
}
