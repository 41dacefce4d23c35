//! One connection from its first byte to its end.

use std::{convert::Infallible, error::Error, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::{http1, http2};
use hyper::{body::Incoming, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::disconnect::disconnected;
use super::header_timeout::HeaderReadTimeout;
use super::in_flight::{CountedBody, InFlightRequests, TrackInFlight};
use super::lean::LeanConnection;
use super::lifetime::{idle, old_age, overstayed, run};
use super::listener_config::ListenerConfig;
use super::peer_address::PeerAddress;
use super::protocol::{self, WireProtocol};
use super::shutdown_tokens::ShutdownTokens;
use super::socket::{ServerSocket, SharedSocket};
use super::stall_timeout::StallTimeoutExecutor;
use super::tls::TlsIdentity;
use crate::body::min_rate::PaceLimits;
use crate::net::paced_writer::{PacedWriter, ReceiveBuffer, WriteProgress, bound_buffers};
use crate::net::read_ahead::{LimitedReads, ReadAhead};

/// What hyper itself refuses with a bare 431; room above the limit that the service enforces.
const MAX_HEAD: u32 = 64 * 1024;

/// Header fields that hyper takes before it refuses a request with a bare 431: more than the
/// service takes, which says why.
const MAX_FIELDS: usize = 512;

/// HTTP/2 in bytes: large enough for one upload at full speed. All streams together can't use up
/// the connection's window, so that those that stand still starve no other one.
const FRAME: u32 = 64 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;
const MAX_STREAMS: u32 = 32;

/// How often an HTTP/2 peer is pinged, and how long it may take to respond.
const PING: Duration = Duration::from_secs(20);

/// A connection's place among the others.
#[derive(Debug)]
pub(super) struct ConnectionContext {
    pub(super) peer: PeerAddress,
    pub(super) config: Arc<ListenerConfig>,
    pub(super) tokens: ShutdownTokens,
    pub(super) read_ahead: Arc<ReadAhead>,
    pub(super) progress: Arc<WriteProgress>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Serves `socket` until either side ends it. How it ended is only of interest when debugging:
/// peers that vanish, dawdle or stammer are daily business.
pub(super) async fn serve<S, B>(socket: TcpStream, context: ConnectionContext, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let _ = socket.set_nodelay(true);
    bound_buffers(&socket, ReceiveBuffer::FromClient);
    let socket = ServerSocket::new(socket);
    let result = match &context.config.tls {
        None => serve_plaintext(socket, &context, service).await,
        // In a box, so that connections in clear aren't as large as these.
        Some(tls) => Box::pin(serve_tls(tls, socket, &context, service)).await,
    };
    match result {
        Err(error) if error.is_parse() => {
            // hyper has responded with 431 or 400, or not at all to what isn't HTTP, and no
            // service was called.
            tracing::info!(
                peer = %context.peer.0,
                error = &error as &dyn Error,
                "refused what can't be read as a request"
            )
        }
        Err(error) => {
            tracing::debug!(
                peer = %context.peer.0,
                error = &error as &dyn Error,
                "connection failed"
            )
        }
        Ok(()) => {}
    }
}

async fn serve_plaintext<S, B>(
    mut socket: ServerSocket,
    context: &ConnectionContext,
    service: S,
) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let shared = socket.shared();
    match in_time(protocol::detect(&mut socket), context).await {
        Some(protocol) => {
            serve_protocol(protocol, paced(socket, context), shared, context, service).await
        }
        None => Ok(()),
    }
}

async fn serve_tls<S, B>(
    tls: &TlsIdentity,
    socket: ServerSocket,
    context: &ConnectionContext,
    service: S,
) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let shared = socket.shared();
    match in_time(tls.accept(paced(socket, context)), context).await {
        Some((protocol, stream)) => {
            serve_protocol(protocol, stream, shared, context, service).await
        }
        None => Ok(()),
    }
}

/// A socket whose peer is given up when it takes nothing, or next to nothing, of what it is sent.
fn paced(socket: ServerSocket, context: &ConnectionContext) -> PacedWriter<ServerSocket> {
    let limits = PaceLimits {
        idle: context.config.stall_timeout,
        min_rate: context.config.min_send_rate,
    };
    PacedWriter::with_limits(
        socket,
        limits,
        Arc::clone(&context.progress),
        ServerSocket::reset,
    )
}

/// What the first bytes say, or `None` when nothing came in time or there is no more time.
async fn in_time<T>(
    first_bytes: impl Future<Output = io::Result<Option<T>>>,
    context: &ConnectionContext,
) -> Option<T> {
    let said = tokio::select! {
        said = tokio::time::timeout(context.config.header_timeout, first_bytes) => said.ok()?,
        () = context.tokens.close.cancelled() => return None,
        () = context.tokens.abort.cancelled() => return None,
    };
    match said {
        Ok(said) => said,
        Err(error) => {
            tracing::debug!(
                peer = %context.peer.0,
                error = &error as &dyn Error,
                "connection failed before its first request"
            );
            None
        }
    }
}

async fn serve_protocol<I, S, B>(
    protocol: WireProtocol,
    io: I,
    socket: Arc<SharedSocket>,
    context: &ConnectionContext,
    service: S,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let in_flight = InFlightRequests::of(
        &context.read_ahead,
        Arc::clone(&socket),
        Arc::clone(&context.progress),
    );
    let service = TrackInFlight {
        service,
        peer: context.peer,
        in_flight,
    };
    match protocol {
        WireProtocol::Http1 => http1(io, &socket, context, service).await,
        WireProtocol::Http2 => http2(io, &socket, context, service).await,
    }
}

/// hyper doesn't look for the end of what a client sends while it serves it: [`disconnected`] does,
/// and knows better.
async fn http1<I, S, B>(
    io: I,
    socket: &SharedSocket,
    context: &ConnectionContext,
    service: TrackInFlight<S>,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin,
    TrackInFlight<S>:
        Service<Request<Incoming>, Response = Response<CountedBody<B>>, Error = Infallible>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let ListenerConfig {
        header_timeout,
        stall_timeout,
        max_age,
        tls,
        ..
    } = &*context.config;
    let in_flight = Arc::clone(&service.in_flight);
    let io = LimitedReads::new(io, Arc::clone(&context.read_ahead));
    let io = HeaderReadTimeout::new(io, *header_timeout, Arc::clone(&in_flight));
    let builder = http1_builder(context);
    let connection = LeanConnection::new(builder, io, service, socket, Arc::clone(&in_flight));
    let ShutdownTokens { close, abort, .. } = &context.tokens;
    let closing = async {
        tokio::select! { () = close.cancelled() => {}, () = old_age(*max_age) => {} }
    };
    let gone = disconnected(socket, &in_flight, tls.is_none());
    let cut = async {
        tokio::select! { () = abort.cancelled() => {}, () = gone => {} }
    };
    let overstayed = overstayed(socket, &in_flight, *stall_timeout, close);
    run(
        connection,
        LeanConnection::graceful_shutdown,
        closing,
        cut,
        overstayed,
    )
    .await
}

fn http1_builder(context: &ConnectionContext) -> http1::Builder {
    let config = &context.config;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.keep_alive_timeout.max(config.header_timeout))
        .max_buf_size(context.read_ahead.most())
        .max_header_size(MAX_HEAD as usize)
        .max_headers(MAX_FIELDS)
        .half_close(true);
    builder
}

