//! What is to be sent, in a form that can be sent once more while nothing of it is lost.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, StreamBody};
use parking_lot::Mutex;
use tokio_util::io::ReaderStream;

use super::spool::{Kept, Share, Spooled};
use crate::body::Frames;
use crate::words::fault::{Code, Fault, Stage};

/// Bytes read from disk at once.
const DISK_READ: usize = 128 * 1024;

/// A file's bytes, held or still coming.
pub enum Material {
    /// All of it, in memory.
    Memory(Vec<Bytes>, Option<Share>),
    /// All of it, on disk.
    Disk(File, Share),
    /// Its first bytes, and the rest from the caller.
    Stream(Arc<Mutex<Rest>>),
}

/// A file that is still coming.
pub struct Rest {
    /// Let go as soon as more was read: from then on it can't be sent again.
    ahead: Vec<Bytes>,
    body: Frames,
    touched: bool,
}

impl From<Spooled> for Material {
    fn from(spooled: Spooled) -> Self {
        match spooled.kept {
            Kept::Memory(chunks) => Self::Memory(chunks, Some(spooled.share)),
            Kept::Disk(file) => Self::Disk(file, spooled.share),
        }
    }
}

impl Material {
    /// A file whose rest is still to come.
    pub fn stream(ahead: Vec<Bytes>, body: Frames) -> Self {
        Self::Stream(Arc::new(Mutex::new(Rest { ahead, body, touched: false })))
    }

    /// Whether every byte that was taken from the caller is still here.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Memory(..) | Self::Disk(..) => true,
            Self::Stream(rest) => !rest.lock().touched,
        }
    }

    /// The bytes from the first on. Only while [`Self::is_whole`].
    pub fn body(&self) -> Result<Frames, Fault> {
        Ok(match self {
            Self::Memory(chunks, _) => Joined { ahead: chunks.clone().into_iter(), rest: None }.boxed(),
            Self::Stream(rest) => {
                let ahead = rest.lock().ahead.clone();
                Joined { ahead: ahead.into_iter(), rest: Some(rest.clone()) }.boxed()
            }
            Self::Disk(file, _) => from_disk(file)?,
        })
    }
}

fn from_disk(file: &File) -> Result<Frames, Fault> {
    let unreadable = |error: std::io::Error| {
        tracing::error!(%error, "the spool can't be read");
        Fault::gateway(Code::Internal, Stage::Read, "the gateway's spool can't be read: try again").retryable(true)
    };
    let mut file = file.try_clone().map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), DISK_READ);
    let body = StreamBody::new(stream.map_ok(Frame::data)).map_err(unreadable);
    Ok(body.boxed())
}

/// Bytes in memory, then those of the caller.
struct Joined {
    ahead: std::vec::IntoIter<Bytes>,
    rest: Option<Arc<Mutex<Rest>>>,
}

impl Body for Joined {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(chunk) = self.ahead.next() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(rest) = &self.rest else { return Poll::Ready(None) };
        // Never contended: an upload sends to one place at a time.
        let mut rest = rest.lock();
        let frame = ready!(Pin::new(&mut rest.body).poll_frame(cx));
        rest.touched = true;
        rest.ahead = Vec::new();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.ahead.as_slice().is_empty()
    }
}
