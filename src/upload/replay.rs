//! A file that can be sent once more while nothing of it is lost (a replay buffer).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use parking_lot::Mutex;

use super::spool::{DiskFile, SpoolContents, SpoolFile};
use crate::body::BoxBody;
use crate::types::error::{Error, ErrorCode, Stage};

/// A file's bytes, held or still coming.
pub struct ReplayableFile(Arc<Mutex<Remainder>>);

/// What is here of a file, and what is still to come.
struct Remainder {
    here: Here,
    /// None once it has ended.
    body: Option<BoxBody>,
    /// The latest attempt to send; the body of an earlier one may outlive it for a moment, and must
    /// take nothing.
    attempt: u32,
}

/// Everything that was read.
enum Here {
    /// In memory; let go as soon as more is read.
    Memory(Vec<Bytes>),
    /// In the spool, and what is read goes there, too.
    Spool(Box<SpoolFile>),
    /// Not any more: it can't be sent again.
    Lost,
}

impl ReplayableFile {
    /// A file that is here as a whole.
    pub fn held(chunks: Vec<Bytes>) -> Self {
        Self::new(Here::Memory(chunks), None)
    }

    /// A file that lies in the spool as a whole.
    pub fn spooled(file: SpoolFile) -> Self {
        Self::new(Here::Spool(Box::new(file)), None)
    }

    /// A file whose rest is still to come. It can be sent again until more of it was taken.
    pub fn stream(ahead: Vec<Bytes>, body: BoxBody) -> Self {
        Self::new(Here::Memory(ahead), Some(body))
    }

    /// A file whose rest is still to come, and whose copy in the spool grows with what is sent: all
    /// of it can be sent again.
    pub fn copied(copy: SpoolFile, body: BoxBody) -> Self {
        Self::new(Here::Spool(Box::new(copy)), Some(body))
    }

    fn new(here: Here, body: Option<BoxBody>) -> Self {
        Self(Arc::new(Mutex::new(Remainder {
            here,
            body,
            attempt: 0,
        })))
    }

    /// The bytes from the first on; None once some that were taken from the caller aren't here any
    /// more. Bodies that were given out before take nothing more from the caller.
    pub fn body(&self) -> Option<BoxBody> {
        let mut remainder = self.0.lock();
        remainder.attempt += 1;
        let SpoolContents { disk, memory } = remainder.here.kept()?;
        let (disk, memory) = (disk.map(pieces), memory.into_iter());
        Some(
            Attempt {
                disk,
                memory,
                remainder: self.0.clone(),
                number: remainder.attempt,
            }
            .boxed(),
        )
    }

    /// Reads on to the end, where all of the file is kept, and returns its length; None where it
    /// isn't, or there is no room for the rest. `check` refuses a length that is too large. Bodies
    /// that were given out before take nothing more.
    pub async fn read_to_end(
        &self,
        check: impl Fn(u64) -> Result<(), Error>,
    ) -> Result<Option<u64>, Error> {
        self.0.lock().attempt += 1;
        while let Some(length) = self.spooled_length() {
            check(length)?;
            let Some(frame) = poll_fn(|cx| self.0.lock().poll_more(cx)).await else {
                return Ok(Some(length));
            };
            frame?;
        }
        Ok(None)
    }

    fn spooled_length(&self) -> Option<u64> {
        match &self.0.lock().here {
            Here::Spool(file) => Some(file.length()),
            Here::Memory(_) | Here::Lost => None,
        }
    }
}

impl Here {
    fn kept(&mut self) -> Option<SpoolContents> {
        match self {
            Self::Memory(chunks) => Some(SpoolContents {
                disk: None,
                memory: chunks.clone(),
            }),
            Self::Spool(file) => Some(file.kept()),
            Self::Lost => None,
        }
    }

    /// Ready when more may be read.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Spool(file) = self
            && ready!(file.poll_written(cx)).is_err()
        {
            *self = Self::Lost;
        }
        Poll::Ready(())
    }

    /// More was read.
    fn add(&mut self, data: &Bytes) {
        let is_lost = match self {
            _ if data.is_empty() => false,
            Self::Spool(file) => file.append(data.clone()).is_err(),
            Self::Memory(_) | Self::Lost => true,
        };
        if is_lost {
            *self = Self::Lost;
        }
    }
}

impl Remainder {
    /// Takes more from the caller.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        ready!(self.here.poll_ready(cx));
        let frame = ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => frame
                .data_ref()
                .into_iter()
                .for_each(|data| self.here.add(data)),
            Some(Err(_)) => self.here = Here::Lost,
            None => self.body = None,
        }
        Poll::Ready(frame)
    }
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send + Sync>>;

fn pieces(stored: DiskFile) -> Pieces {
    Box::pin(stream::try_unfold(stored, async |mut stored| {
        let piece = stored.next().await.map_err(|error| {
            tracing::error!(%error, "the spool can't be read");
            Error::gateway(
                ErrorCode::Internal,
                Stage::Store,
                "the gateway's spool can't be read: try again",
            )
            .retryable(true)
        })?;
        Ok(piece.map(|piece| (piece, stored)))
    }))
}

/// One attempt to send: what lies on disk, what lies in memory, and then what comes from the
/// caller.
struct Attempt {
    disk: Option<Pieces>,
    memory: std::vec::IntoIter<Bytes>,
    remainder: Arc<Mutex<Remainder>>,
    number: u32,
}

impl Body for Attempt {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(disk) = &mut self.disk {
            match ready!(disk.as_mut().poll_next(cx)) {
                Some(piece) => return Poll::Ready(Some(piece.map(Frame::data))),
                None => self.disk = None,
            }
        }
        if let Some(chunk) = self.memory.next() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        // Hardly ever contended: only the latest attempt is polled on purpose.
        let mut remainder = self.remainder.lock();
        if remainder.attempt != self.number {
            return Poll::Ready(Some(Err(superseded())));
        }
        remainder.poll_more(cx)
    }
}

fn superseded() -> Error {
    Error::storage(
        ErrorCode::UploadFailed,
        Stage::Store,
        "this attempt to send was given up",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;

    fn rest() -> BoxBody {
        StreamBody::new(stream::iter([Ok(Frame::data(Bytes::from_static(b"cd")))])).boxed()
    }

    #[tokio::test]
    async fn a_file_can_be_sent_again_until_more_of_it_was_taken() {
        let file = ReplayableFile::stream(vec![Bytes::from_static(b"ab")], rest());
        let mut first = file.body().unwrap();
        assert_eq!(
            first.frame().await.unwrap().unwrap().into_data().unwrap(),
            "ab"
        );
        let mut second = file.body().expect("only the look-ahead was sent");
        assert!(
            first.frame().await.unwrap().is_err(),
            "an attempt that was given up takes nothing"
        );
        assert_eq!(
            second.frame().await.unwrap().unwrap().into_data().unwrap(),
            "ab"
        );
        assert_eq!(
            second.frame().await.unwrap().unwrap().into_data().unwrap(),
            "cd"
        );
        assert!(file.body().is_none());
    }
}
