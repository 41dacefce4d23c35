//! Checks of this machine: the spool folder, and the certificate of the data listener.

use std::io::Write;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::certificate_end::verdict_on_end;
use super::verdict::CheckVerdict;
use crate::config::Settings;
use crate::types::units::ByteSize;

/// Whether uploads of unknown length have somewhere to wait.
pub(super) fn spool(settings: &Settings) -> CheckVerdict {
    let limits = &settings.limits;
    if limits.spool_total == ByteSize(0) {
        return CheckVerdict::skipped("spool", "limits.spool_total = 0 switches spooling off");
    }
    let folder = limits.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
    let shown = folder.display();
    let written = tempfile::tempfile_in(&folder).and_then(|mut file| file.write_all(b"check"));
    match written {
        Ok(()) => CheckVerdict::ok("spool", format!("{shown} can be written")),
        Err(error) => CheckVerdict::failed(
            "spool",
            format!("the spool folder {shown} can't be written: {error}"),
            "mount a writable folder there, or set limits.spool_dir",
        ),
    }
}

/// Until when the gateway's own certificate is valid.
pub(super) fn own_certificate(settings: &Settings) -> Option<CheckVerdict> {
    let path = settings.server.tls_cert.as_deref()?;
    Some(match first_certificate(path) {
        Ok(certificate) => verdict_on_end("own tls", "server.tls_cert", &certificate),
        Err(error) => CheckVerdict::failed(
            "own tls",
            format!(
                "server.tls_cert ({}) can't be read: {error}",
                path.display()
            ),
            "put a PEM file with the certificate and its chain there",
        ),
    })
}

fn first_certificate(
    path: &Path,
) -> Result<CertificateDer<'static>, rustls::pki_types::pem::Error> {
    CertificateDer::from_pem_file(path)
}
