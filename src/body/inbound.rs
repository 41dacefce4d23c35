//! The caller's body as it comes in, with two promises: a caller that leaves is told apart from
//! one that sends nonsense, and what is left unread is drained for a while.
//!
//! An answer that comes before the whole request was read would otherwise become a reset: the
//! kernel drops an answer that lies behind unread data (RFC 9112 section 9.6).

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::words::fault::{Code, Fault, Stage};

/// How much of a refused body is read before the connection is given up, and for how long.
const LINGER_BYTES: u64 = 32 * 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(5);

const UNTOUCHED: u8 = 0;
const STARTED: u8 = 1;
const ENDED: u8 = 2;

/// Whether the body was read to its end; the front asks before it answers.
#[derive(Clone, Debug)]
pub struct Progress(Arc<AtomicU8>);

impl Progress {
    /// Whether the connection can carry another request after this one.
    pub fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) == ENDED
    }
}

/// The caller's body.
pub struct Inbound {
    incoming: Option<Incoming>,
    progress: Progress,
    expects_continue: bool,
}

impl Inbound {
    /// Wraps a request's body. `expects_continue` tells that the caller waits for `100 Continue`,
    /// which hyper sends at the first poll; such a body is never polled just to be thrown away.
    pub fn new(incoming: Incoming, expects_continue: bool) -> Self {
        let state = if incoming.is_end_stream() { ENDED } else { UNTOUCHED };
        Self { incoming: Some(incoming), progress: Progress(Arc::new(AtomicU8::new(state))), expects_continue }
    }

    /// A view on how far the body was read.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(incoming) = self.incoming.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        self.progress.0.fetch_max(STARTED, Ordering::AcqRel);
        match ready!(polled) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => {
                self.incoming = None;
                Poll::Ready(Some(Err(explain(&error))))
            }
            None => {
                self.incoming = None;
                self.progress.0.store(ENDED, Ordering::Release);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        let waits_for_continue = self.expects_continue && self.progress.0.load(Ordering::Acquire) == UNTOUCHED;
        if incoming.is_end_stream() || waits_for_continue {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(LINGER_TIME, drain(incoming)));
        }
    }
}

async fn drain(mut incoming: Incoming) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = incoming.frame().await {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn explain(error: &hyper::Error) -> Fault {
    let left = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    if left || has_cause(error, is_reset) || has_cause(error, |_: &h2::Error| true) {
        return Fault::caller(Code::CallerLeft, Stage::Read, "the caller left before the whole body had come");
    }
    Fault::caller(Code::BadRequest, Stage::Read, "the body's framing is broken: check Content-Length or the chunks")
}

fn has_cause<E: Error + 'static>(error: &hyper::Error, test: impl Fn(&E) -> bool) -> bool {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref()).any(test)
}

fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof)
}
