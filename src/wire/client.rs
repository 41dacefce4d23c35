//! HTTP/1.1 out, on hyper's own client: what carries files.
//!
//! reqwest signs in and asks eGain; here it would cost a small upload as much as all of our own work, as it parses each URL
//! anew at every step, and its buffers have no bound that can be set.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::body::Frames;

/// What is read of an answer at once, and what is queued of a request, in bytes.
const BUFFER: usize = 256 * 1024;

/// How servers are reached.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Until a connection stands, TLS and all.
    pub connect_timeout: Duration,
    /// For the other side to take a byte that was sent, or at least to acknowledge it (RFC 5482).
    pub stall_timeout: Duration,
    /// How long a connection that nobody uses is kept.
    pub idle_timeout: Duration,
}

/// A pool of connections. No redirects, no proxies, no credentials but what is in the request.
#[derive(Clone)]
pub struct Client<R> {
    pool: Pool<Dialler<R>, Frames>,
}

/// Resolves names.
pub trait Resolve:
    Service<Name, Response = std::vec::IntoIter<SocketAddr>, Error = io::Error, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<R> Resolve for R where
    R: Service<Name, Response = std::vec::IntoIter<SocketAddr>, Error = io::Error, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<R: Resolve> Client<R> {
    /// Makes a client.
    ///
    /// # Errors
    /// The machine has no CA certificates.
    pub fn new(config: Config, resolver: R) -> io::Result<Self> {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_tcp_user_timeout(Some(config.stall_timeout));
        let tls = HttpsConnectorBuilder::new().with_provider_and_platform_verifier(aws_lc_rs::default_provider())?;
        let dialler = Dialler { line: tls.https_or_http().enable_http1().wrap_connector(tcp), limit: config.connect_timeout };
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .http1_max_buf_size(BUFFER)
            .build(dialler);
        Ok(Self { pool })
    }

    /// Sends a request, until the head of its answer has come. Its body's own fault is found in the error.
    ///
    /// # Errors
    /// The server wasn't reached, or broke the connection.
    pub async fn send(&self, request: Request<Frames>) -> Result<Response<Incoming>, SendError> {
        self.pool.request(request).await.map_err(SendError)
    }
}

/// No answer came.
#[derive(Debug, thiserror::Error)]
#[error("no answer came")]
pub struct SendError(#[source] PoolError);

impl SendError {
    /// Whether it took too long.
    pub fn is_timeout(&self) -> bool {
        let causes = std::iter::successors(self.0.source(), |&cause| cause.source());
        causes.filter_map(|cause| cause.downcast_ref()).any(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut)
    }

    /// Whether there was no connection yet.
    pub fn is_connect(&self) -> bool {
        self.0.is_connect()
    }
}

/// Connects in time.
#[derive(Clone)]
struct Dialler<R> {
    line: HttpsConnector<HttpConnector<R>>,
    limit: Duration,
}

impl<R: Resolve> Service<Uri> for Dialler<R> {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.line.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connected = tokio::time::timeout(self.limit, self.line.call(uri));
        Box::pin(async { connected.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? })
    }
}
