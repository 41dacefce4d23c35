//! The accept loop: from a listening socket to a service that sees one request at a time.
//!
//! It owns what belongs to a connection: its protocol, its timeouts, its buffers, its end. It
//! never looks into a request; routes, limits and refusals are the service's.
//!
//! hyper-util's `auto` builder isn't used: it has no timeout before the first bytes
//! (hyperium/hyper#3962) and hides the limit on the size of a head.

mod connection;
mod disconnect;
mod header_timeout;
mod in_flight;
mod lean;
mod lifetime;
mod listener_config;
mod peer_address;
mod protocol;
mod refusal;
mod shutdown_tokens;
mod socket;
mod stall_timeout;
mod tls;

use std::{convert::Infallible, error::Error, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::Service};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use connection::ConnectionContext;
pub use in_flight::InFlightGuard;
pub use listener_config::ListenerConfig;
pub use peer_address::PeerAddress;
pub use shutdown_tokens::ShutdownTokens;
pub use tls::{TlsError, TlsFiles, TlsIdentity};

use super::paced_writer::WriteProgress;
use super::read_ahead::ReadAhead;

/// Connections that the kernel may hold for us until they are accepted.
const BACKLOG: u32 = 4096;

/// How long accepting rests when the process has no file descriptor left: trying again at once
/// would only burn the processor that the requests in flight need to finish.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(500);

/// Listens on `addr`, also where connections of an earlier process still linger. Needs a runtime.
///
/// # Errors
/// What the system says: the address is taken, isn't this machine's, or needs privileges.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves HTTP/1.1 and HTTP/2 until `tokens.close` is cancelled. The first bytes tell the two apart
/// on a plaintext connection, ALPN does under TLS.
///
/// Then the listener and idle connections close, requests in flight finish, and the future resolves
/// when the last of them has. It has no deadline of its own: the caller waits as long as it wants
/// and then cancels `tokens.abort`, which aborts what is left. Dropping the future aborts, too.
///
/// Every request carries its [`PeerAddress`] and a [`InFlightGuard`] as extensions.
pub async fn serve<S, B>(
    listener: TcpListener,
    config: ListenerConfig,
    service: S,
    tokens: ShutdownTokens,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let shared = SharedByConnections::new(config, tokens);
    let _abort_when_dropped = shared.tokens.abort.clone().drop_guard();
    let close = &shared.tokens.close;
    while let Some((socket, peer)) = close.run_until_cancelled(accept(&listener)).await {
        match shared.context(peer) {
            Some(context) => {
                let served = connection::serve(socket, context, service.clone());
                shared.connections.spawn(served);
            }
            None => shared.refuse(socket),
        }
    }
    drop(listener);
    shared.connections.close();
    shared.connections.wait().await;
}

/// What all connections of a listener share.
struct SharedByConnections {
    config: Arc<ListenerConfig>,
    tokens: ShutdownTokens,
    permits: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    read_ahead: Arc<ReadAhead>,
    connections: TaskTracker,
}

impl SharedByConnections {
    fn new(config: ListenerConfig, tokens: ShutdownTokens) -> Self {
        let permits = config.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            refusals: Arc::new(Semaphore::new(refusal::AT_ONE_TIME)),
            read_ahead: Arc::new(ReadAhead::new(config.read_buffer)),
            connections: TaskTracker::new(),
            tokens: ShutdownTokens {
                abort: tokens.abort.child_token(),
                ..tokens
            },
            config: Arc::new(config),
        }
    }

    /// The context of one more connection; none where there are too many.
    fn context(&self, peer: PeerAddress) -> Option<ConnectionContext> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(ConnectionContext {
            peer,
            config: Arc::clone(&self.config),
            tokens: self.tokens.clone(),
            read_ahead: Arc::clone(&self.read_ahead),
            progress: WriteProgress::new(),
            _permit: permit,
        })
    }

    fn refuse(&self, socket: TcpStream) {
        match self.config.tls {
            // Shaking hands would cost more than what there are too many of.
            Some(_) => tracing::debug!("too many connections"),
            None => refusal::refuse(socket, &self.refusals, &self.connections),
        }
    }
}

/// The next connection. Errors are waited out: none of them is a reason to stop listening.
async fn accept(listener: &TcpListener) -> (TcpStream, PeerAddress) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                return (
                    socket,
                    PeerAddress(SocketAddr::new(peer.ip().to_canonical(), peer.port())),
                );
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "can't accept connections");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Whether the one connection failed before we took it, as opposed to the listener or the process.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[cfg(test)]
mod tests;
