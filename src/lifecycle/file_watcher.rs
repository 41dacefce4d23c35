//! Tells that files have changed, by looking at them every now and then.
//!
//! Their bytes are compared, not their times: a mounted secret is swapped by a link, copies keep
//! the time of what they copy, and notifications don't reach every kind of mount.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// More of a file isn't looked at, in case it is a device.
const LOOKED_AT: u64 = 1 << 20;

/// Files that are small and belong together, and what they held at the last look.
#[derive(Debug)]
pub struct FileWatcher {
    paths: Vec<PathBuf>,
    seen: Vec<Option<[u8; 32]>>,
}

impl FileWatcher {
    /// From what they hold now: to be made before they are read, so that no change is missed.
    pub fn of(paths: Vec<PathBuf>) -> Self {
        let seen = paths.iter().map(|path| sum(path)).collect();
        Self { paths, seen }
    }

    /// Waits until they hold something else, and the same at two looks: somebody may be in the
    /// middle of writing them. A file that vanishes or can't be read has changed, too.
    pub async fn next(&mut self) {
        let mut last = None;
        loop {
            sleep(EVERY).await;
            let now = self.look().await;
            if now != self.seen && last.as_ref() == Some(&now) {
                self.seen = now;
                return;
            }
            last = Some(now);
        }
    }

    async fn look(&self) -> Vec<Option<[u8; 32]>> {
        let paths = self.paths.clone();
        let sums = spawn_blocking(move || paths.iter().map(|path| sum(path)).collect());
        sums.await.unwrap_or_else(|_| self.seen.clone())
    }
}

fn sum(path: &Path) -> Option<[u8; 32]> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(LOOKED_AT)
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
    async fn a_change_is_told_once_and_a_vanished_file_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&paths[0], "1").unwrap();
        let mut changes = FileWatcher::of(paths.to_vec());
        assert!(timeout(LONG, changes.next()).await.is_err());
        for text in [Some("2"), None] {
            text.map_or_else(
                || fs::remove_file(&paths[0]),
                |text| fs::write(&paths[0], text),
            )
            .unwrap();
            assert!(timeout(LONG, changes.next()).await.is_ok());
            assert!(timeout(LONG, changes.next()).await.is_err());
        }
        fs::write(&paths[1], "").unwrap();
        assert!(
            timeout(LONG, changes.next()).await.is_ok(),
            "an empty file is more than none"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_still_being_written_is_waited_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_path_buf();
        let mut changes = FileWatcher::of(vec![path.clone()]);
        let writing = async {
            for length in 1..20 {
                fs::write(&path, "x".repeat(length)).unwrap();
                sleep(EVERY / 2).await;
            }
        };
        tokio::select! {
            () = changes.next() => panic!("it was told in the middle"),
            () = writing => {}
        }
        assert!(timeout(LONG, changes.next()).await.is_ok());
    }
}
