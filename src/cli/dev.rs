//! `asset-gateway dev`: everything on loopback, proven with one round trip, and calls to paste.

mod page;
mod picture;
mod round_trip;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::sync::Mutex;

use super::runtime::{CommandResult, block_on};
use super::sandbox::settings;
use super::stop::StopSignals;
use crate::app;
use crate::config::Settings;
use crate::config::errors::SettingsErrors;
use crate::sandbox::Sandbox;
use crate::sandbox::config::SandboxConfig;
use crate::telemetry::logging;
use round_trip::RoundTrip;

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Where the gateway listens; a port that is taken is replaced by a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where its admin listener listens.
    #[arg(long, default_value = "127.0.0.1:9464")]
    admin_listen: SocketAddr,
    /// Where the eGain stand-in listens.
    #[arg(long, default_value = "127.0.0.1:8081")]
    sandbox_listen: SocketAddr,
}

/// Serves until a signal stops it.
pub(super) fn run(dev: &DevArgs) -> ExitCode {
    block_on(serve(dev))
}

async fn serve(dev: &DevArgs) -> CommandResult {
    let _log = logging::start(None, "warn", None)?;
    let signals = Arc::new(Mutex::new(StopSignals::listen()?));
    let sandbox = SandboxConfig {
        listen: free("the eGain stand-in", dev.sandbox_listen),
        ..SandboxConfig::default()
    };
    let sandbox = match Sandbox::start(sandbox) {
        Ok(sandbox) => sandbox,
        Err(error) => return Err(format!("the eGain stand-in can't start: {error}").into()),
    };
    let page = page::over(sandbox.handle());
    let bound = app::bind_with(&gateway(dev, &sandbox)?, Some(page))?;
    let addr = bound.addr()?;
    let admin = bound.admin_addr()?;
    println!("gateway   http://{addr}  (try it in a browser)");
    println!("admin     http://{admin}/metrics");
    println!("sandbox   {}", sandbox.base_url());
    let first = signals.clone();
    let second = signals;
    let running = tokio::spawn(
        bound.run(async move { first.lock().await.next().await }, async move {
            second.lock().await.next().await
        }),
    );
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return Err(format!("can't make a temporary folder: {error}").into()),
    };
    let photo = folder.path().join("photo.png");
    let trip = prove(addr, &photo).await?;
    print_calls(addr, &trip, &photo);
    let ending = running.await?;
    sandbox.stop().await;
    Ok(if ending.cut == 0 && !ending.failed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One file in and out again, then one more that stays for the calls that are printed.
async fn prove(addr: SocketAddr, photo: &Path) -> Result<String, String> {
    let bytes = picture::png();
    if let Err(error) = std::fs::write(photo, &bytes) {
        return Err(format!("can't write {}: {error}", photo.display()));
    }
    let trip = RoundTrip::new(addr);
    trip.run(&bytes).await?;
    let stored = trip.upload(&bytes).await?;
    Ok(stored.id)
}

/// The settings' own rules hold here, too; only the sources are others.
fn gateway(dev: &DevArgs, sandbox: &Sandbox) -> Result<Settings, SettingsErrors> {
    let mine = [
        (
            "SERVER__LISTEN",
            free("the gateway", dev.listen).to_string(),
        ),
        (
            "SERVER__ADMIN_LISTEN",
            free("the admin listener", dev.admin_listen).to_string(),
        ),
        ("SERVER__DRAIN_DELAY", "0s".to_owned()),
        ("AUTH__MODE", "none".to_owned()),
    ];
    let mut variables = Vec::new();
    for (key, value) in mine.into_iter().chain(settings(sandbox)) {
        variables.push((format!("ASSET_GATEWAY_{key}"), value));
    }
    Settings::from_sources(None, variables)
}

/// The address if it is free, else the same with a port of the system's choice.
fn free(who: &str, wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            println!("{wanted} is taken: {who} gets a free port");
            SocketAddr::new(wanted.ip(), 0)
        }
        _ => wanted,
    }
}

fn print_calls(addr: SocketAddr, id: &str, photo: &Path) {
    let photo = photo.display();
    println!(
        "
Paste these, from another terminal:

  # a form
  curl -F channel=whatsapp -F file=@{photo} http://{addr}/v1/assets

  # a raw body
  curl --data-binary @{photo} -H 'Content-Type: image/png' \
'http://{addr}/v1/assets?channel=sms&name=photo.png'

  # what is known of an asset, with a signed URL
  curl http://{addr}/v1/assets/{id}

  # its bytes, whole and in part
  curl -o out.png http://{addr}/v1/assets/{id}/content
  curl -r 0-7 http://{addr}/v1/assets/{id}/content | od -c

  # a wrong call: no channel
  curl --data-binary @{photo} http://{addr}/v1/assets

Ctrl-C ends it."
    );
}
