//! From a judged file to a stored one: sign, send, confirm.
//!
//! The signed URL is asked for as late as possible, as it may live for a minute only. A send that
//! storage refused or broke is repeated once with a fresh URL, while every byte is still here. So
//! is one whose length was guessed wrong, with the right one.

use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tracing::Span;

use super::length::SizedFile;
use crate::body::BoxBody;
use crate::body::exact_length::ExactLengthBody;
use crate::body::in_span::InSpan;
use crate::body::observed::ObservedBody;
use crate::egain::{EgainClient, NewAsset, OrphanQueue};
use crate::storage::{PutPayload, StorageClient};
use crate::types::asset::AssetId;
use crate::types::error::{Blame, Error, ErrorCode};

/// When a caller may try again what storage didn't take.
const STORAGE_PAUSE: Duration = Duration::from_secs(2);

/// Where files go.
#[derive(Clone)]
pub struct FileStore {
    /// Gives signed URLs.
    pub egain: EgainClient,
    /// Takes the bytes.
    pub storage: StorageClient,
    /// Takes what isn't kept.
    pub orphans: OrphanQueue,
}

/// A judged file.
pub struct StoreJob<'a> {
    /// What eGain is told of it.
    pub asset: NewAsset<'a>,
    /// Its MIME type.
    pub content_type: &'a str,
    /// Its bytes.
    pub file: &'a mut SizedFile,
    /// Counts those that are sent.
    pub bytes: IntCounter,
}

/// A file that storage has confirmed.
pub struct StoredAsset {
    /// Its id at eGain.
    pub id: AssetId,
    /// Its name, where eGain refused the one that it was given.
    pub other_name: Option<String>,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default)]
pub struct UploadTiming {
    /// Reading the look-ahead, or the whole file.
    pub read: Duration,
    /// Queueing for the allowance of calls.
    pub budget: Duration,
    /// eGain's answer.
    pub sign: Duration,
    /// Sending, until storage's confirmation.
    pub store: Duration,
}

impl FileStore {
    /// Stores the file; the asset is whole in storage when this succeeds, and handed over for
    /// deletion when it fails or is dropped. Where its length was a wrong guess, the file has the
    /// right one afterwards.
    pub async fn deliver(
        &self,
        consignment: &mut StoreJob<'_>,
        timing: &mut UploadTiming,
    ) -> Result<StoredAsset, Error> {
        let mut body = consignment
            .file
            .file
            .body()
            .expect("nothing was taken from the caller yet but what is here");
        let mut has_replayed = false;
        loop {
            let fault = match self.attempt(consignment, body, timing).await {
                Err(fault) => fault,
                done => return done,
            };
            if fault.code() == ErrorCode::FramingMispredicted {
                if !consignment.file.correct().await? {
                    return Err(fault);
                }
            } else if has_replayed || fault.blame() != Blame::Storage {
                return Err(come_back(fault));
            } else {
                has_replayed = true;
            }
            let Some(again) = consignment.file.file.body() else {
                return Err(come_back(fault));
            };
            tracing::info!(
                code = fault.code().name(),
                detail = fault.detail(),
                "sends once more with a fresh signed URL"
            );
            body = again;
        }
    }

    async fn attempt(
        &self,
        consignment: &StoreJob<'_>,
        body: BoxBody,
        timing: &mut UploadTiming,
    ) -> Result<StoredAsset, Error> {
        let StoreJob {
            asset,
            content_type,
            file,
            bytes,
        } = consignment;
        let asset = NewAsset {
            size: file.length,
            ..*asset
        };
        self.storage.expect_file();
        let began = Instant::now();
        let created = self.egain.create_asset(&asset, &self.orphans).await?;
        timing.budget += created.queued;
        timing.sign += began.elapsed().saturating_sub(created.queued);
        let url = self.storage.admit(&created.content_url)?;
        let body = ObservedBody::new(
            ExactLengthBody::new(body, file.length, file.on_mismatch()),
            bytes.clone(),
        );
        let body = InSpan::new(body, Span::current());
        let began = Instant::now();
        let sent = self
            .storage
            .send(
                &url,
                PutPayload {
                    content_type,
                    length: file.length,
                    body,
                },
            )
            .await;
        timing.store += began.elapsed();
        sent.map(|()| StoredAsset {
            id: created.asset.keep(),
            other_name: created.other_name,
        })
    }
}

/// What can't be sent again from here may be sent again by the caller.
fn come_back(fault: Error) -> Error {
    if fault.blame() == Blame::Storage {
        fault.retry_after(STORAGE_PAUSE)
    } else {
        fault
    }
}
