//! HTTP/1.1 out, on hyper's own client.
//!
//! reqwest would cost a small upload as much as all of our own work, as it parses each URL anew at every step, and its
//! buffers have no bound that can be set.

mod preconnect;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use tower_service::Service;

use super::read_ahead::{ReadAhead, Sparing};
use crate::body::Frames;
pub use preconnect::Origin;
use preconnect::{Standby, Stream};

/// What a full house of connections may each read ahead, in bytes. A download whose reader is slow holds one and a half times as
/// much: what goes out, what hyper has ready behind it, and what is being read.
const READ_AHEAD: usize = 128 * 1024;

type Cause = Box<dyn Error + Send + Sync>;

/// How often an idle connection is probed, lest something on the way forgets it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How servers are reached.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Until a connection stands, TLS and all.
    pub connect_timeout: Duration,
    /// For the other side to take a byte that was sent, or at least to acknowledge it (RFC 5482).
    pub stall_timeout: Duration,
    /// How long a connection that nobody uses is kept.
    pub idle_timeout: Duration,
    /// How many of those are kept for each server.
    pub max_idle: usize,
}

/// A pool of connections. No redirects, no proxies, no credentials but what is in the request.
#[derive(Clone)]
pub struct Client<R> {
    pool: Pool<Dialler<R>, Frames>,
    dialler: Dialler<R>,
    idle_timeout: Duration,
}

impl<R> Client<R>
where
    R: Service<Name, Response: Iterator<Item = SocketAddr>, Error: Into<Cause>, Future: Send> + Clone + Send + Sync + 'static,
{
    /// Makes a client.
    ///
    /// # Errors
    /// The machine has no CA certificates.
    pub fn new(config: Config, resolver: R) -> io::Result<Self> {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_tcp_user_timeout(Some(config.stall_timeout));
        let tls = HttpsConnectorBuilder::new().with_provider_and_platform_verifier(aws_lc_rs::default_provider())?;
        let line = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let read_ahead = Arc::new(ReadAhead::new(READ_AHEAD));
        let buffer = read_ahead.most();
        let dialler = Dialler { line, limit: config.connect_timeout, standby: Standby::default(), read_ahead };
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.max_idle)
            .http1_max_buf_size(buffer)
            .build(dialler.clone());
        Ok(Self { pool, dialler, idle_timeout: config.idle_timeout })
    }

    /// Sends a request, until the head of its answer has come. Its body's own fault is found in the error.
    ///
    /// # Errors
    /// The server wasn't reached, or broke the connection.
    pub async fn send(&self, mut request: Request<Frames>) -> Result<Response<Incoming>, SendError> {
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(concat!("asset-gateway/", env!("CARGO_PKG_VERSION"))));
        let uri = request.uri().clone();
        let response = self.pool.request(request).await.map_err(SendError)?;
        self.dialler.standby.used(&uri);
        Ok(response)
    }

    /// Dials ahead of need, in the background, unless a connection to there is likely to wait in the pool. The next request
    /// that finds none there takes this one; one at a time stands by, and no longer than the idle time.
    pub fn preconnect(&self, origin: &Origin) {
        let Dialler { line, limit, standby, .. } = &self.dialler;
        standby.prepare(origin, self.idle_timeout, || in_time(*limit, line.clone().call(origin.uri())));
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
    standby: Standby,
    read_ahead: Arc<ReadAhead>,
}

impl<R> Service<Uri> for Dialler<R>
where
    R: Service<Name, Response: Iterator<Item = SocketAddr>, Error: Into<Cause>, Future: Send> + Clone + Send + Sync + 'static,
{
    type Response = TokioIo<Sparing<TokioIo<Stream>>>;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.line.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let expected = self.standby.take(&uri);
        // Dials nothing until it is polled.
        let dialled = self.line.call(uri);
        let (limit, read_ahead) = (self.limit, Arc::clone(&self.read_ahead));
        let stream = in_time(limit, async {
            let ready = match expected {
                Some(expected) => expected.stream().await,
                None => None,
            };
            match ready {
                Some(stream) => Ok(stream),
                None => dialled.await,
            }
        });
        Box::pin(async move { Ok(TokioIo::new(Sparing::placed(TokioIo::new(stream.await?), &read_ahead))) })
    }
}

async fn in_time(limit: Duration, dialled: impl Future<Output = Result<Stream, Cause>>) -> Result<Stream, Cause> {
    tokio::time::timeout(limit, dialled).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
