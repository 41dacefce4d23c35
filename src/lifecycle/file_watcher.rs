//! Polls files for changes, so that they can be reloaded.
//!
//! It compares bytes, not modification times: a mounted secret is replaced through a link, copies
//! keep the time of their original, and notifications don't work on every kind of mount.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a file that are compared; a device has no end.
const MAX_BYTES: u64 = 1 << 20;

/// Small files that belong together, and their digests at the last poll.
#[derive(Debug)]
pub struct FileWatcher {
    paths: Vec<PathBuf>,
    seen: Vec<Option<[u8; 32]>>,
}

impl FileWatcher {
    /// Remembers their current content. Make it before the files are read, so that no change is
    /// missed.
    pub fn of(paths: Vec<PathBuf>) -> Self {
        let seen = paths.iter().map(|path| digest(path)).collect();
        Self { paths, seen }
    }

    /// Waits until their content has changed and is the same at two polls: before that, somebody
    /// may still be writing them. A file that vanishes or can't be read has changed, too.
    pub async fn next(&mut self) {
        let mut last = None;
        loop {
            sleep(POLL_INTERVAL).await;
            let now = self.digests().await;
            if now != self.seen && last.as_ref() == Some(&now) {
                self.seen = now;
                return;
            }
            last = Some(now);
        }
    }

    async fn digests(&self) -> Vec<Option<[u8; 32]>> {
        let paths = self.paths.clone();
        let digests = spawn_blocking(move || paths.iter().map(|path| digest(path)).collect());
        match digests.await {
            Ok(digests) => digests,
            Err(_panicked) => self.seen.clone(),
        }
    }
}

fn digest(path: &Path) -> Option<[u8; 32]> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_change_or_removal_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&paths[0], "1").unwrap();
        let mut watcher = FileWatcher::of(paths.to_vec());
        assert!(timeout(LONG, watcher.next()).await.is_err());
        for text in [Some("2"), None] {
            text.map_or_else(
                || fs::remove_file(&paths[0]),
                |text| fs::write(&paths[0], text),
            )
            .unwrap();
            assert!(timeout(LONG, watcher.next()).await.is_ok());
            assert!(timeout(LONG, watcher.next()).await.is_err());
        }
        fs::write(&paths[1], "").unwrap();
        assert!(
            timeout(LONG, watcher.next()).await.is_ok(),
            "an empty file is more than none"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_still_being_written_is_not_reported() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_path_buf();
        let mut watcher = FileWatcher::of(vec![path.clone()]);
        let writing = async {
            for length in 1..20 {
                fs::write(&path, "x".repeat(length)).unwrap();
                sleep(POLL_INTERVAL / 2).await;
            }
        };
        tokio::select! {
            () = watcher.next() => panic!("it was reported in the middle"),
            () = writing => {}
        }
        assert!(timeout(LONG, watcher.next()).await.is_ok());
    }
}
