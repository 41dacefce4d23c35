//! The client for storage, and the requests that it sends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Uri};
use parking_lot::Mutex;

use super::config::StorageConfig;
use super::ssrf_guard::{self, SsrfGuard};
use crate::body::BoxBody;
use crate::net::client::{self, ConnectionOrigin, HttpClient};
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::error::Error;
use crate::types::secret::SignedUrl;

/// The client for storage.
#[derive(Clone)]
pub struct StorageClient {
    pub(super) http: HttpClient<SsrfGuard>,
    pub(super) config: Arc<StorageConfig>,
    pub(super) metrics: Arc<ServiceMetrics>,
    /// Where the previous upload went. Its host was allowed.
    destination: Arc<Mutex<Option<ConnectionOrigin>>>,
}

/// How long an idle connection stays in the pool. Shorter than any known server's keep-alive: a
/// pooled connection that storage is about to close swallows a body that can't be sent again.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// Idle connections that a burst of uploads may leave in the pool.
const IDLE_CONNECTIONS: usize = 256;

impl StorageClient {
    /// Makes a client.
    ///
    /// # Errors
    /// The machine has no CA certificates.
    pub fn new(config: StorageConfig, metrics: Arc<ServiceMetrics>) -> io::Result<Self> {
        let config = Arc::new(config);
        let client_config = client::ClientConfig {
            connect_timeout: config.connect_timeout,
            idle_timeout: POOL_IDLE,
            max_idle: IDLE_CONNECTIONS,
            proxy: config.proxy.clone(),
        };
        let http = HttpClient::new(client_config, SsrfGuard::new(config.clone()))?;
        Ok(Self {
            http,
            config,
            metrics,
            destination: Arc::default(),
        })
    }

    /// Takes over a URL that eGain gave, if it names a host that is allowed (SSRF guard).
    pub fn admit(&self, url: &SignedUrl) -> Result<SignedUrl, Error> {
        ssrf_guard::check_url(&self.config, url)
    }

    /// A file will be sent soon, most likely to the storage host of the previous upload. While the
    /// create call is in flight, opens a connection there, unless the pool has an idle one.
    pub fn expect_file(&self) {
        if let Some(origin) = &*self.destination.lock() {
            self.http.preconnect(origin);
        }
    }

    pub(super) fn note_destination(&self, uri: &Uri) {
        let mut destination = self.destination.lock();
        if destination.as_ref().is_none_or(|origin| !origin.is_of(uri)) {
            *destination = ConnectionOrigin::of(uri);
        }
    }
}

/// A request to a signed URL.
pub(super) fn request_to(
    method: Method,
    url: &SignedUrl,
    body: BoxBody,
) -> Result<Request<BoxBody>, Error> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    let Ok(uri) = url.expose().parse() else {
        return Err(ssrf_guard::unusable_url());
    };
    *request.uri_mut() = uri;
    Ok(request)
}
