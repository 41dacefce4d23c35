//! Tells a observer what passes: each frame's bytes, and how it ended.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prometheus::IntCounter;

use crate::types::error::Error;

/// Lives as long as the body. Dropped before [`ended`](Self::ended), it knows that the reader is
/// gone.
pub trait BodyObserver {
    /// This number of bytes has passed.
    fn moved(&mut self, bytes: u64);

    /// The body has ended, well or not. Called at most once.
    fn ended(&mut self, error: Option<&Error>);
}

impl BodyObserver for IntCounter {
    fn moved(&mut self, bytes: u64) {
        self.inc_by(bytes);
    }

    fn ended(&mut self, _: Option<&Error>) {}
}

/// A body with a observer. Holds no bytes.
pub struct ObservedBody<B, O> {
    inner: B,
    observer: O,
    ended: bool,
}

impl<B: Body, O: BodyObserver> ObservedBody<B, O> {
    /// A body that is over before it began is reported at once: nobody polls it.
    pub fn new(inner: B, mut observer: O) -> Self {
        let ended = inner.is_end_stream();
        if ended {
            observer.ended(None);
        }
        Self {
            inner,
            observer,
            ended,
        }
    }

    fn end(&mut self, error: Option<&Error>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.observer.ended(error);
        }
    }
}

impl<B, O> Body for ObservedBody<B, O>
where
    B: Body<Data = Bytes, Error = Error> + Unpin,
    O: BodyObserver + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self
                .observer
                .moved(frame.data_ref().map_or(0, |data| data.len() as u64)),
            Some(Err(error)) => self.end(Some(error)),
            None => self.end(None),
        }
        // hyper doesn't poll again where it knows that nothing more can come.
        if self.inner.is_end_stream() {
            self.end(None);
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
