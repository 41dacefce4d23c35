//! The embedded eGain stand-in: token, assets and storage on one listener, as strict as eGain is
//! known to be, with faults on demand and everything counted.
//!
//! It shares only the layers `types`, `net`, `telemetry` and `lifecycle` with the gateway. It must
//! never use the gateway's own upload path, or it would share its mistakes and prove nothing.
//!
//! Tests in other languages reach the handle's powers over HTTP: `POST /_sandbox/faults` takes a
//! [`Fault`] or a list of them, `DELETE` there forgets those still to come, `POST
//! /_sandbox/oddities` takes a list of [`ResponseOddity`]s, `GET /_sandbox/stats` gives the
//! [`SandboxStats`], `POST /_sandbox/reset` forgets everything but tokens, and `POST
//! /_sandbox/channels` takes a channel in place of the one with its id.

mod accounts;
mod admission;
mod asset_store;
pub mod asset_view;
mod assets;
pub mod call_log;
mod channel_store;
mod channels;
mod clock;
pub mod config;
mod control;
mod create_asset;
mod download;
pub mod faults;
mod file;
mod file_writer;
mod handle;
pub mod limits;
pub mod oddities;
mod operation;
mod paging;
mod range;
mod reading;
mod reply;
mod routes;
mod service;
mod signature;
mod state;
pub mod stats;
mod storage;
mod token;
mod types;
mod upload;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use hyper::service::service_fn;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use crate::net::server::{self, ShutdownTokens};
use asset_view::AssetView;
use config::SandboxConfig;
use faults::Fault;
pub use handle::SandboxHandle;
use oddities::ResponseOddity;
use state::SandboxState;
use stats::SandboxStats;

/// A running stand-in. Dropping it cuts its connections and removes its files.
pub struct Sandbox {
    state: Arc<SandboxState>,
    addr: SocketAddr,
    serving: JoinHandle<()>,
    end: DropGuard,
}

impl Sandbox {
    /// Listens and serves from now on. Needs a runtime.
    ///
    /// # Errors
    /// The address can't be listened on, or no temporary folder can be made.
    pub fn start(config: SandboxConfig) -> io::Result<Self> {
        let listener = server::bind(config.listen)?;
        let addr = listener.local_addr()?;
        let root = config.public_base.clone().unwrap_or_else(|| root_at(addr));
        let state = Arc::new(SandboxState::open(config, root)?);
        let end = CancellationToken::new();
        let service = {
            let state = Arc::clone(&state);
            service_fn(move |request| Arc::clone(&state).respond(request))
        };
        let serving = server::serve(
            listener,
            server::ListenerConfig::default(),
            service,
            ShutdownTokens::new(end.clone(), end.clone()),
        );
        Ok(Self {
            state,
            addr,
            serving: tokio::spawn(serving),
            end: end.drop_guard(),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the API begins, to which `/assets` is added.
    pub fn base_url(&self) -> Url {
        self.url(routes::API)
    }

    /// Where tokens are given out.
    pub fn token_url(&self) -> Url {
        self.url("/token")
    }

    /// The client that may have tokens.
    pub fn client_id(&self) -> &str {
        &self.state.config.client_id
    }

    /// Its secret.
    pub fn client_secret(&self) -> &str {
        self.state.config.client_secret.expose_secret()
    }

    /// The calls so far, and the responses to them.
    pub fn stats(&self) -> SandboxStats {
        self.state.stats()
    }

    /// The assets that exist, in no order.
    pub fn assets(&self) -> Vec<AssetView> {
        self.state.asset_store.all()
    }

    /// Where the bytes of an asset lie, once it is complete.
    pub fn file(&self, id: &str) -> Option<PathBuf> {
        self.state.asset_store.stored(id).map(|stored| stored.path)
    }

    /// The channels that exist.
    pub fn channels(&self) -> Vec<Value> {
        self.state.channels.all()
    }

    /// Puts a channel in place of the one with its `id`, or beside the others: eGain has no call
    /// for that.
    pub fn put_channel(&self, channel: Value) {
        self.state.channels.put(channel);
    }

    /// Puts an account in place of the one with its `id`, or beside the others, whatever the rules
    /// say.
    pub fn put_account(&self, account: Value) {
        self.state.accounts.put(account);
    }

    /// Deletes an account. Whether there was one with this id.
    pub fn remove_account(&self, id: &str) -> bool {
        self.state.accounts.remove(id)
    }

    /// Lets something go wrong, after the faults that were set before.
    pub fn fault(&self, fault: Fault) {
        self.state.faults.add(fault);
    }

    /// For what looks in and doesn't own it.
    pub fn handle(&self) -> SandboxHandle {
        SandboxHandle(self.state.clone())
    }

    /// Responds in these odd forms, and no others, from now on.
    pub fn odd(&self, oddities: impl IntoIterator<Item = ResponseOddity>) {
        self.state.oddities.set(oddities);
    }

    /// Forgets faults, oddities, counts, assets and spent calls; tokens stay good.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// Cuts all connections, stops listening and waits until that is done.
    pub async fn stop(self) {
        self.end.disarm().cancel();
        let _ = self.serving.await;
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.state.root.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url
    }
}

/// An address that listens everywhere is reached at the loopback one.
fn root_at(addr: SocketAddr) -> Url {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
        .parse()
        .expect("an address makes a URL")
}
