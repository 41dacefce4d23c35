//! The client's body as it comes in, with two promises: a client that disconnects is distinguished
//! from one that sends nonsense, and what is left unread is drained for a while ("lingering
//! close").
//!
//! A response that comes before the whole request was read would otherwise become a reset: the
//! kernel drops a response that is behind unread data (RFC 9112 section 9.6). A proxy in between
//! may do the same to its own client as soon as it has the response, unless it has passed the whole
//! body on: so there, the response waits for the rest.

use std::error::Error as StdError;
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
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::arrival::ArrivalWatch;
use crate::types::error::{Error, ErrorCode, Stage};

/// How much of a refused body is read before the connection is given up, for how long, and for how
/// long without a byte. The times are nginx's (`lingering_time`, `lingering_timeout`).
const LINGER_BYTES: u64 = 32 * 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(30);
const LINGER_PAUSE: Duration = Duration::from_secs(5);

const UNTOUCHED: u8 = 0;
const STARTED: u8 = 1;
const GIVEN_UP: u8 = 2;
const ENDED: u8 = 3;

/// How far the body was read; the api layer waits for it before some responses.
#[derive(Clone, Debug)]
pub struct ReadProgress(Arc<State>);

#[derive(Debug)]
struct State {
    stage: AtomicU8,
    finished: Notify,
}

impl ReadProgress {
    fn new(stage: u8) -> Self {
        Self(Arc::new(State {
            stage: AtomicU8::new(stage),
            finished: Notify::new(),
        }))
    }

    /// Whether the connection can carry another request after this one.
    pub fn has_ended(&self) -> bool {
        self.stage() == ENDED
    }

    /// Resolves when nothing more will be read: the body has ended, its client has disconnected, or
    /// the rest is more than is read of an unwanted body. That is within 30 seconds of when the
    /// body was dropped.
    pub async fn finished(&self) {
        let finished = async {
            loop {
                let finished = self.0.finished.notified();
                if self.stage() >= GIVEN_UP {
                    return;
                }
                finished.await;
            }
        };
        let _in_time = timeout(LINGER_TIME, finished).await;
    }

    fn stage(&self) -> u8 {
        self.0.stage.load(Ordering::Acquire)
    }

    fn advance_to(&self, stage: u8) {
        self.0.stage.fetch_max(stage, Ordering::AcqRel);
        self.0.finished.notify_waiters();
    }
}

/// The caller's body. `companion` lives until the last byte was read, also when that is after the
/// response.
pub struct RequestBody<C: Send + 'static> {
    companion: Option<C>,
    incoming: Option<Incoming>,
    progress: ReadProgress,
    expects_continue: bool,
    arrival: Option<Box<ArrivalWatch>>,
}

impl<C: Send + 'static> RequestBody<C> {
    /// Wraps a request's body. `expects_continue` says that the client waits for `100 Continue`,
    /// which hyper sends at the first poll; such a body is never polled just to be thrown away.
    pub fn new(incoming: Incoming, expects_continue: bool, companion: C) -> Self {
        let state = if incoming.is_end_stream() {
            ENDED
        } else {
            UNTOUCHED
        };
        Self {
            companion: Some(companion),
            incoming: Some(incoming),
            progress: ReadProgress::new(state),
            expects_continue,
            arrival: None,
        }
    }

    /// Watches how it comes.
    pub fn watch_arrival(&mut self, watch: Option<ArrivalWatch>) {
        self.arrival = watch.map(Box::new);
    }

    fn arrived(&mut self) {
        if let Some(watch) = self.arrival.take() {
            watch.end();
        }
    }

    /// A view on how far the body was read.
    pub fn progress(&self) -> ReadProgress {
        self.progress.clone()
    }
}

impl<C: Send + Unpin + 'static> Body for RequestBody<C> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Some(incoming) = this.incoming.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(incoming).poll_frame(cx);
        if let Some(watch) = &mut this.arrival {
            watch.note(&polled);
        }
        this.progress.0.stage.fetch_max(STARTED, Ordering::AcqRel);
        match ready!(polled) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => {
                this.incoming = None;
                this.progress.advance_to(GIVEN_UP);
                Poll::Ready(Some(Err(explain(&error))))
            }
            None => {
                this.incoming = None;
                this.arrived();
                this.progress.advance_to(ENDED);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Some(incoming) => incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl<C: Send + 'static> Drop for RequestBody<C> {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else {
            return;
        };
        let progress = self.progress.clone();
        let waits_for_continue = self.expects_continue && progress.stage() == UNTOUCHED;
        if incoming.is_end_stream() {
            // Nobody asks for the end of a body whose length is known.
            self.arrived();
            return progress.advance_to(ENDED);
        }
        // Nobody waits for more than is read: the response can go out now.
        if waits_for_continue || incoming.size_hint().lower() > LINGER_BYTES {
            progress.advance_to(GIVEN_UP);
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return progress.advance_to(GIVEN_UP);
        };
        if waits_for_continue {
            return progress.advance_to(GIVEN_UP);
        }
        let companion = self.companion.take();
        runtime.spawn(async move {
            let has_ended = linger(incoming).await;
            progress.advance_to(if has_ended { ENDED } else { GIVEN_UP });
            drop(companion);
        });
    }
}

/// Whether the body has ended while it was drained.
async fn linger(mut incoming: Incoming) -> bool {
    let mut left = LINGER_BYTES;
    let deadline = Instant::now() + LINGER_TIME;
    loop {
        let frame = timeout_at(
            deadline.min(Instant::now() + LINGER_PAUSE),
            incoming.frame(),
        )
        .await;
        let Ok(Some(Ok(frame))) = frame else {
            return matches!(frame, Ok(None));
        };
        match left.checked_sub(frame.data_ref().map_or(0, |data| data.len() as u64)) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
}

fn explain(error: &hyper::Error) -> Error {
    let left = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    if left || has_cause(error, is_reset) || has_cause(error, |_: &h2::Error| true) {
        return Error::caller(
            ErrorCode::CallerLeft,
            Stage::Read,
            "the client disconnected before it had sent the whole body",
        );
    }
    Error::caller(
        ErrorCode::BadRequest,
        Stage::Read,
        "the body's framing is broken: check Content-Length or the chunks",
    )
}

fn has_cause<E: StdError + 'static>(error: &hyper::Error, test: impl Fn(&E) -> bool) -> bool {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref()).any(test)
}

fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof
    )
}
