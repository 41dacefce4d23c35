//! Checks of the way to eGain: names, and certificates with their end.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::ConfigBuilderExt;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error as TlsError};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use super::certificate_end::verdict_on_end;
use super::verdict::CheckVerdict;
use crate::config::Settings;

/// How long a name, a connection or a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Both for each host that the settings name once.
pub(super) async fn run(settings: &Settings) -> Vec<CheckVerdict> {
    let mut verdicts = Vec::new();
    for (host, (setting, url)) in hosts(settings) {
        if url.scheme() == "https" && settings.egain.proxy.is_some() {
            let detail = format!("{setting}: {host} is reached through egain.proxy");
            verdicts.push(CheckVerdict::skipped("tls", detail));
            continue;
        }
        let name = dns(setting, &host).await;
        let resolves = name.is_ok();
        verdicts.push(name.unwrap_or_else(|failed| failed));
        if resolves && url.scheme() == "https" {
            verdicts.push(tls(setting, &url, &host).await);
        }
    }
    verdicts
}

fn hosts(settings: &Settings) -> BTreeMap<String, (&'static str, Url)> {
    let egain = &settings.egain;
    let urls = [
        ("egain.token_url", egain.token_url.clone()),
        ("egain.base_url", Some(egain.base_url.clone())),
    ];
    let named = urls.into_iter().filter_map(|(setting, url)| {
        let url = url?;
        let port = url.port_or_known_default()?;
        Some((format!("{}:{port}", url.host_str()?), (setting, url)))
    });
    named.collect()
}

async fn dns(setting: &str, host: &str) -> Result<CheckVerdict, CheckVerdict> {
    let found = timeout(PATIENCE, lookup_host(host)).await;
    let cause = match found {
        Ok(Ok(addresses)) => {
            let count = addresses.count();
            if count > 0 {
                let detail = format!("{host} has {count} addresses");
                return Ok(CheckVerdict::ok("dns", detail));
            }
            "it has no address".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no response".to_owned(),
    };
    Err(CheckVerdict::failed(
        "dns",
        format!("{host} ({setting}) isn't found: {cause}"),
        format!("correct {setting}, or let the resolver of this machine know the name"),
    ))
}

async fn tls(setting: &str, url: &Url, host: &str) -> CheckVerdict {
    match timeout(PATIENCE, certificate(url, host)).await {
        Ok(Ok(certificate)) => verdict_on_end("tls", host, &certificate),
        Ok(Err(error)) => refused(setting, host, &error),
        Err(_) => CheckVerdict::failed(
            "tls",
            format!(
                "{host} ({setting}): no handshake within {} s",
                PATIENCE.as_secs()
            ),
            "let a firewall pass connections to it, or set egain.proxy",
        ),
    }
}

/// The certificate that the host shows, once it is verified as the gateway verifies it.
async fn certificate(url: &Url, host: &str) -> io::Result<Vec<u8>> {
    let name = url.host_str().unwrap_or_default();
    let name = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .try_with_platform_verifier()
        .map_err(io::Error::other)?
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector
        .connect(name, TcpStream::connect(host).await?)
        .await?;
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    Ok(shown
        .map(|certificate| certificate.to_vec())
        .unwrap_or_default())
}

fn refused(setting: &str, host: &str, error: &io::Error) -> CheckVerdict {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>());
    let (what, change) = match tls {
        Some(TlsError::InvalidCertificate(wrong)) => match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "the certificate expired".to_owned(),
                "let the owner of the host renew it, and check the clock of this machine",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (
                    "the certificate is of another host".to_owned(),
                    "correct the URL",
                )
            }
            CertificateError::UnknownIssuer => (
                "the certificate's issuer isn't trusted here".to_owned(),
                "install the issuer's certificate on this machine (SSL_CERT_FILE)",
            ),
            other => (
                format!("the certificate is invalid: {other}"),
                "correct the URL",
            ),
        },
        _ => (
            format!("no TLS connection: {error}"),
            "let a firewall pass connections to it, or correct the URL",
        ),
    };
    CheckVerdict::failed("tls", format!("{host} ({setting}): {what}"), change)
}
