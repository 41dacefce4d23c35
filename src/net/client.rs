//! HTTP/1.1 out, on hyper's own client.
//!
//! reqwest would cost a small upload as much as all of our own work, as it parses each URL again at
//! every step, and its buffers have no bound that can be set.

mod preconnect;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use http::{Extensions, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector, capture_connection};
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use tokio::net::TcpStream;
use tower_service::Service;

use super::egress_proxy::EgressProxy;
use super::paced_writer::{PacedWriter, ReceiveBuffer, WriteProgress, bound_buffers};
use super::read_ahead::{LimitedReads, ReadAhead};
use crate::body::BoxBody;
pub use preconnect::ConnectionOrigin;
use preconnect::{ClientStream, PendingConnection, WarmConnection};

/// What a full house of connections may each read ahead, in bytes. A download whose reader is slow
/// holds one and a half times as much: what goes out, what hyper has ready behind it, and what is
/// being read.
const READ_AHEAD: usize = 128 * 1024;

type Cause = Box<dyn Error + Send + Sync>;

/// How often an idle connection is probed, lest something on the way forgets it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How much longer a connection that is being dialled ahead of need is waited for before another
/// one is dialled beside it: about what a handshake takes over a long way.
const HEAD_START: Duration = Duration::from_millis(300);

/// How servers are reached.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Until a connection is ready, TLS handshake included.
    pub connect_timeout: Duration,
    /// How long an idle connection stays in the pool.
    pub idle_timeout: Duration,
    /// How many of those the pool has for each server.
    pub max_idle: usize,
    /// Which connections go through a proxy.
    pub proxy: EgressProxy,
}

/// A pool of connections. No redirects, no credentials but what is in the request.
#[derive(Clone)]
pub struct HttpClient<R> {
    pool: Pool<Connector<R>, BoxBody>,
    connector: Connector<R>,
    idle_timeout: Duration,
}

impl<R> HttpClient<R>
where
    R: Service<Name, Response: Iterator<Item = SocketAddr>, Error: Into<Cause>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    /// Makes a client.
    ///
    /// # Errors
    /// The machine has no CA certificates.
    pub fn new(config: ClientConfig, resolver: R) -> io::Result<Self> {
        let tcp = tcp_connector(resolver, &config);
        // Operators choose the proxy, mostly at a private address.
        let to_proxy = tcp_connector(GaiResolver::new(), &config);
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(aws_lc_rs::default_provider())?;
        let https = tls
            .https_or_http()
            .enable_http1()
            .wrap_connector(TcpConnector {
                direct: tcp,
                to_proxy,
                proxy: config.proxy,
            });
        let read_ahead = Arc::new(ReadAhead::new(READ_AHEAD));
        let buffer = read_ahead.most();
        let connector = Connector {
            https,
            limit: config.connect_timeout,
            warm: WarmConnection::default(),
            read_ahead,
        };
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.max_idle)
            .http1_max_buf_size(buffer)
            .build(connector.clone());
        Ok(Self {
            pool,
            connector,
            idle_timeout: config.idle_timeout,
        })
    }

    /// Sends a request, until the head of its response has come. An error of the request's body is
    /// found in the error.
    ///
    /// # Errors
    /// The server wasn't reached, or broke the connection.
    pub async fn send(
        &self,
        mut request: Request<BoxBody>,
    ) -> Result<Response<Incoming>, SendError> {
        request.headers_mut().insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("asset-gateway/", env!("CARGO_PKG_VERSION"))),
        );
        let uri = request.uri().clone();
        let response = self.pool.request(request).await.map_err(SendError)?;
        self.connector.warm.used(&uri);
        Ok(response)
    }

    /// Dials ahead of need, in the background, unless a connection to there is likely to wait in
    /// the pool. The next request that finds none there takes this one. There is one at a time,
    /// for no longer than the idle time.
    pub fn preconnect(&self, origin: &ConnectionOrigin) {
        let Connector {
            https, limit, warm, ..
        } = &self.connector;
        warm.prepare(origin, self.idle_timeout, || {
            in_time(*limit, https.clone().call(origin.uri()))
        });
    }
}

