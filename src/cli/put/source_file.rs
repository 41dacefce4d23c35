//! A file to be sent, read piece by piece.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::body::digest::Sha256Sum;
use crate::cli::client::client_error::ClientError;

/// How much is read, and is in memory, at a time.
const PIECE: u64 = 64 * 1024;

/// The most that is taken from standard input or a pipe: more than any storage takes in one go.
const LARGEST_SPOOL: u64 = 5 * 1024 * 1024 * 1024;

/// An open file. What is at its path later makes no difference.
#[derive(Clone)]
pub(super) struct SourceFile {
    /// What the person calls it.
    pub(super) label: String,
    /// The name to store it under.
    pub(super) name: String,
    /// Its bytes when it was opened.
    pub(super) size: u64,
    modified: Option<SystemTime>,
    file: Arc<File>,
}

impl SourceFile {
    /// Opens a file. A pipe has no size, so it is spooled and needs a name.
    pub(super) async fn open(path: &Path, name: Option<&str>) -> Result<Self, ClientError> {
        let (path, name) = (path.to_owned(), name.map(str::to_owned));
        blocking(move || open(&path, name)).await
    }

    /// Reads standard input to its end into a temporary file that has no name.
    pub(super) async fn spool_input(name: Option<&str>) -> Result<Self, ClientError> {
        let name = name.unwrap_or_default().to_owned();
        blocking(move || spool(io::stdin().lock(), "standard input".to_owned(), name)).await
    }

    /// The digest of what is sent.
    pub(super) async fn digest(&self) -> Result<Sha256Sum, ClientError> {
        let source = self.clone();
        blocking(move || {
            let (mut hasher, mut at) = (Sha256::new(), 0);
            while let Some(piece) = source.piece_at(at)? {
                hasher.update(&piece);
                at += piece.len() as u64;
            }
            Ok(hasher.finalize().into())
        })
        .await
    }

    /// The bytes that begin here, up to a bound; None at the end. The last ones only come if the
    /// file is still what it was when it was opened.
    pub(super) async fn read_at(&self, at: u64) -> Result<Option<Bytes>, ClientError> {
        let source = self.clone();
        blocking(move || source.piece_at(at)).await
    }

    fn piece_at(&self, at: u64) -> Result<Option<Bytes>, ClientError> {
        let wanted = PIECE.min(self.size - at);
        if wanted == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; wanted as usize];
        match self.file.read_exact_at(&mut piece, at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(changed()),
            Err(error) => return Err(ClientError::failed(format!("can't be read: {error}"))),
        }
        if at + wanted == self.size && !self.is_unchanged() {
            return Err(changed());
        }
        Ok(Some(piece.into()))
    }

    fn is_unchanged(&self) -> bool {
        let same = |now: Metadata| now.len() == self.size && now.modified().ok() == self.modified;
        self.file.metadata().is_ok_and(same)
    }
}

fn changed() -> ClientError {
    ClientError::failed("it changed while it was read: nothing was stored, send it again")
}

fn open(path: &Path, name: Option<String>) -> Result<SourceFile, ClientError> {
    let label = path.to_string_lossy().into_owned();
    let kind = std::fs::metadata(path).map_err(unreadable)?.file_type();
    if kind.is_dir() {
        return Err(ClientError::failed("is a folder: put sends files"));
    }
    let file = File::open(path).map_err(unreadable)?;
    if !kind.is_file() {
        let Some(name) = name else {
            return Err(ClientError::failed(
                "is no regular file: give it a name with --name",
            ));
        };
        return spool(file, label, name);
    }
    let own = || path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.unwrap_or_else(|| own().into_owned());
    SourceFile::of(file, label, name)
}

fn unreadable(error: io::Error) -> ClientError {
    ClientError::failed(match error.kind() {
        io::ErrorKind::NotFound => "doesn't exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        _ => format!("can't be opened: {error}"),
    })
}

fn spool(from: impl Read, label: String, name: String) -> Result<SourceFile, ClientError> {
    let spooled = || {
        let mut file = tempfile::tempfile()?;
        let size = io::copy(&mut from.take(LARGEST_SPOOL + 1), &mut file)?;
        file.rewind()?;
        Ok((file, size))
    };
    let (file, size) = spooled().map_err(|error: io::Error| {
        ClientError::failed(format!("can't be written to a temporary file: {error}"))
    })?;
    if size > LARGEST_SPOOL {
        return Err(ClientError::failed(format!(
            "has more than {LARGEST_SPOOL} bytes"
        )));
    }
    SourceFile::of(file, label, name)
}

impl SourceFile {
    fn of(file: File, label: String, name: String) -> Result<Self, ClientError> {
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.len() == 0 {
            return Err(ClientError::failed("is empty: eGain takes no empty file"));
        }
        Ok(Self {
            label,
            name,
            size: metadata.len(),
            modified: metadata.modified().ok(),
            file: Arc::new(file),
        })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClientError> + Send + 'static,
) -> Result<T, ClientError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(ClientError::failed("reading it panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    async fn opened(content: &[u8]) -> (tempfile::NamedTempFile, SourceFile) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let source = SourceFile::open(file.path(), None).await.unwrap();
        (file, source)
    }

    async fn pieces(source: &SourceFile) -> Result<Vec<usize>, ClientError> {
        let (mut at, mut sizes) = (0, Vec::new());
        while let Some(piece) = source.read_at(at).await? {
            at += piece.len() as u64;
            sizes.push(piece.len());
        }
        Ok(sizes)
    }

    #[tokio::test]
    async fn a_file_is_read_in_bounded_pieces() {
        let (_file, source) = opened(&[7; 150_000]).await;
        assert_eq!(pieces(&source).await.unwrap(), [65_536, 65_536, 18_928]);
        let sum: Sha256Sum = Sha256::digest([7; 150_000]).into();
        assert_eq!(source.digest().await.unwrap(), sum);
    }

    #[tokio::test]
    async fn a_file_that_changes_is_never_read_whole() {
        for change in [
            &|file: &File| file.set_len(100).unwrap(),
            &|mut file: &File| {
                file.write_all(b"more").unwrap();
            },
        ] as [&dyn Fn(&File); 2]
        {
            let (file, source) = opened(&[7; 150_000]).await;
            change(file.as_file());
            let error = pieces(&source).await.unwrap_err().to_string();
            assert!(error.starts_with("it changed while it was read"), "{error}");
        }
    }
}
