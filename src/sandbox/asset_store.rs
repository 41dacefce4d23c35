//! The assets that exist, and their files in a folder that goes away with the stand-in.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use http::HeaderValue;
use parking_lot::Mutex;
use tempfile::TempDir;
use uuid::Uuid;

use super::asset_view::AssetView;
use super::create_asset::CreateAssetBody;
use super::types;

/// A file that is all there.
#[derive(Debug)]
pub(super) struct StoredFile {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    /// As the upload declared it: storage stores it unchecked.
    pub(super) content_type: HeaderValue,
    /// Hexadecimal SHA-256 of the bytes.
    pub(super) digest: String,
    pub(super) since: SystemTime,
}

/// Why a file can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreRefusal {
    Unknown,
    Used,
}

#[derive(Debug)]
struct Asset {
    declared: CreateAssetBody,
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
    Whole {
        digest: String,
        content_type: HeaderValue,
        since: SystemTime,
    },
}

#[derive(Debug)]
pub(super) struct AssetStore {
    folder: TempDir,
    assets: Mutex<HashMap<String, Asset>>,
}

impl AssetStore {
    pub(super) fn in_temporary_folder() -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("egain-sandbox-")
            .tempdir()?;
        Ok(Self {
            folder,
            assets: Mutex::default(),
        })
    }

    /// Waits for the file of a new asset, which the signature `ticket` may bring.
    pub(super) fn expect(&self, id: String, declared: CreateAssetBody, ticket: Uuid) {
        let asset = Asset {
            declared,
            ticket,
            received: Arc::default(),
            state: State::Awaited,
        };
        self.assets.lock().insert(id, asset);
    }

    pub(super) fn view(&self, id: &str) -> Option<AssetView> {
        self.assets.lock().get(id).map(|asset| asset.view(id))
    }

    pub(super) fn all(&self) -> Vec<AssetView> {
        self.assets
            .lock()
            .iter()
            .map(|(id, asset)| asset.view(id))
            .collect()
    }

    pub(super) fn stored(&self, id: &str) -> Option<StoredFile> {
        let assets = self.assets.lock();
        let asset = assets.get(id)?;
        let State::Whole {
            digest,
            content_type,
            since,
        } = &asset.state
        else {
            return None;
        };
        Some(StoredFile {
            path: self.path(id),
            size: asset.declared.size,
            content_type: content_type.clone(),
            digest: digest.clone(),
            since: *since,
        })
    }

    /// Lets the one upload that has the ticket begin; its count of received bytes.
    pub(super) fn begin_upload(
        &self,
        id: &str,
        ticket: Uuid,
    ) -> Result<Arc<AtomicU64>, StoreRefusal> {
        let mut assets = self.assets.lock();
        let asset = assets.get_mut(id).ok_or(StoreRefusal::Unknown)?;
        if asset.ticket != ticket || !matches!(asset.state, State::Awaited) {
            return Err(StoreRefusal::Used);
        }
        asset.state = State::Arriving;
        Ok(Arc::clone(&asset.received))
    }

    /// Stores what makes the file complete; false when the asset was deleted in the meantime.
    pub(super) fn complete(&self, id: &str, digest: String, content_type: HeaderValue) -> bool {
        let mut assets = self.assets.lock();
        let Some(asset) = assets.get_mut(id) else {
            return false;
        };
        asset.state = State::Whole {
            digest,
            content_type,
            since: SystemTime::now(),
        };
        true
    }

    /// Forgets the bytes of an upload that has ended, unless it is complete.
    pub(super) fn end_upload(&self, id: &str) {
        let mut assets = self.assets.lock();
        if let Some(asset) = assets.get_mut(id) {
            if matches!(asset.state, State::Whole { .. }) {
                return;
            }
            asset.state = State::Broken;
        }
        drop(assets);
        self.unlink(id);
    }

    /// Whether there was such an asset. A download that is running goes on.
    pub(super) fn remove(&self, id: &str) -> bool {
        let existed = self.assets.lock().remove(id).is_some();
        self.unlink(id);
        existed
    }

    pub(super) fn clear(&self) {
        let assets = std::mem::take(&mut *self.assets.lock());
        for id in assets.keys() {
            self.unlink(id);
        }
    }

    /// Where the file of an asset is or would be. Ids are ours: no path can hide in one.
    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.folder
            .path()
            .join(Path::new(id).file_name().unwrap_or_default())
    }

    /// Often there is nothing to unlink, and the folder goes in the end anyway.
    fn unlink(&self, id: &str) {
        let _ = std::fs::remove_file(self.path(id));
    }
}

impl Asset {
    fn view(&self, id: &str) -> AssetView {
        let CreateAssetBody {
            channel,
            sender,
            name,
            size,
        } = self.declared.clone();
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