/// No response came.
#[derive(Debug, thiserror::Error)]
#[error("no response came")]
pub struct SendError(#[source] PoolError);

impl SendError {
    /// Whether it took too long.
    pub fn is_timeout(&self) -> bool {
        let causes = std::iter::successors(self.0.source(), |&cause| cause.source());
        causes
            .filter_map(|cause| cause.downcast_ref())
            .any(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut)
    }

    /// Whether there was no connection yet.
    pub fn is_connect(&self) -> bool {
        self.0.is_connect()
    }
}

/// How the bytes of one request get on, once it has a connection. Dropped before the request is
/// [`finished`](Self::finished), it ends the connection: hyper would go on waiting for a server
/// that takes nothing, and hold the request's body for as long.
pub struct RequestProgress {
    connection: CaptureConnection,
    finished: bool,
}

impl RequestProgress {
    /// Of a request that is about to be sent.
    pub fn of(request: &mut Request<BoxBody>) -> Self {
        Self {
            connection: capture_connection(request),
            finished: false,
        }
    }

    /// How long the server has taken no byte over the request's connection; none while there isn't
    /// one.
    pub fn since_last_byte(&self) -> Option<Duration> {
        self.of_connection()
            .map(|progress| progress.since_last_byte())
    }

    /// The whole request was sent, and the response has come: its connection may be used again.
    pub fn finished(&mut self) {
        self.finished = true;
    }

    fn of_connection(&self) -> Option<Arc<WriteProgress>> {
        let mut extras = Extensions::new();
        self.connection
            .connection_metadata()
            .as_ref()?
            .get_extras(&mut extras);
        extras.remove()
    }
}

impl Drop for RequestProgress {
    fn drop(&mut self) {
        if let Some(progress) = self.of_connection().filter(|_| !self.finished) {
            progress.give_up();
        }
    }
}

fn tcp_connector<R>(resolver: R, config: &ClientConfig) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    // Shared out among a host's addresses: a dead one leaves time for the next.
    tcp.set_connect_timeout(Some(config.connect_timeout));
    tcp
}

/// Connects without TLS, through the egress proxy where it is to be used, and notes how the other
/// side takes what it is sent.
#[derive(Clone)]
struct TcpConnector<R> {
    direct: HttpConnector<R>,
    to_proxy: HttpConnector<GaiResolver>,
    proxy: EgressProxy,
}

/// The egress proxy gave no connection.
#[derive(Debug, thiserror::Error)]
#[error("no connection through the egress proxy (egain.proxy)")]
struct EgressProxyError(#[source] Cause);

impl<R> Service<Uri> for TcpConnector<R>
where
    R: Service<Name, Response: Iterator<Item = SocketAddr>, Error: Into<Cause>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Response = TokioIo<PacedWriter<TcpStream>>;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.direct.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Some(intercept) = self.proxy.intercept(&uri) else {
            let connecting = self.direct.call(uri);
            return Box::pin(async move { Ok(paced(connecting.await?)) });
        };
        let mut tunnel = Tunnel::new(intercept.uri().clone(), self.to_proxy.clone());
        if let Some(credentials) = intercept.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        let connecting = tunnel.call(uri);
        Box::pin(async move {
            let tunnelled = connecting.await;
            Ok(paced(
                tunnelled.map_err(|error| EgressProxyError(error.into()))?,
            ))
        })
    }
}

fn paced(stream: TokioIo<TcpStream>) -> TokioIo<PacedWriter<TcpStream>> {
    let stream = stream.into_inner();
    bound_buffers(&stream, ReceiveBuffer::FromUpstream);
    TokioIo::new(PacedWriter::noting(stream))
}

/// Connects in time.
#[derive(Clone)]
struct Connector<R> {
    https: HttpsConnector<TcpConnector<R>>,
    limit: Duration,
    warm: WarmConnection,
    read_ahead: Arc<ReadAhead>,
}

impl<R> Service<Uri> for Connector<R>
where
    R: Service<Name, Response: Iterator<Item = SocketAddr>, Error: Into<Cause>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Response = TokioIo<LimitedReads<TokioIo<ClientStream>>>;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let pending = self.warm.take(&uri);
        // Dials nothing until it is polled.
        let dialled = self.https.call(uri);
        let limit = self.limit;
        let read_ahead = Arc::clone(&self.read_ahead);
        let stream = in_time(limit, first_of(pending, dialled));
        Box::pin(async move {
            Ok(TokioIo::new(LimitedReads::sharing(
                TokioIo::new(stream.await?),
                &read_ahead,
            )))
        })
    }
}

