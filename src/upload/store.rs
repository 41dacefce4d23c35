//! Stores a checked file: signed URL, send, confirmation.
//!
//! The presigned URL is requested as late as possible, as it may be valid for a minute only. A send
//! that storage refused or broke is retried once with a new URL, while every byte is still here.
//! So is one whose length was guessed wrong, with the right one.

use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::length::SizedFile;
use super::pipeline;
use super::receipt::UploadTiming;
use crate::body::BoxBody;
use crate::egain::{EgainClient, NewAsset, OrphanQueue};
use crate::storage::{PutPayload, StorageClient};
use crate::types::asset::AssetId;
use crate::types::error::{Blame, Error, ErrorCode};

/// When a caller may retry what storage didn't take.
const STORAGE_PAUSE: Duration = Duration::from_secs(2);

/// Where files go.
#[derive(Clone)]
pub struct FileStore {
    /// Gives signed URLs.
    pub egain: EgainClient,
    /// Takes the bytes.
    pub storage: StorageClient,
    /// Takes the assets that aren't committed.
    pub orphans: OrphanQueue,
}

/// A file to store.
pub struct StoreJob<'a> {
    /// What the create call tells eGain.
    pub asset: NewAsset<'a>,
    /// Its MIME type.
    pub content_type: &'a str,
    /// Its bytes.
    pub file: &'a mut SizedFile,
    /// Counts the bytes that are sent.
    pub sent_bytes: IntCounter,
}

/// A file that storage has confirmed.
pub struct StoredAsset {
    /// Its id at eGain.
    pub id: AssetId,
    /// Its name, where eGain refused the one that it was given.
    pub other_name: Option<String>,
}

impl FileStore {
    /// Stores the file. The asset is complete in storage when this succeeds, and queued for
    /// deletion when it fails or is dropped. Where its length was a wrong guess, the file has the
    /// right one afterwards.
    pub async fn store(
        &self,
        job: &mut StoreJob<'_>,
        timing: &mut UploadTiming,
    ) -> Result<StoredAsset, Error> {
        let first = job.file.file.body();
        let mut body = first.expect("only the look-ahead was read so far, and all of it is here");
        let mut has_replayed = false;
        loop {
            let error = match self.attempt(job, body, timing).await {
                Ok(stored) => return Ok(stored),
                Err(error) => error,
            };
            if error.code() == ErrorCode::FramingMispredicted {
                if !job.file.correct().await? {
                    return Err(error);
                }
            } else if has_replayed || error.blame() != Blame::Storage {
                return Err(with_pause(error));
            } else {
                has_replayed = true;
            }
            let Some(again) = job.file.file.body() else {
                return Err(with_pause(error));
            };
            tracing::info!(
                code = error.code().name(),
                detail = error.detail(),
                "retrying upload with a new signed URL"
            );
            body = again;
        }
    }

    async fn attempt(
        &self,
        job: &StoreJob<'_>,
        body: BoxBody,
        timing: &mut UploadTiming,
    ) -> Result<StoredAsset, Error> {
        let length = job.file.length;
        // A corrected guess gives the retry another length than the first attempt.
        let asset = NewAsset {
            size: length,
            ..job.asset
        };
        self.storage.expect_file();
        let began = Instant::now();
        let created = self.egain.create_asset(&asset, &self.orphans).await?;
        timing.budget += created.queued;
        timing.sign += began.elapsed().saturating_sub(created.queued);
        let url = self.storage.admit(&created.content_url)?;
        let payload = PutPayload {
            content_type: job.content_type,
            length,
            body: pipeline::for_storage(body, job.file, job.sent_bytes.clone()),
        };
        let began = Instant::now();
        let sent = self.storage.send(&url, payload).await;
        timing.store += began.elapsed();
        sent?;
        Ok(StoredAsset {
            id: created.asset.commit(),
            other_name: created.other_name,
        })
    }
}

/// What can't be sent again from here may be sent again by the caller.
fn with_pause(error: Error) -> Error {
    if error.blame() == Blame::Storage {
        error.with_retry_after(STORAGE_PAUSE)
    } else {
        error
    }
}
