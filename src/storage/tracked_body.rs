//! Notes who is waiting for whom while a file is sent: a slow client is no error of storage's.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::body::frame_gate::FrameGate;
use crate::types::error::{Error, ErrorCode, Stage};

const FOR_STORAGE: u8 = 0;
const FOR_SOURCE: u8 = 1;
const SENT_ALL: u8 = 2;

/// What the sending side is waiting for.
pub(super) struct SendProgress {
    state: AtomicU8,
    /// Milliseconds from `born` at which storage last took a frame.
    taken: AtomicU64,
    born: Instant,
}

impl SendProgress {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU8::new(FOR_STORAGE),
            taken: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    fn waits(&self, state: u8) {
        self.taken
            .store(self.born.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.state.store(state, Ordering::Release);
    }

    /// How long the transfer has waited for storage. A slow source is checked elsewhere.
    pub(super) fn storage_idle(&self) -> Duration {
        if self.state.load(Ordering::Acquire) == FOR_SOURCE {
            return Duration::ZERO;
        }
        self.born
            .elapsed()
            .saturating_sub(Duration::from_millis(self.taken.load(Ordering::Relaxed)))
    }

    pub(super) fn sent_all(&self) -> bool {
        self.state.load(Ordering::Acquire) == SENT_ALL
    }
}

/// A body that notes whom it is waiting for, and ends with an error when its request was given up.
/// One frame of it is out at a time.
pub(super) struct TrackedBody<B> {
    inner: B,
    progress: Arc<SendProgress>,
    gate: FrameGate,
    ends: oneshot::Receiver<()>,
}

impl<B> TrackedBody<B> {
    /// Ends with an error when the other end of `ends` is dropped.
    pub(super) fn new(inner: B, progress: Arc<SendProgress>, ends: oneshot::Receiver<()>) -> Self {
        Self {
            inner,
            progress,
            gate: FrameGate::default(),
            ends,
        }
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for TrackedBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if Pin::new(&mut self.ends).poll(cx).is_ready() {
            let detail = "the request was given up";
            return Poll::Ready(Some(Err(Error::storage(
                ErrorCode::UploadFailed,
                Stage::Store,
                detail,
            ))));
        }
        ready!(self.gate.poll_back(cx));
        self.progress.waits(FOR_SOURCE);
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let ended = frame.is_none() || self.inner.is_end_stream();
        self.progress
            .waits(if ended { SENT_ALL } else { FOR_STORAGE });
        Poll::Ready(
            frame.map(|frame| frame.map(|frame| frame.map_data(|data| self.gate.hand_out(data)))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
