//! What is to be sent, in a form that can be sent once more while nothing of it is lost.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use parking_lot::Mutex;

use super::spool::{Kept, Share, Spooled};
use crate::body::Frames;
use crate::words::fault::{Code, Fault, Stage};

/// Bytes read from disk at once.
const DISK_READ: usize = 128 * 1024;

/// A file's bytes, held or still coming.
pub struct Material {
    source: Source,
    _share: Option<Share>,
}

enum Source {
    /// All of it, in memory.
    Memory(Vec<Bytes>),
    /// All of it, on disk.
    Disk(Arc<File>),
    /// Its first bytes, and the rest from the caller.
    Stream(Arc<Mutex<Rest>>),
}

/// A file that is still coming.
struct Rest {
    /// Let go as soon as more was read: from then on it can't be sent again.
    ahead: Vec<Bytes>,
    body: Frames,
    touched: bool,
    /// The latest attempt to send; the body of an earlier one may outlive it for a moment, and must take nothing.
    attempt: u32,
}

impl From<Spooled> for Material {
    fn from(spooled: Spooled) -> Self {
        let source = match spooled.kept {
            Kept::Memory(chunks) => Source::Memory(chunks),
            Kept::Disk(file) => Source::Disk(Arc::new(file)),
        };
        Self { source, _share: Some(spooled.share) }
    }
}

impl Material {
    /// A file that is here as a whole.
    pub fn held(chunks: Vec<Bytes>) -> Self {
        Self { source: Source::Memory(chunks), _share: None }
    }

    /// A file whose rest is still to come.
    pub fn stream(ahead: Vec<Bytes>, body: Frames) -> Self {
        let rest = Rest { ahead, body, touched: false, attempt: 0 };
        Self { source: Source::Stream(Arc::new(Mutex::new(rest))), _share: None }
    }

    /// The bytes from the first on; None once some that were taken from the caller aren't here any more.
    pub fn body(&self) -> Option<Frames> {
        match &self.source {
            Source::Memory(chunks) => Some(frames(stream::iter(chunks.clone().into_iter().map(Ok)))),
            Source::Disk(file) => Some(frames(read(file.clone()))),
            Source::Stream(rest) => {
                let mut locked = rest.lock();
                locked.attempt += 1;
                let (ahead, attempt) = (locked.ahead.clone().into_iter(), locked.attempt);
                (!locked.touched).then(|| Joined { ahead, rest: rest.clone(), attempt }.boxed())
            }
        }
    }
}

fn frames(chunks: impl Stream<Item = Result<Bytes, Fault>> + Send + Sync + 'static) -> Frames {
    StreamBody::new(chunks.map_ok(Frame::data)).boxed()
}

/// At offsets of its own: an earlier attempt may still be reading.
fn read(file: Arc<File>) -> impl Stream<Item = Result<Bytes, Fault>> + Send + Sync {
    stream::try_unfold((file, 0), async |(file, offset)| {
        let source = file.clone();
        let piece = tokio::task::spawn_blocking(move || read_piece(&source, offset)).await;
        let piece = piece.map_err(io::Error::other).flatten().map_err(|error| unreadable(&error))?;
        let next = offset + piece.len() as u64;
        Ok((!piece.is_empty()).then_some((piece, (file, next))))
    })
}

fn read_piece(file: &File, offset: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; DISK_READ];
    let length = file.read_at(&mut piece, offset)?;
    piece.truncate(length);
    Ok(piece.into())
}

fn unreadable(error: &io::Error) -> Fault {
    tracing::error!(%error, "the spool can't be read");
    Fault::gateway(Code::Internal, Stage::Store, "the gateway's spool can't be read: try again").retryable(true)
}

/// Bytes in memory, then those of the caller.
struct Joined {
    ahead: std::vec::IntoIter<Bytes>,
    rest: Arc<Mutex<Rest>>,
    attempt: u32,
}

impl Body for Joined {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(chunk) = self.ahead.next() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        // Hardly ever contended: only the latest attempt is polled on purpose.
        let mut rest = self.rest.lock();
        if rest.attempt != self.attempt {
            return Poll::Ready(Some(Err(superseded())));
        }
        let frame = ready!(Pin::new(&mut rest.body).poll_frame(cx));
        rest.touched = true;
        rest.ahead = Vec::new();
        Poll::Ready(frame)
    }
}

fn superseded() -> Fault {
    Fault::storage(Code::UploadFailed, Stage::Store, "this attempt to send was given up")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn material() -> Material {
        let rest = stream::iter([Ok(Frame::data(Bytes::from_static(b"cd")))]);
        Material::stream(vec![Bytes::from_static(b"ab")], StreamBody::new(rest).boxed())
    }

    #[tokio::test]
    async fn a_file_can_be_sent_again_until_more_of_it_was_taken() {
        let material = material();
        let mut first = material.body().unwrap();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        let mut second = material.body().expect("only the look-ahead was sent");
        assert!(first.frame().await.unwrap().is_err(), "an attempt that was given up takes nothing");
        assert_eq!(second.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        assert_eq!(second.frame().await.unwrap().unwrap().into_data().unwrap(), "cd");
        assert!(material.body().is_none());
    }

    #[tokio::test]
    async fn a_file_on_disk_can_be_read_by_two_at_once() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abcdef", 0).unwrap();
        let material = Material { source: Source::Disk(Arc::new(file)), _share: None };
        let (first, second) = (material.body().unwrap().collect(), material.body().unwrap().collect());
        let (first, second) = (first.await.unwrap().to_bytes(), second.await.unwrap().to_bytes());
        assert_eq!((first.as_ref(), second.as_ref()), (&b"abcdef"[..], &b"abcdef"[..]));
    }
}
