//! One connection from its first byte to its end.

use std::pin::{Pin, pin};
use std::{convert::Infallible, error::Error, future, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::{http1, http2};
use hyper::{body::Incoming, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::deadline::HeadDeadline;
use super::exchange::{Counted, CountedBody, Exchanges};
use super::protocol::{self, Protocol};
use super::stall::Streams;
use super::{Config, Peer, Tls};
use crate::wire::read_ahead::{ReadAhead, Sparing};

/// What hyper itself refuses with a bare 431; room above the limit that the service enforces.
const MAX_HEAD: u32 = 64 * 1024;

/// HTTP/2 in bytes: large enough for one upload at full speed, small enough that 64 of them on
/// one connection can't take more than the connection's window.
const FRAME: u32 = 64 * 1024;
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
const MAX_STREAMS: u32 = 64;

/// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);

/// The two ends of serving: finish what is running, or drop it.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    pub(super) shutdown: CancellationToken,
    pub(super) abort: CancellationToken,
}

/// A connection's place among the others.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) peer: Peer,
    pub(super) config: Arc<Config>,
    pub(super) ends: Ends,
    pub(super) read_ahead: Arc<ReadAhead>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Serves `socket` until either side ends it. How it ended is only of interest when debugging:
/// peers that vanish, dawdle or stammer are daily business.
pub(super) async fn serve<S, B>(socket: TcpStream, seat: Seat, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let _ = socket.set_nodelay(true);
    // RFC 5482; Linux counts the time in which the other side's window is closed, too.
    let _ = SockRef::from(&socket).set_tcp_user_timeout(Some(seat.config.stall_timeout));
    let result = match &seat.config.tls {
        None => in_clear(socket, &seat, service).await,
        // In a box, so that connections in clear aren't as large as these.
        Some(tls) => Box::pin(over_tls(tls, socket, &seat, service)).await,
    };
    if let Err(error) = result {
        tracing::debug!(peer = %seat.peer.0, error = &error as &dyn Error, "connection failed");
    }
}

async fn in_clear<S, B>(socket: TcpStream, seat: &Seat, service: S) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    match in_time(protocol::detect(&socket), seat).await {
        Some(protocol) => speak(protocol, socket, seat, service).await,
        None => Ok(()),
    }
}

async fn over_tls<S, B>(tls: &Tls, socket: TcpStream, seat: &Seat, service: S) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    match in_time(tls.accept(socket), seat).await {
        Some((protocol, stream)) => speak(protocol, stream, seat, service).await,
        None => Ok(()),
    }
}

/// What the first bytes say, or `None` when nothing came in time or there is no more time.
async fn in_time<T>(first_bytes: impl Future<Output = io::Result<Option<T>>>, seat: &Seat) -> Option<T> {
    let said = tokio::select! {
        said = tokio::time::timeout(seat.config.header_timeout, first_bytes) => said.ok()?,
        () = seat.ends.shutdown.cancelled() => return None,
        () = seat.ends.abort.cancelled() => return None,
    };
    said.unwrap_or_else(|error| {
        tracing::debug!(peer = %seat.peer.0, error = &error as &dyn Error, "connection failed before its first request");
        None
    })
}

async fn speak<I, S, B>(protocol: Protocol, io: I, seat: &Seat, service: S) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let service = Counted { service, peer: seat.peer, exchanges: Exchanges::of(&seat.read_ahead) };
    match protocol {
        Protocol::Http1 => http1(io, seat, service).await,
        Protocol::Http2 => http2(io, seat, service).await,
    }
}

async fn http1<I, S, B>(io: I, seat: &Seat, service: Counted<S>) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin,
    Counted<S>: Service<Request<Incoming>, Response = Response<CountedBody<B>>, Error = Infallible>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let io = Sparing::new(io, Arc::clone(&seat.read_ahead));
    let io = HeadDeadline::new(io, seat.config.header_timeout, Arc::clone(&service.exchanges));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(seat.config.keep_alive_timeout.max(seat.config.header_timeout))
        .max_buf_size(seat.read_ahead.most())
        .max_header_size(MAX_HEAD as usize)
        .half_close(false)
        .serve_connection(TokioIo::new(io), service);
    run(connection, http1::Connection::graceful_shutdown, future::pending(), &seat.ends).await
}

async fn http2<I, S, B>(io: I, seat: &Seat, service: Counted<S>) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    Counted<S>: Service<Request<Incoming>, Response = Response<CountedBody<B>>, Error = Infallible, Future: Send + 'static>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let idle = idle(Arc::clone(&service.exchanges), seat.config.keep_alive_timeout);
    let connection = http2::Builder::new(Streams(seat.config.stall_timeout))
        .timer(TokioTimer::new())
        .max_frame_size(FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(TokioIo::new(io), service);
    run(connection, http2::Connection::graceful_shutdown, idle, &seat.ends).await
}

/// Runs to the end; asks for a graceful one, once, when serving ends or the connection is idle.
async fn run<C>(connection: C, end: fn(Pin<&mut C>), idle: impl Future<Output = ()>, ends: &Ends) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return result,
        () = ends.abort.cancelled() => return Ok(()),
        () = ends.shutdown.cancelled() => {}
        () = idle => {}
    }
    end(connection.as_mut());
    tokio::select! {
        result = connection => result,
        () = ends.abort.cancelled() => Ok(()),
    }
}

/// Ends after a whole `span` without an exchange. hyper's pings keep an HTTP/2 connection that
/// answers them open for ever.
async fn idle(exchanges: Arc<Exchanges>, span: Duration) {
    loop {
        let before = exchanges.started();
        tokio::time::sleep(span).await;
        if !exchanges.any_running() && exchanges.started() == before {
            return;
        }
    }
}
