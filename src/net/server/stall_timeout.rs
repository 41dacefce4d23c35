//! Ends an HTTP/2 stream whose client takes nothing of its response.
//!
//! `PacedWriter` ends a connection that takes nothing. A stream can stall on one that is
//! alive, for as long as its client leaves the stream's window shut (RFC 9113 section 5.2), and
//! would hold its place and a connection to storage.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::task_local;
use tokio::time::{Instant, sleep_until};

task_local! {
    /// When the stream got a frame that it hasn't dropped yet, or after which it hasn't polled for
    /// another.
    static HANDED_OUT: Cell<Option<Instant>>;

    /// Whether it was ended for that.
    static ENDED: Cell<bool>;
}

/// Whether the stream that this task serves is being dropped because its client takes nothing of
/// it.
pub(super) fn has_ended_stream() -> bool {
    ENDED.try_with(Cell::get).unwrap_or(false)
}

/// Notes that the stream that this task serves was given a frame, or waits for one. On HTTP/1.1
/// nobody wants to know.
pub(super) fn note<T>(frame: &Poll<Option<T>>) {
    let _outside_of_a_stream =
        HANDED_OUT.try_with(|handed_out| handed_out.set(frame.is_ready().then(Instant::now)));
}

/// Runs HTTP/2 streams, each until its client has taken nothing of its last frame for this time.
#[derive(Debug, Clone)]
pub(super) struct StallTimeoutExecutor(pub(super) Duration);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StallTimeoutExecutor {
    fn execute(&self, stream: F) {
        tokio::spawn(ENDED.scope(
            Cell::new(false),
            HANDED_OUT.scope(Cell::new(None), in_time(stream, self.0)),
        ));
    }
}

/// Dropping a stream resets it; its connection goes on.
async fn in_time(stream: impl Future<Output = ()>, limit: Duration) {
    let mut stream = pin!(stream);
    let mut alarm = pin!(sleep_until(Instant::now() + limit));
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(handed_out) = HANDED_OUT.with(Cell::get) else {
            return Poll::Pending;
        };
        let deadline = handed_out + limit;
        // Moved on only when it fires: re-arming a timer for each frame costs more than the frame.
        loop {
            ready!(alarm.as_mut().poll(cx));
            if Instant::now() >= deadline {
                tracing::debug!("an HTTP/2 stream is ended, as its client takes nothing of it");
                ENDED.with(|ended| ended.set(true));
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
    })
    .await;
}
