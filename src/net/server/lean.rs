//! An HTTP/1.1 connection that gives its read buffer back while it is idle.
//!
//! hyper keeps a connection's buffer as large as bodies have made it, for as long as the connection
//! lives, and thousands may be waiting for their next request. So an idle one is taken apart and
//! restarted over the same socket.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Connection, Parts};
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use super::header_timeout::HeaderReadTimeout;
use super::in_flight::InFlightRequests;
use super::socket::SharedSocket;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How long a connection is idle before it is restarted, or up to twice that: between the requests
/// of a busy client it would cost more than it saves.
const PAUSE: Duration = Duration::from_millis(500);

/// Bytes: a connection that has read no more has a small buffer, and is left alone.
const SMALL: u64 = 32 * 1024;

/// A connection that is lean while it is idle.
pub(super) struct LeanConnection<'a, I, S: HttpService<Incoming>> {
    builder: Builder,
    /// None only while it is restarted.
    connection: Option<Connection<TokioIo<HeaderReadTimeout<I>>, S>>,
    socket: &'a SharedSocket,
    in_flight: Arc<InFlightRequests>,
    /// Bytes that had been received when it was begun.
    received_before: u64,
    /// Runs only while the buffer may be large.
    pause: Option<Pin<Box<Sleep>>>,
    /// Exchanges that had started at the end of the last pause.
    started_before: usize,
    is_leaving: bool,
}

impl<'a, I, S> LeanConnection<'a, I, S>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: HttpService<Incoming, ResBody: Body<Error: Into<Cause>> + 'static>,
{
    pub(super) fn new(
        builder: Builder,
        io: HeaderReadTimeout<I>,
        service: S,
        socket: &'a SharedSocket,
        in_flight: Arc<InFlightRequests>,
    ) -> Self {
        let connection = Some(builder.serve_connection(TokioIo::new(io), service));
        let received_before = socket.traffic().0;
        let started_before = in_flight.started();
        Self {
            builder,
            connection,
            socket,
            in_flight,
            received_before,
            pause: None,
            started_before,
            is_leaving: false,
        }
    }

    /// Ends it after the exchange that is running, at once if there is none.
    pub(super) fn graceful_shutdown(mut self: Pin<&mut Self>) {
        self.is_leaving = true;
        if let Some(connection) = &mut self.connection {
            Pin::new(connection).graceful_shutdown();
        }
    }

    /// Ready when its buffer may be large and no exchange has run for a [`PAUSE`].
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_leaving || self.socket.traffic().0 - self.received_before <= SMALL {
            return Poll::Pending;
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
        loop {
            ready!(pause.as_mut().poll(cx));
            pause.as_mut().reset(Instant::now() + PAUSE);
            let started = self.in_flight.started();
            let was_idle = std::mem::replace(&mut self.started_before, started) == started;
            // What the system hasn't taken yet of a response would be lost.
            if was_idle && !self.in_flight.any_running() && !self.socket.is_blocked() {
                self.pause = None;
                return Poll::Ready(());
            }
        }
    }

    fn restart(&mut self, connection: Connection<TokioIo<HeaderReadTimeout<I>>, S>) {
        let Parts {
            mut io,
            read_buf,
            service,
            ..
        } = connection.into_parts();
        // A copy: even what is empty of it would keep all of the buffer alive.
        io.inner_mut().read_again(Bytes::copy_from_slice(&read_buf));
        self.connection = Some(self.builder.serve_connection(io, service));
        self.received_before = self.socket.traffic().0;
    }
}

impl<I, S> Future for LeanConnection<'_, I, S>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: HttpService<Incoming, ResBody: Body<Error: Into<Cause>> + 'static, Error: Into<Cause>>,
{
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while let Some(connection) = &mut this.connection {
            if let Poll::Ready(result) = Pin::new(connection).poll(cx) {
                return Poll::Ready(result);
            }
            ready!(this.poll_idle(cx));
            if let Some(connection) = this.connection.take() {
                this.restart(connection);
            }
        }
        Poll::Ready(Ok(()))
    }
}
