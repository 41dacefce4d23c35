//! What has arrived of a file: `FILE.part`, beside it `FILE.part.tag` with the asset's id and the
//! validator of its bytes, so that nothing else is ever appended.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt;

use crate::cli::client::client_error::ClientError;

/// A partial file, locked while it is open.
pub(super) struct PartFile {
    target: PathBuf,
    id: String,
    may_overwrite: bool,
    file: tokio::fs::File,
    /// Bytes that have arrived.
    pub(super) position: u64,
    /// The strong validator that those bytes have, if the gateway gave one.
    pub(super) validator: Option<String>,
}

impl PartFile {
    /// What an earlier get of the same asset left, else an empty one.
    ///
    /// # Errors
    /// The file exists and may not be overwritten; another get is writing it; the folder can't be
    /// written.
    pub(super) async fn open(
        target: &Path,
        id: &str,
        may_overwrite: bool,
    ) -> Result<Self, ClientError> {
        if !may_overwrite && fs::symlink_metadata(target).is_ok() {
            return Err(exists(target));
        }
        let path = with_ending(target, ".part");
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(&path);
        let file = file.map_err(|error| unwritable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(failed(&path, "another get is writing it"));
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(&path, &error)),
        }
        let validator = stored_validator(target, id);
        let mut part = Self {
            target: target.to_owned(),
            id: id.to_owned(),
            may_overwrite,
            position: file.metadata().map_or(0, |metadata| metadata.len()),
            file: file.into(),
            validator,
        };
        if part.validator.is_none() {
            part.restart(None).await?;
        }
        Ok(part)
    }

    /// Bytes from the first on will follow, with this validator.
    pub(super) async fn restart(&mut self, validator: Option<&str>) -> Result<(), ClientError> {
        self.file
            .set_len(0)
            .await
            .map_err(|error| self.full(&error))?;
        self.position = 0;
        self.validator = validator.map(str::to_owned);
        let tag = with_ending(&self.target, ".part.tag");
        match validator {
            Some(validator) => {
                let text = format!("{}\n{validator}\n", self.id);
                fs::write(&tag, text).map_err(|error| unwritable(&tag, &error))
            }
            None => {
                let _there_is_none = fs::remove_file(&tag);
                Ok(())
            }
        }
    }

    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<(), ClientError> {
        let written = self.file.write_all(piece).await;
        written.map_err(|error| self.full(&error))?;
        self.position += piece.len() as u64;
        Ok(())
    }

    /// Gives the whole file its name.
    pub(super) async fn finish(mut self) -> Result<(), ClientError> {
        let written = self.file.flush().await;
        written.map_err(|error| self.full(&error))?;
        let synced = self.file.sync_all().await;
        synced.map_err(|error| self.full(&error))?;
        if !self.may_overwrite {
            // Takes the name, so that the renaming replaces nothing of anybody else's.
            File::create_new(&self.target).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => exists(&self.target),
                _ => unwritable(&self.target, &error),
            })?;
        }
        fs::rename(with_ending(&self.target, ".part"), &self.target)
            .map_err(|error| unwritable(&self.target, &error))?;
        let _there_is_none = fs::remove_file(with_ending(&self.target, ".part.tag"));
        Ok(())
    }

    fn full(&self, error: &io::Error) -> ClientError {
        unwritable(&with_ending(&self.target, ".part"), error)
    }
}

/// The validator of what is in the partial file, if that is of this asset.
fn stored_validator(target: &Path, id: &str) -> Option<String> {
    let text = fs::read_to_string(with_ending(target, ".part.tag")).ok()?;
    let (of, validator) = text.split_once('\n')?;
    let validator = validator.strip_suffix('\n')?;
    (of == id && !validator.is_empty()).then(|| validator.to_owned())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn exists(target: &Path) -> ClientError {
    failed(target, "it exists: choose another with -o, or --force")
}

fn unwritable(path: &Path, error: &io::Error) -> ClientError {
    failed(path, &format!("can't be written: {error}"))
}

fn failed(path: &Path, what: &str) -> ClientError {
    ClientError::failed(format!("{}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_same_asset_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.bin");
        let mut part = PartFile::open(&target, "id-1", false).await.unwrap();
        part.restart(Some("\"v1\"")).await.unwrap();
        part.write(b"half").await.unwrap();
        part.file.flush().await.unwrap();
        let other = PartFile::open(&target, "id-1", false).await.err().unwrap();
        assert!(
            other.to_string().ends_with("another get is writing it"),
            "{other}"
        );
        drop(part);
        let again = PartFile::open(&target, "id-1", false).await.unwrap();
        assert_eq!(
            (again.position, again.validator.as_deref()),
            (4, Some("\"v1\""))
        );
        drop(again);
        let other = PartFile::open(&target, "id-2", false).await.unwrap();
        assert_eq!((other.position, other.validator.as_deref()), (0, None));
    }

    #[tokio::test]
    async fn a_file_that_appears_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.bin");
        let mut part = PartFile::open(&target, "id-1", false).await.unwrap();
        part.write(b"mine").await.unwrap();
        fs::write(&target, "theirs").unwrap();
        let error = part.finish().await.unwrap_err().to_string();
        assert!(error.contains("it exists"), "{error}");
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        let mut part = PartFile::open(&target, "id-1", true).await.unwrap();
        part.write(b"mine").await.unwrap();
        part.finish().await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
