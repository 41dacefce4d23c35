//! A file on its way in: written as it comes, known only once it is whole.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::{Asset, AssetStore, State};

/// A file on its way in. Dropped before it is finished, it leaves nothing.
pub(in crate::sandbox) struct FileWriter {
    file: File,
    digest: Sha256,
    received: Arc<AtomicU64>,
    slot: Slot,
}

impl FileWriter {
    /// Begins the file of an asset that waits for it no more.
    pub(super) async fn begin(
        shelf: Arc<AssetStore>,
        id: &str,
        received: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let path = shelf.path(id);
        let slot = Slot {
            shelf,
            id: id.to_owned(),
        };
        let file = File::create(path).await?;
        Ok(Self {
            file,
            digest: Sha256::new(),
            received,
            slot,
        })
    }

    pub(in crate::sandbox) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received.fetch_add(bytes.len() as u64, Relaxed);
        self.digest.update(bytes);
        self.file.write_all(bytes).await
    }

    pub(in crate::sandbox) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Makes the asset whole; false when it was deleted in the meantime.
    pub(in crate::sandbox) async fn finish(mut self) -> io::Result<bool> {
        self.file.flush().await?;
        let digest = self
            .digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let whole = State::Whole {
            digest,
            since: SystemTime::now(),
        };
        Ok(self
            .slot
            .shelf
            .assets
            .lock()
            .get_mut(&self.slot.id)
            .map(|asset| asset.state = whole)
            .is_some())
    }
}

/// The place of a file on its way in, which is empty again unless the file became whole.
struct Slot {
    shelf: Arc<AssetStore>,
    id: String,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut assets = self.shelf.assets.lock();
        match assets.get_mut(&self.id) {
            Some(Asset {
                state: State::Whole { .. },
                ..
            }) => return,
            Some(asset) => asset.state = State::Broken,
            None => {}
        }
        drop(assets);
        self.shelf.unlink(&self.id);
    }
}
