//! Unlinked temporary files, written and read on a few threads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::body::compact::BLOCK;

/// How many threads wait for the disk at one time. The runtime's 512 blocking threads also serve
/// name lookups, which a disk that hangs must not stop.
const THREADS: usize = 16;
/// Bytes that are read at once: as many as are written.
const READ: usize = BLOCK;

/// Where temporary files are made.
#[derive(Clone)]
pub(super) struct SpoolDisk {
    dir: PathBuf,
    threads: Arc<Semaphore>,
}

/// The first bytes of a file, up to `end`, read from the first on. It has an offset of its own, so
/// others may read or write the file at the same time.
pub struct DiskFile {
    disk: SpoolDisk,
    file: Arc<File>,
    offset: u64,
    end: u64,
}

impl SpoolDisk {
    /// Files will be made in this folder.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            threads: Arc::new(Semaphore::new(THREADS)),
        }
    }

    /// Writes at this offset of the file, which is created if there is none yet.
    pub(super) async fn write(
        self,
        file: Option<Arc<File>>,
        chunks: Vec<Bytes>,
        mut offset: u64,
    ) -> io::Result<Arc<File>> {
        let dir = self.dir.clone();
        let work = move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile_in(dir)?),
            };
            for chunk in chunks {
                file.write_all_at(&chunk, offset)?;
                offset += chunk.len() as u64;
            }
            Ok(file)
        };
        self.run(work).await
    }

    /// Reads the file's first bytes, up to `end`.
    pub(super) fn read(&self, file: Arc<File>, end: u64) -> DiskFile {
        DiskFile {
            disk: self.clone(),
            file,
            offset: 0,
            end,
        }
    }

    /// Runs `work` on one of the threads. A thread that hangs holds its permit, also when its
    /// caller has stopped waiting for it.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let permit = self
            .threads
            .clone()
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        task.await.map_err(io::Error::other).flatten()
    }
}

impl DiskFile {
    /// The next piece, or None at the end.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let file = self.file.clone();
        let offset = self.offset;
        let most = (self.end - offset).min(READ as u64) as usize;
        if most == 0 {
            return Ok(None);
        }
        let piece = self
            .disk
            .run(move || read_piece(&file, offset, most))
            .await?;
        self.offset += piece.len() as u64;
        Ok(Some(piece))
    }
}

fn read_piece(file: &File, offset: u64, most: usize) -> io::Result<Bytes> {
    let mut piece = vec![0; most];
    file.read_exact_at(&mut piece, offset)?;
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn two_readers_share_a_file_on_disk() {
        let disk = SpoolDisk::new(std::env::temp_dir());
        let file = disk
            .clone()
            .write(
                None,
                vec![Bytes::from_static(b"abc"), Bytes::from_static(b"def")],
                0,
            )
            .await
            .unwrap();
        let (mut first, mut second) = (disk.read(file.clone(), 6), disk.read(file, 4));
        assert_eq!(first.next().await.unwrap().unwrap(), "abcdef");
        assert_eq!(second.next().await.unwrap().unwrap(), "abcd");
        assert_eq!(
            (first.next().await.unwrap(), second.next().await.unwrap()),
            (None, None)
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_disk_that_hangs_takes_only_its_own_threads() {
        let disk = SpoolDisk::new(std::env::temp_dir());
        let (release, hanging) = std::sync::mpsc::sync_channel::<()>(1);
        let hanging = Arc::new(parking_lot::Mutex::new(hanging));
        let mut tasks: Vec<_> = (0..THREADS + 1)
            .map(|_| {
                let (disk, hanging) = (disk.clone(), hanging.clone());
                tokio::spawn(async move {
                    disk.run(move || hanging.lock().recv().map_err(io::Error::other))
                        .await
                })
            })
            .collect();
        while disk.threads.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let last = tasks.pop().unwrap();
        last.abort();
        assert_eq!(
            tokio::task::spawn_blocking(|| 1).await.unwrap(),
            1,
            "others have threads"
        );
        tasks.iter().for_each(|task| task.abort());
        let waits = timeout(Duration::from_millis(20), disk.run(|| Ok(())));
        assert!(
            waits.await.is_err(),
            "an abandoned thread is counted until it ends"
        );
        drop(release);
        assert!(disk.run(|| Ok(())).await.is_ok());
    }
}
