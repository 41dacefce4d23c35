//! Why the service can't start.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use crate::config::errors::SettingsErrors;
use crate::net::server::TlsError;
use crate::shared_store::InvalidStoreConfig;

/// Why the service can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsErrors),
    /// An address can't be listened on.
    #[error("{key}: can't listen on {addr}: {source}")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// TLS can't be served with these files.
    #[error("{key}: {source}")]
    Tls {
        /// The setting.
        key: &'static str,
        /// What is wrong.
        source: TlsError,
    },
    /// Temporary files can't be made.
    #[error(
        "limits.spool_dir: can't make temporary files there: {0}; set another folder, \
         or limits.spool_total = 0"
    )]
    Spool(io::Error),
    /// The store that replicas share can't be used as it is configured.
    #[error("cache.redis_url: {0}")]
    SharedStore(InvalidStoreConfig),
    /// The machine has no CA certificates, most likely.
    #[error("can't make an HTTPS client: {0}; are CA certificates installed?")]
    Client(Box<dyn Error + Send + Sync>),
}

impl StartError {
    pub(super) fn client(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Client(why.into())
    }

    pub(super) fn tls(source: TlsError) -> Self {
        let key = match source {
            TlsError::Cert(_) => "server.tls_cert",
            TlsError::Key(_) => "server.tls_key",
        };
        Self::Tls { key, source }
    }
}
