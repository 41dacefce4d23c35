//! A socket on which the head of a request has to be complete in time (slowloris protection).
//!
//! hyper has one timeout for two things: the wait for a head and its arrival. It is set to the
//! longer one, for idle connections; this adds the shorter one, from a head's first byte.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::in_flight::InFlightRequests;

/// Reading fails with `TimedOut` when a head began `limit` ago and its exchange hasn't started.
///
/// No timer is touched while an exchange is running, nor for a head that comes in one piece. Bytes
/// of a head that were read along with the previous request aren't seen as its beginning: such a
/// head has until its next byte, or until the idle timeout.
pub(super) struct HeaderReadTimeout<I> {
    io: I,
    limit: Duration,
    in_flight: Arc<InFlightRequests>,
    head: Option<Head>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// What was read before, and is read again first.
    again: Bytes,
}

/// A head that began to arrive after a number of requests.
struct Head {
    deadline: Instant,
    after: usize,
}

impl<I> HeaderReadTimeout<I> {
    pub(super) fn new(io: I, limit: Duration, in_flight: Arc<InFlightRequests>) -> Self {
        Self {
            io,
            limit,
            in_flight,
            head: None,
            alarm: None,
            again: Bytes::new(),
        }
    }

    /// Gives these bytes to the next reads, before what comes after them.
    pub(super) fn read_again(&mut self, bytes: Bytes) {
        self.again = bytes;
    }

    fn note_arrival(&mut self) {
        if self.in_flight.any_running() {
            return;
        }
        let after = self.in_flight.started();
        if self.head.as_ref().is_none_or(|head| head.after != after) {
            self.head = Some(Head {
                deadline: Instant::now() + self.limit,
                after,
            });
        }
    }

    /// Ready when the head that is arriving is late.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(head) = &self.head else {
            return Poll::Pending;
        };
        if self.in_flight.any_running() || head.after != self.in_flight.started() {
            return Poll::Pending;
        }
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(head.deadline)));
        if alarm.deadline() != head.deadline {
            alarm.as_mut().reset(head.deadline);
        }
        alarm.as_mut().poll(cx)
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for HeaderReadTimeout<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = if self.again.is_empty() {
            Pin::new(&mut self.io).poll_read(cx, buf)
        } else {
            let now = self.again.len().min(buf.remaining());
            buf.put_slice(&self.again.split_to(now));
            Poll::Ready(Ok(()))
        };
        if buf.filled().len() > before {
            self.note_arrival();
        } else if read.is_pending() && self.poll_late(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the head of a request took too long",
            )));
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for HeaderReadTimeout<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
