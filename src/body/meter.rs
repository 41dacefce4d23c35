//! Counts the bytes of a transfer, and keeps alive what lives as long as the transfer does.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prometheus::IntCounter;

use crate::words::fault::Fault;

/// A counted body. `companions` are permits, gauges and guards that end with it.
pub struct Meter<B, C> {
    inner: B,
    bytes: IntCounter,
    _companions: C,
}

impl<B, C> Meter<B, C> {
    /// Counts into `bytes`.
    pub fn new(inner: B, bytes: IntCounter, companions: C) -> Self {
        Self { inner, bytes, _companions: companions }
    }
}

impl<B, C> Body for Meter<B, C>
where
    B: Body<Data = Bytes, Error = Fault> + Unpin,
    C: Unpin,
{
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.bytes.inc_by(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
