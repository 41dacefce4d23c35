//! The storage behind signed URLs. No credentials but the URL itself, no redirects, HTTP/1.1 only.

mod hosts;
mod leash;
mod object;
mod send;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crate::signals::metrics::Metrics;
pub use hosts::HostPattern;
pub use object::{Object, refuses_url};
pub use send::Parcel;

/// How storage is reached.
#[derive(Debug, Clone)]
pub struct Config {
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
    /// What the signature's JWT names, else POST.
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
pub struct Storage {
    http: reqwest::Client,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
}

/// Shorter than any server's keep-alive that we know of: a pooled connection that storage is about to close swallows
/// a body that can't be sent again.
const POOL_IDLE: Duration = Duration::from_secs(4);

impl Storage {
    /// Makes a client. Fails where the machine has no CA certificates.
    pub fn new(config: Config, metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        let config = Arc::new(config);
        let http = reqwest::Client::builder()
            .http1_only()
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_user_timeout(config.idle_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .dns_resolver(hosts::Guarded::new(config.clone()))
            .user_agent(concat!("asset-gateway/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, config, metrics })
    }
}
