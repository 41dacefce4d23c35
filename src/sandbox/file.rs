//! A stored file, or a part of it, on its way out.

use std::io::{self, ErrorKind, SeekFrom};
use std::ops::RangeInclusive;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Sleep;

use super::stats::StatsTally;

/// Bytes read at one time: the most that is in memory of a file.
const CHUNK: usize = 64 * 1024;

/// How long a cut waits, so that what was sent before it leaves the machine: hyper drops what it
/// hasn't flushed when a body fails.
const FAREWELL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct FileBody {
    file: File,
    left: u64,
    buffer: BytesMut,
    cut: Option<Cut>,
    tally: Arc<StatsTally>,
}

/// Fails after this number of further bytes.
#[derive(Debug)]
struct Cut {
    after: u64,
    farewell: Option<Pin<Box<Sleep>>>,
}

impl FileBody {
    /// The bytes `range` of the file at `path`, failing after `cut_after` of them if that is given.
    pub(super) async fn open(
        path: &Path,
        range: RangeInclusive<u64>,
        cut_after: Option<u64>,
        tally: Arc<StatsTally>,
    ) -> io::Result<Self> {
        let mut file = File::open(path).await?;
        file.seek(SeekFrom::Start(*range.start())).await?;
        let left = range.end() + 1 - range.start();
        let cut = cut_after.map(|after| Cut {
            after,
            farewell: None,
        });
        Ok(Self {
            file,
            left,
            buffer: BytesMut::new(),
            cut,
            tally,
        })
    }

    fn poll_chunk(&mut self, most: u64, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        self.buffer.reserve(CHUNK);
        let mut file = (&mut self.file).take(most);
        let read = ready!(tokio_util::io::poll_read_buf(
            Pin::new(&mut file),
            cx,
            &mut self.buffer
        ))?;
        if read == 0 {
            return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(self.buffer.split().freeze()))
    }

    fn note(&mut self, sent: u64) {
        self.left -= sent;
        self.tally.sent(sent);
        if let Some(cut) = &mut self.cut {
            cut.after -= sent;
        }
    }
}

impl Cut {
    /// Ready when it is time to fail.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.farewell
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(FAREWELL)))
            .as_mut()
            .poll(cx)
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let most = match &mut this.cut {
            _ if this.left == 0 => return Poll::Ready(None),
            Some(cut) if cut.after == 0 => {
                ready!(cut.poll(cx));
                return Poll::Ready(Some(Err(ErrorKind::ConnectionAborted.into())));
            }
            Some(cut) => cut.after.min(this.left),
            None => this.left,
        };
        let chunk = ready!(this.poll_chunk(most, cx))?;
        this.note(chunk.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
