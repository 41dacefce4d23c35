//! TLS on a listener: its certificate and key come from files, which may change while it serves.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::protocol::WireProtocol;
use crate::lifecycle::file_watcher::FileWatcher;

/// HTTP/2 by its name in ALPN (RFC 7301).
const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// The most bytes that either file can have, in case it is a device.
const FILE_MAX: u64 = 1 << 20;

/// The files of a listener's identity, both as PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, and after it those that lead to a root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why the files can't be served with; which of them is to blame.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's.
    #[error("{0}")]
    Cert(String),
    /// The key's.
    #[error("{0}")]
    Key(String),
}

/// A listener's identity. Clones share it.
#[derive(Clone)]
pub struct TlsIdentity(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
    changes: Mutex<FileWatcher>,
}

impl TlsIdentity {
    /// Reads the files.
    ///
    /// # Errors
    /// They can't be read, hold nothing of the kind, or don't belong together.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let changes = FileWatcher::of(vec![files.cert.clone(), files.key.clone()]);
        let current = RwLock::new(Arc::new(read(&files)?));
        Ok(Self(Arc::new(Inner {
            files,
            current,
            changes: Mutex::new(changes),
        })))
    }

    /// Takes changed files for all new connections. Those that can't be served with change nothing.
    pub async fn keep_current(self) {
        let mut changes = self.0.changes.lock().await;
        loop {
            changes.next().await;
            let cert = self.0.files.cert.display();
            match read(&self.0.files) {
                Ok(fresh) => {
                    *self.0.current.write() = Arc::new(fresh);
                    tracing::info!(%cert, "TLS certificate reloaded for new connections");
                }
                Err(error) => {
                    tracing::error!(
                        %cert,
                        %error,
                        "TLS certificate reload failed, keeping the previous one"
                    )
                }
            }
        }
    }

    /// Shakes hands and waits for the first bytes of a request; `None` when none come.
    pub(super) async fn accept<I>(
        &self,
        socket: I,
    ) -> io::Result<Option<(WireProtocol, TlsStream<I>)>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.0.current.read().clone();
        let mut stream = TlsAcceptor::from(config).accept(socket).await?;
        if stream.fill_buf().await?.is_empty() {
            return Ok(None);
        }
        let protocol = if stream.get_ref().1.alpn_protocol() == Some(H2) {
            WireProtocol::Http2
        } else {
            WireProtocol::Http1
        };
        Ok(Some((protocol, stream)))
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.files).finish()
    }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = chain(&files.cert)
        .map_err(|why| TlsError::Cert(format!("{}: {why}", files.cert.display())))?;
    let key =
        key(&files.key).map_err(|why| TlsError::Key(format!("{}: {why}", files.key.display())))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unfit(files, &error))?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    Ok(config)
}

fn unfit(files: &TlsFiles, error: &rustls::Error) -> TlsError {
    let cert = files.cert.display();
    let key = files.key.display();
    match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Key(format!("{key}: isn't the key of the certificate in {cert}"))
        }
        rustls::Error::InvalidCertificate(_) => {
            TlsError::Cert(format!("{cert}: the certificate can't be used: {error}"))
        }
        _ => TlsError::Key(format!("{key}: the key can't be used: {error}")),
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = bytes(path).map_err(|error| format!("can't be read: {error}"))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err("holds no certificate in PEM".into()),
        Err(_) => Err("isn't whole PEM".into()),
    }
}

/// What is wrong is said without any of what was read.
fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = bytes(path).map_err(|error| format!("can't be read: {error}"))?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| "holds no private key in PEM that isn't encrypted".into())
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Pair {
        cert: String,
        key: String,
    }

    fn pair() -> Pair {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        Pair {
            cert: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn load(cert: &str, key: &str) -> Result<TlsIdentity, TlsError> {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            cert: folder.path().join("cert"),
            key: folder.path().join("key"),
        };
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key).unwrap();
        TlsIdentity::load(files)
    }

    #[test]
    fn an_unusable_file_is_named_and_never_quoted() {
        let (one, other) = (pair(), pair());
        assert!(load(&one.cert, &one.key).is_ok());
        let broken = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            "AAAA"
        );
        for cert in [
            "",
            "hunter2",
            one.key.as_str(),
            &one.cert[..one.cert.len() / 2],
            &broken,
        ] {
            let error = load(cert, &one.key).unwrap_err();
            assert!(
                matches!(error, TlsError::Cert(_)) && !error.to_string().contains("hunter2"),
                "{error}"
            );
        }
        for key in [
            "",
            "hunter2",
            one.cert.as_str(),
            &one.key[..one.key.len() / 2],
            &other.key,
        ] {
            let error = load(&one.cert, key).unwrap_err();
            assert!(
                matches!(error, TlsError::Key(_)) && !error.to_string().contains("hunter2"),
                "{error}"
            );
        }
        let nowhere = TlsFiles {
            cert: "/no/such".into(),
            key: "/no/such".into(),
        };
        assert!(
            TlsIdentity::load(nowhere)
                .unwrap_err()
                .to_string()
                .starts_with("/no/such: can't be read")
        );
    }
}
