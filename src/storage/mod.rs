//! The storage behind signed URLs. No credentials but the URL itself, no redirects, HTTP/1.1 only.

mod object;
mod range;
mod send;
mod signature;
mod ssrf_guard;
mod tracked_body;
mod verdict;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Uri};
use parking_lot::Mutex;

use crate::body::BoxBody;
use crate::net::client::{self, ConnectionOrigin, HttpClient};
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::error::Error;
use crate::types::secret::SignedUrl;
pub use object::{StoredObject, refuses_url};
pub use send::PutPayload;
pub use ssrf_guard::HostPattern;
pub use verdict::RequestedPart;

/// How storage is reached.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// Hosts that a signed URL may name.
    pub content_hosts: Vec<HostPattern>,
    /// Whether plain `http` stays as it is; else it is tried as `https`.
    pub allow_http: bool,
    /// The method of uploads.
    pub method: UploadMethod,
    /// The `Content-Type` of uploads.
    pub content_type: UploadContentType,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// The longest time in which storage takes or gives no byte.
    pub idle_timeout: Duration,
}

/// The method of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadMethod {
    /// What the signature's JWT names, else PUT for a cloud store's signature, else POST.
    Auto,
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// The `Content-Type` of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadContentType {
    /// The file's.
    File,
    /// `application/octet-stream`.
    OctetStream,
}

/// The client for storage.
#[derive(Clone)]
pub struct StorageClient {
    http: HttpClient<ssrf_guard::SsrfGuard>,
    config: Arc<StorageConfig>,
    metrics: Arc<ServiceMetrics>,
    /// Where the last file went: a place that was admitted.
    destination: Arc<Mutex<Option<ConnectionOrigin>>>,
}

/// Shorter than any server's keep-alive that we know of: a pooled connection that storage is about
/// to close swallows a body that can't be sent again.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// What a burst of uploads leaves behind for so long.
const IDLE_CONNECTIONS: usize = 256;

impl StorageClient {
    /// Makes a client.
    ///
    /// # Errors
    /// The machine has no CA certificates.
    pub fn new(config: StorageConfig, metrics: Arc<ServiceMetrics>) -> io::Result<Self> {
        let config = Arc::new(config);
        let line = client::ClientConfig {
            connect_timeout: config.connect_timeout,
            idle_timeout: POOL_IDLE,
            max_idle: IDLE_CONNECTIONS,
        };
        let http = HttpClient::new(line, ssrf_guard::SsrfGuard::new(config.clone()))?;
        Ok(Self {
            http,
            config,
            metrics,
            destination: Arc::default(),
        })
    }

    /// A file will be sent soon, most likely to where the last one went. Shaking hands takes as
    /// long as eGain's answer, so it is done meanwhile, where no connection waits.
    pub fn expect_file(&self) {
        if let Some(origin) = &*self.destination.lock() {
            self.http.preconnect(origin);
        }
    }

    fn note_destination(&self, uri: &Uri) {
        let mut destination = self.destination.lock();
        if destination.as_ref().is_none_or(|origin| !origin.is_of(uri)) {
            *destination = ConnectionOrigin::of(uri);
        }
    }
}

/// A request to a signed URL.
fn request(method: Method, url: &SignedUrl, body: BoxBody) -> Result<Request<BoxBody>, Error> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = url.expose().parse().map_err(|_| ssrf_guard::unaskable())?;
    Ok(request)
}
