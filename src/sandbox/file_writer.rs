//! A file on its way in: written as it arrives, stored only once it is complete.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::HeaderValue;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::asset_store::{AssetStore, StoreRefusal};

/// A file on its way in. Dropped before it is finished, it leaves nothing.
pub(super) struct FileWriter {
    file: File,
    digest: Sha256,
    received: Arc<AtomicU64>,
    upload: UploadGuard,
}

impl FileWriter {
    /// Opens the file of an asset, once, for the upload that has its ticket.
    pub(super) async fn open(
        store: &Arc<AssetStore>,
        id: &str,
        ticket: Uuid,
    ) -> io::Result<Result<Self, StoreRefusal>> {
        let received = match store.begin_upload(id, ticket) {
            Ok(received) => received,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let upload = UploadGuard {
            store: Arc::clone(store),
            id: id.to_owned(),
        };
        let file = File::create(store.path(id)).await?;
        Ok(Ok(Self {
            file,
            digest: Sha256::new(),
            received,
            upload,
        }))
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received.fetch_add(bytes.len() as u64, Relaxed);
        self.digest.update(bytes);
        self.file.write_all(bytes).await
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Completes the asset; false when it was deleted in the meantime.
    pub(super) async fn finish(mut self, content_type: HeaderValue) -> io::Result<bool> {
        self.file.flush().await?;
        let digest = hex::encode(self.digest.finalize());
        let UploadGuard { store, id } = &self.upload;
        Ok(store.complete(id, digest, content_type))
    }
}

/// Ends an upload when it is dropped: what isn't complete by then is removed.
struct UploadGuard {
    store: Arc<AssetStore>,
    id: String,
}

impl Drop for UploadGuard {
    fn drop(&mut self) {
        self.store.end_upload(&self.id);
    }
}
