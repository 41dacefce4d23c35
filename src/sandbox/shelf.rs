//! The assets that exist, and their files in a folder that goes away with the stand-in.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::declaration::Declaration;
use super::types;

/// An asset as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetView {
    /// 36 characters.
    pub id: String,
    /// As declared.
    pub name: String,
    /// Bytes, as declared.
    pub size: u64,
    /// What the name's extension stands for.
    pub content_type: &'static str,
    /// The type of channel it was created for.
    pub channel: String,
    /// The type of sender it was created by.
    pub sender: String,
    /// Whether the whole file is stored.
    pub complete: bool,
    /// Bytes that storage has read of it, also while it is still reading.
    pub received: u64,
}

/// A file that is all there.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) content_type: &'static str,
    /// Hexadecimal SHA-256 of the bytes.
    pub(super) digest: String,
    pub(super) since: SystemTime,
}

/// Why a file can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    Unknown,
    Used,
}

#[derive(Debug)]
struct Asset {
    declared: Declaration,
    ticket: Uuid,
    received: Arc<AtomicU64>,
    state: State,
}

/// An upload happens once: a file that broke off isn't waited for again.
#[derive(Debug)]
enum State {
    Awaited,
    Arriving,
    Broken,
    Whole { digest: String, since: SystemTime },
}

#[derive(Debug)]
pub(super) struct Shelf {
    folder: TempDir,
    assets: Mutex<HashMap<String, Asset>>,
}

impl Shelf {
    pub(super) fn in_temporary_folder() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("egain-sandbox-").tempdir()?;
        Ok(Self { folder, assets: Mutex::default() })
    }

    /// Waits for the file of a new asset, which the signature `ticket` may bring.
    pub(super) fn expect(&self, id: String, declared: Declaration, ticket: Uuid) {
        let asset = Asset { declared, ticket, received: Arc::default(), state: State::Awaited };
        self.assets.lock().insert(id, asset);
    }

    pub(super) fn view(&self, id: &str) -> Option<AssetView> {
        self.assets.lock().get(id).map(|asset| asset.view(id))
    }

    pub(super) fn all(&self) -> Vec<AssetView> {
        self.assets.lock().iter().map(|(id, asset)| asset.view(id)).collect()
    }

    pub(super) fn stored(&self, id: &str) -> Option<Stored> {
        let assets = self.assets.lock();
        let asset = assets.get(id)?;
        let State::Whole { digest, since } = &asset.state else { return None };
        Some(Stored {
            path: self.path(id),
            size: asset.declared.size,
            content_type: types::of_name(&asset.declared.name),
            digest: digest.clone(),
            since: *since,
        })
    }

    /// Opens the file of an asset, once, for whoever has its ticket.
    pub(super) async fn open(self: &Arc<Self>, id: &str, ticket: Uuid) -> io::Result<Result<Intake, Closed>> {
        let received = match self.admit(id, ticket) {
            Ok(received) => received,
            Err(closed) => return Ok(Err(closed)),
        };
        let slot = Slot { shelf: Arc::clone(self), id: id.to_owned() };
        let file = File::create(self.path(id)).await?;
        Ok(Ok(Intake { file, digest: Sha256::new(), received, slot }))
    }

    fn admit(&self, id: &str, ticket: Uuid) -> Result<Arc<AtomicU64>, Closed> {
        let mut assets = self.assets.lock();
        let asset = assets.get_mut(id).ok_or(Closed::Unknown)?;
        if asset.ticket != ticket || !matches!(asset.state, State::Awaited) {
            return Err(Closed::Used);
        }
        asset.state = State::Arriving;
        Ok(Arc::clone(&asset.received))
    }

    /// Whether there was such an asset. A download that is running goes on.
    pub(super) fn remove(&self, id: &str) -> bool {
        let existed = self.assets.lock().remove(id).is_some();
        self.unlink(id);
        existed
    }

    pub(super) fn clear(&self) {
        let ids: Vec<String> = self.assets.lock().drain().map(|(id, _)| id).collect();
        ids.iter().for_each(|id| self.unlink(id));
    }

    /// Where the file of an asset is or would be. Ids are ours: no path can hide in one.
    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.folder.path().join(Path::new(id).file_name().unwrap_or_default())
    }

    /// Often there is nothing to unlink, and the folder goes in the end anyway.
    fn unlink(&self, id: &str) {
        let _ = std::fs::remove_file(self.path(id));
    }
}

impl Asset {
    fn view(&self, id: &str) -> AssetView {
        let Declaration { channel, sender, name, size } = self.declared.clone();
        AssetView {
            id: id.to_owned(),
            content_type: types::of_name(&name),
            name,
            size,
            channel,
            sender,
            complete: matches!(self.state, State::Whole { .. }),
            received: self.received.load(Relaxed),
        }
    }
}

/// A file on its way in. Dropped before it is finished, it leaves nothing.
pub(super) struct Intake {
    file: File,
    digest: Sha256,
    received: Arc<AtomicU64>,
    slot: Slot,
}

impl Intake {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received.fetch_add(bytes.len() as u64, Relaxed);
        self.digest.update(bytes);
        self.file.write_all(bytes).await
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Makes the asset whole; false when it was deleted in the meantime.
    pub(super) async fn finish(mut self) -> io::Result<bool> {
        self.file.flush().await?;
        let digest = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let whole = State::Whole { digest, since: SystemTime::now() };
        Ok(self.slot.shelf.assets.lock().get_mut(&self.slot.id).map(|asset| asset.state = whole).is_some())
    }
}

/// The place of a file on its way in, which is empty again unless the file became whole.
struct Slot {
    shelf: Arc<Shelf>,
    id: String,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut assets = self.shelf.assets.lock();
        match assets.get_mut(&self.id) {
            Some(Asset { state: State::Whole { .. }, .. }) => return,
            Some(asset) => asset.state = State::Broken,
            None => {}
        }
        drop(assets);
        self.shelf.unlink(&self.id);
    }
}
