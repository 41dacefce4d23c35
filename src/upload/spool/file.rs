//! One file in the spool.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::disk::{DiskFile, SpoolDisk};
use super::share::SpoolShare;
use crate::body::compact::{BLOCK, CompactChunks};
use crate::types::error::{Error, ErrorCode, Stage};

/// A file's bytes as far as they were read. Once the file is too large for memory it is written in
/// blocks, so that at most one [`BLOCK`] and a frame of it are in memory.
pub struct SpoolFile {
    disk: SpoolDisk,
    share: SpoolShare,
    /// Bytes of memory that it may pin before its first block is written.
    max_memory: u64,
    length: u64,
    /// The bytes behind the written blocks.
    memory: CompactChunks,
    file: Option<Arc<File>>,
    /// Bytes in `file`.
    written: u64,
    writing: Option<Block>,
}

/// A block on its way to the disk.
struct Block {
    chunks: Vec<Bytes>,
    length: u64,
    task: JoinHandle<io::Result<Arc<File>>>,
}

/// What a file holds at one moment, first what is on disk.
pub struct SpoolContents {
    /// Its first bytes.
    pub disk: Option<DiskFile>,
    /// Those behind them.
    pub memory: Vec<Bytes>,
}

impl SpoolFile {
    /// An empty file that takes `memory` bytes of memory. Where that is four blocks or more, three
    /// of them are for the buffers around the file, those that are read into, written, and sent,
    /// and for what the allocator retains of them.
    pub(super) fn new(disk: SpoolDisk, share: SpoolShare, memory: u64) -> Self {
        let block = BLOCK as u64;
        let max_memory = if memory < 4 * block {
            memory
        } else {
            memory - 3 * block
        };
        Self {
            disk,
            share,
            max_memory,
            length: 0,
            memory: CompactChunks::default(),
            file: None,
            written: 0,
            writing: None,
        }
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds a frame, and begins to write if there is enough. Call it when nothing is being written.
    ///
    /// # Errors
    /// As [`SpoolShare::cover`].
    pub fn append(&mut self, frame: Bytes) -> Result<(), Error> {
        let length = self.length + frame.len() as u64;
        self.share.cover(length)?;
        self.length = length;
        self.memory.push(frame);
        let is_due = if self.file.is_some() {
            self.memory.length() >= BLOCK as u64
        } else {
            self.memory.pinned() > self.max_memory
        };
        if is_due && self.writing.is_none() {
            self.write();
        }
        Ok(())
    }

    fn write(&mut self) {
        let length = self.memory.length();
        let chunks = self.memory.take();
        let work = self
            .disk
            .clone()
            .write(self.file.clone(), chunks.clone(), self.written);
        self.writing = Some(Block {
            chunks,
            length,
            task: tokio::spawn(work),
        });
    }

    /// Ready when nothing is being written.
    ///
    /// # Errors
    /// When the disk failed.
    pub fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(block) = &mut self.writing else {
            return Poll::Ready(Ok(()));
        };
        let done = ready!(Pin::new(&mut block.task).poll(cx))
            .map_err(io::Error::other)
            .flatten();
        self.written += block.length;
        self.writing = None;
        self.file = Some(done.map_err(|error| broken(&error))?);
        Poll::Ready(Ok(()))
    }

    /// Waits until nothing is being written.
    pub async fn written(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_written(cx)).await
    }

    /// All bytes that it holds now.
    pub fn contents(&mut self) -> SpoolContents {
        let file = self.file.clone();
        let disk = file.map(|file| self.disk.read(file, self.written));
        let mut memory = Vec::new();
        if let Some(block) = &self.writing {
            memory.extend_from_slice(&block.chunks);
        }
        memory.extend_from_slice(self.memory.chunks());
        SpoolContents { disk, memory }
    }
}

fn broken(error: &io::Error) -> Error {
    tracing::error!(%error, "the spool can't be written");
    let detail = "the gateway's spool can't be written: an operator must check limits.spool_dir; \
                  declaring the length avoids it";
    let code = if error.kind() == io::ErrorKind::StorageFull {
        ErrorCode::Overloaded
    } else {
        ErrorCode::Internal
    };
    Error::gateway(code, Stage::Read, detail).with_retry_after(Duration::from_secs(5))
}