async fn http2<I, S, B>(
    io: I,
    socket: &SharedSocket,
    context: &ConnectionContext,
    service: TrackInFlight<S>,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    TrackInFlight<S>: Service<
            Request<Incoming>,
            Response = Response<CountedBody<B>>,
            Error = Infallible,
            Future: Send + 'static,
        >,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let ListenerConfig {
        keep_alive_timeout,
        stall_timeout,
        max_age,
        ..
    } = *context.config;
    let in_flight = Arc::clone(&service.in_flight);
    let connection = http2_builder(stall_timeout).serve_connection(TokioIo::new(io), service);
    let ShutdownTokens {
        not_ready, abort, ..
    } = &context.tokens;
    let closing = async {
        tokio::select! {
            () = not_ready.cancelled() => {}
            () = idle(&in_flight, keep_alive_timeout) => {}
            () = old_age(max_age) => {}
        }
    };
    let overstayed = overstayed(socket, &in_flight, stall_timeout, not_ready);
    run(
        connection,
        http2::Connection::graceful_shutdown,
        closing,
        abort.cancelled(),
        overstayed,
    )
    .await
}

fn http2_builder(stall_timeout: Duration) -> http2::Builder<StallTimeoutExecutor> {
    let mut builder = http2::Builder::new(StallTimeoutExecutor(stall_timeout));
    builder
        .timer(TokioTimer::new())
        .max_frame_size(FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}
