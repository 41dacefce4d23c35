//! A file that can be sent again while nothing of it is lost (a replay buffer).

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

/// A file's bytes: those that were read, and a body with those still to come.
pub struct ReplayableFile(Arc<Mutex<Remainder>>);

/// What was read of a file, and what is still to come.
struct Remainder {
    stored: StoredBytes,
    /// What is still to come; None once it has ended.
    body: Option<BoxBody>,
    /// The number of the latest attempt to send. The body of an earlier attempt may outlive it for
    /// a moment, and must take nothing from the client.
    attempt: u32,
}

/// Everything that was read.
enum StoredBytes {
    /// In memory; lost as soon as more is read.
    Memory(Vec<Bytes>),
    /// In the spool, where what is read goes, too.
    Spool(Box<SpoolFile>),
    /// Not stored any more: the file can't be sent again.
    Lost,
}

impl ReplayableFile {
    /// A file that is in memory as a whole.
    pub fn held(chunks: Vec<Bytes>) -> Self {
        Self::new(StoredBytes::Memory(chunks), None)
    }

    /// A file that is in the spool as a whole.
    pub fn spooled(file: SpoolFile) -> Self {
        Self::new(StoredBytes::Spool(Box::new(file)), None)
    }

    /// A file whose rest is still to come. It can be sent again until more of it is read.
    pub fn stream(ahead: Vec<Bytes>, body: BoxBody) -> Self {
        Self::new(StoredBytes::Memory(ahead), Some(body))
    }

    /// A file whose rest is still to come, with a copy in the spool that grows with what is sent:
    /// all of it can be sent again.
    pub fn copied(copy: SpoolFile, body: BoxBody) -> Self {
        Self::new(StoredBytes::Spool(Box::new(copy)), Some(body))
    }

    fn new(stored: StoredBytes, body: Option<BoxBody>) -> Self {
        Self(Arc::new(Mutex::new(Remainder {
            stored,
            body,
            attempt: 0,
        })))
    }

    /// A body of the whole file; None once bytes that were read from the client are lost. Earlier
    /// bodies of this file read nothing more from the client.
    pub fn body(&self) -> Option<BoxBody> {
        let mut remainder = self.0.lock();
        remainder.attempt += 1;
        let SpoolContents { disk, memory } = remainder.stored.contents()?;
        let body = PrefixedBody {
            disk: disk.map(disk_stream),
            memory: memory.into_iter(),
            remainder: self.0.clone(),
            attempt: remainder.attempt,
        };
        Some(body.boxed())
    }

    /// Reads on to the end and returns the file's length; None where not all of it is in the spool,
    /// or there is no room for the rest. `check` refuses a length that is too large. Earlier bodies
    /// of this file read nothing more from the client.
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
        match &self.0.lock().stored {
            StoredBytes::Spool(file) => Some(file.length()),
            StoredBytes::Memory(_) | StoredBytes::Lost => None,
        }
    }
}

impl StoredBytes {
    fn contents(&mut self) -> Option<SpoolContents> {
        match self {
            Self::Memory(chunks) => Some(SpoolContents {
                disk: None,
                memory: chunks.clone(),
            }),
            Self::Spool(file) => Some(file.contents()),
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

    /// Stores what was read, or is lost.
    fn add(&mut self, data: &Bytes) {
        if data.is_empty() {
            return;
        }
        let is_lost = match self {
            Self::Spool(file) => file.append(data.clone()).is_err(),
            Self::Memory(_) | Self::Lost => true,
        };
        if is_lost {
            *self = Self::Lost;
        }
    }
}

impl Remainder {
    /// Reads more from the client.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        ready!(self.stored.poll_ready(cx));
        let frame = ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.stored.add(data);
                }
            }
            Some(Err(_)) => self.stored = StoredBytes::Lost,
            None => self.body = None,
        }
        Poll::Ready(frame)
    }
}

type DiskStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send + Sync>>;

fn disk_stream(file: DiskFile) -> DiskStream {
    Box::pin(stream::try_unfold(file, async |mut file| {
        let piece = file.next().await.map_err(|error| {
            tracing::error!(%error, "the spool can't be read");
            Error::gateway(
                ErrorCode::Internal,
                Stage::Store,
                "the gateway's spool can't be read: try again",
            )
            .with_retryable(true)
        })?;
        Ok(piece.map(|piece| (piece, file)))
    }))
}

/// The body of one attempt to send: what is on disk, what is in memory, and then what comes from
/// the client.
struct PrefixedBody {
    disk: Option<DiskStream>,
    memory: std::vec::IntoIter<Bytes>,
    remainder: Arc<Mutex<Remainder>>,
    attempt: u32,
}

impl Body for PrefixedBody {
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
        if remainder.attempt != self.attempt {
            return Poll::Ready(Some(Err(superseded())));
        }
        remainder.poll_more(cx)
    }
}

fn superseded() -> Error {
    Error::storage(
        ErrorCode::UploadFailed,
        Stage::Store,
        "this attempt to send was abandoned",
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
    async fn a_file_is_replayable_until_more_is_read() {
        let file = ReplayableFile::stream(vec![Bytes::from_static(b"ab")], rest());
        let mut first = file.body().unwrap();
        assert_eq!(
            first.frame().await.unwrap().unwrap().into_data().unwrap(),
            "ab"
        );
        let mut second = file.body().expect("only the look-ahead was sent");
        assert!(
            first.frame().await.unwrap().is_err(),
            "an attempt that was abandoned takes nothing"
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