/// The connection that was dialled ahead, or a new one where that fails or isn't there soon: one
/// that hangs costs its caller no more.
async fn first_of(
    pending: Option<PendingConnection>,
    dialled: impl Future<Output = Result<ClientStream, Cause>>,
) -> Result<ClientStream, Cause> {
    let Some(pending) = pending else {
        return dialled.await;
    };
    let mut warm = pin!(pending.stream());
    match tokio::time::timeout(HEAD_START, &mut warm).await {
        Ok(Some(stream)) => return Ok(stream),
        Ok(None) => return dialled.await,
        Err(_late) => {}
    }
    tokio::select! {
        Some(stream) = warm => Ok(stream),
        dialled = dialled => dialled,
    }
}

async fn in_time(
    limit: Duration,
    dialled: impl Future<Output = Result<ClientStream, Cause>>,
) -> Result<ClientStream, Cause> {
    tokio::time::timeout(limit, dialled)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{self, Ready};
    use http_body_util::{BodyExt, Empty};
    use socket2::{Domain, Socket, Type};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A host with these addresses.
    #[derive(Clone)]
    struct Host(Arc<parking_lot::Mutex<Vec<SocketAddr>>>);

    impl Service<Name> for Host {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = io::Error;
        type Future = Ready<io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            future::ready(Ok(self.0.lock().clone().into_iter()))
        }
    }

    /// An address that answers no attempt to connect: its queue is full, and nobody takes anything
    /// off it.
    struct DeadAddress {
        addr: SocketAddr,
        _queue: Vec<Socket>,
    }

    impl DeadAddress {
        fn new() -> Self {
            let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let listener = socket();
            listener
                .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
                .unwrap();
            listener.listen(0).unwrap();
            let addr = listener.local_addr().unwrap();
            let mut queue = vec![listener];
            for _ in 0..4 {
                let waiting = socket();
                waiting.set_nonblocking(true).unwrap();
                let _in_progress = waiting.connect(&addr);
                queue.push(waiting);
            }
            Self {
                addr: addr.as_socket().unwrap(),
                _queue: queue,
            }
        }
    }

    /// A server that answers one request on each connection.
    async fn living_address() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                if stream.read(&mut head).await.unwrap_or(0) > 0 {
                    stream
                        .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                        .await
                        .unwrap();
                }
            }
        });
        addr
    }

    /// A client whose every name leads to these addresses.
    fn client(connect_timeout: Duration, addresses: &[SocketAddr]) -> (HttpClient<Host>, Host) {
        let limit = Duration::from_secs(10);
        let config = ClientConfig {
            connect_timeout,
            idle_timeout: limit,
            max_idle: 4,
            proxy: EgressProxy::default(),
        };
        let host = Host(Arc::new(parking_lot::Mutex::new(addresses.to_vec())));
        (HttpClient::new(config, host.clone()).unwrap(), host)
    }

    fn get() -> Request<BoxBody> {
        let nothing = Empty::new().map_err(|never| match never {});
        // Without a port in the URI, those of the addresses hold.
        Request::get("http://storage.test/file")
            .body(BoxBody::new(nothing))
            .unwrap()
    }

    #[tokio::test]
    async fn a_host_with_one_dead_address_is_reached() {
        let dead = DeadAddress::new();
        let (client, _host) = client(Duration::from_secs(2), &[dead.addr, living_address().await]);
        assert_eq!(client.send(get()).await.unwrap().status(), 204);
    }

    #[tokio::test]
    async fn a_host_with_only_dead_addresses_times_out() {
        let (one, other) = (DeadAddress::new(), DeadAddress::new());
        let (client, _host) = client(Duration::from_millis(400), &[one.addr, other.addr]);
        let began = std::time::Instant::now();
        assert!(client.send(get()).await.unwrap_err().is_timeout());
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
    }

    #[tokio::test]
    async fn a_preconnect_that_hangs_costs_its_caller_little() {
        let dead = DeadAddress::new();
        let (client, host) = client(Duration::from_secs(8), &[dead.addr]);
        client.preconnect(&ConnectionOrigin::of(get().uri()).unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
        *host.0.lock() = vec![living_address().await];
        let began = std::time::Instant::now();
        assert_eq!(client.send(get()).await.unwrap().status(), 204);
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "{:?}",
            began.elapsed()
        );
    }
}
