//! The service as a whole: from settings to listeners, and from "told to stop" to stopped.

mod background;
mod descriptors;

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::accounts::AccountService;
use crate::api::{self, AdminService, Api};
use crate::config::Settings;
use crate::config::errors::SettingsErrors;
use crate::download::DownloadService;
use crate::egain::accounts::LiveRules;
use crate::egain::{EgainClient, OrphanQueue, OrphanWorker};
use crate::lifecycle::file_watcher::FileWatcher;
use crate::lifecycle::shutdown::{Shutdown, ShutdownPhase};
use crate::net::server::{self, ShutdownTokens, TlsError, TlsIdentity};
use crate::storage::StorageClient;
use crate::telemetry::metrics::ServiceMetrics;
use crate::upload::{FileStore, UploadService};
use background::{BackgroundTasks, TaskImportance, ended};
use descriptors::{ADMIN_CONNECTIONS, DescriptorDemand};

/// The orphans' deletions get at least so long at the end, also when the grace time is used up.
const LAST_CALLS: Duration = Duration::from_secs(2);

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
        /// What the system says.
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
        "limits.spool_dir: can't make temporary files there: {0}; set another folder, or limits.spool_total = 0"
    )]
    Spool(io::Error),
    /// The machine has no CA certificates, most likely.
    #[error("can't make an HTTPS client: {0}; are CA certificates installed?")]
    Client(Box<dyn Error + Send + Sync>),
}

impl StartError {
    fn client(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Client(why.into())
    }

    fn tls(source: TlsError) -> Self {
        let key = match source {
            TlsError::Cert(_) => "server.tls_cert",
            TlsError::Key(_) => "server.tls_key",
        };
        Self::Tls { key, source }
    }
}

/// A service that listens.
pub struct Bound {
    listener: TcpListener,
    admin_listener: TcpListener,
    config: server::ListenerConfig,
    tls: Option<TlsIdentity>,
    keys: Option<PathBuf>,
    secret: Option<(&'static str, PathBuf)>,
    api: Api,
    admin: AdminService,
    egain: EgainClient,
    live_rules: LiveRules,
    orphans: OrphanWorker,
    drain: Shutdown,
    metrics: Arc<ServiceMetrics>,
    times: Times,
}

#[derive(Clone, Copy)]
struct Times {
    delay: Duration,
    grace: Duration,
}

/// What was left when the service stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownOutcome {
    /// Exchanges that were cut.
    pub cut: usize,
    /// Whether a defect was why it stopped.
    pub failed: bool,
}

/// Puts the parts together and binds both listeners. Needs a runtime.
pub fn bind(settings: &Settings) -> Result<Bound, StartError> {
    bind_with(settings, None)
}

/// As [`bind`], with a page at `/`.
pub fn bind_with(
    settings: &Settings,
    home_page: Option<&'static str>,
) -> Result<Bound, StartError> {
    let parts = settings.build()?;
    let tls = parts
        .tls
        .map(TlsIdentity::load)
        .transpose()
        .map_err(StartError::tls)?;
    let (metrics, drain) = (Arc::new(ServiceMetrics::new()), Shutdown::new());
    metrics
        .build_info
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
    let rules_ttl = parts.egain.rules_ttl;
    let egain = EgainClient::new(parts.egain, metrics.clone()).map_err(StartError::client)?;
    let storage = StorageClient::new(parts.storage, metrics.clone()).map_err(StartError::client)?;
    let orphans = OrphanQueue::new(metrics.clone());
    let worker = OrphanWorker::new(egain.clone(), orphans.clone());
    let file_store = FileStore {
        egain: egain.clone(),
        storage: storage.clone(),
        orphans: orphans.clone(),
    };
    let live_rules = LiveRules::new(egain.clone(), rules_ttl, &metrics);
    let upload = UploadService::new(
        parts.upload,
        parts.policy,
        live_rules.clone(),
        file_store,
        metrics.clone(),
    )
    .map_err(StartError::Spool)?;
    let download = DownloadService::new(egain.clone(), storage, parts.download, metrics.clone());
    let api = api::ApiConfig {
        home_page,
        ..parts.api
    };
    let accounts = AccountService::new(egain.clone());
    let api = Api::new(
        &api,
        upload,
        download,
        accounts,
        drain.clone(),
        metrics.clone(),
    )
    .map_err(StartError::client)?;
    Ok(Bound {
        listener: listen("server.listen", settings.server.listen)?,
        admin_listener: listen("server.admin_listen", settings.server.admin_listen)?,
        config: server::ListenerConfig {
            max_connections: descriptors::connections(wanted(settings)),
            ..parts.listener
        },
        tls,
        keys: settings.file_of_keys().map(Path::to_owned),
        secret: settings
            .file_of_egains_secret()
            .map(|(key, file)| (key, file.to_owned())),
        api,
        admin: AdminService::new(metrics.clone(), drain.clone(), egain.clone(), orphans),
        egain,
        live_rules,
        orphans: worker,
        drain,
        metrics,
        times: Times {
            delay: settings.server.drain_delay,
            grace: settings.server.shutdown_grace,
        },
    })
}

fn wanted(settings: &Settings) -> DescriptorDemand {
    let server = &settings.server;
    DescriptorDemand {
        connections: server.max_connections,
        uploads: server.max_uploads,
        downloads: server.max_downloads,
    }
}

fn listen(key: &'static str, addr: SocketAddr) -> Result<TcpListener, StartError> {
    server::bind(addr).map_err(|source| StartError::Listen { key, addr, source })
}

impl Bound {
    /// Where the data listener listens.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where the admin listener listens.
    pub fn admin_addr(&self) -> io::Result<SocketAddr> {
        self.admin_listener.local_addr()
    }

    /// How many connections of callers may be open at one time.
    pub fn max_connections(&self) -> usize {
        self.config.max_connections
    }

    /// Serves until `stop`, then drains; `abort` ends that early.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        abort: impl Future<Output = ()>,
    ) -> ShutdownOutcome {
        let background = self.background();
        let Self {
            drain,
            metrics,
            times,
            ..
        } = self;
        let cut = drain.abort();
        let (admin_end, orphans_end) = (CancellationToken::new(), CancellationToken::new());
        let ends = ShutdownTokens {
            leave: drain.leaving(),
            close: drain.closing(),
            abort: cut.clone(),
        };
        let in_public = server::ListenerConfig {
            tls: self.tls,
            ..self.config.clone()
        };
        let for_admin = server::ListenerConfig {
            max_connections: ADMIN_CONNECTIONS,
            ..self.config
        };
        let ends_of_admin = ShutdownTokens::new(admin_end.clone(), admin_end.clone());
        let mut vital = TaskImportance {
            data: tokio::spawn(server::serve(self.listener, in_public, self.api, ends)),
            admin: tokio::spawn(server::serve(
                self.admin_listener,
                for_admin,
                self.admin,
                ends_of_admin,
            )),
            orphans: tokio::spawn(self.orphans.run(orphans_end.clone())),
            sign_in: tokio::spawn(self.egain.keep_signed_in()),
        };
        drain.enter(ShutdownPhase::Serving);
        let failed = tokio::select! {
            () = stop => false,
            () = vital.one_has_failed() => true,
        };
        metrics.draining.set(1);
        tokio::select! {
            () = leave(&drain, times, &mut vital.data) => {}
            () = abort => tracing::warn!(running = drain.running(), "told to stop at once"),
        }
        let ending = ShutdownOutcome {
            cut: drain.running(),
            failed,
        };
        drain.closing().cancel();
        cut.cancel();
        // What is cut hands its asset over while it is dropped, which the orphans' queue must live
        // to see.
        let last = Instant::now() + LAST_CALLS;
        let _dropped_or_out_of_time = timeout_at(last, drain.idle()).await;
        orphans_end.cancel();
        if timeout_at(last, ended(&mut vital.orphans)).await.is_err() {
            // Dropped now, it says what it leaves.
            vital.orphans.abort();
            ended(&mut vital.orphans).await;
        }
        drop(background);
        vital.sign_in.abort();
        admin_end.cancel();
        ended(&mut vital.admin).await;
        ending
    }

    /// What keeps certificates, keys and tokens fresh.
    fn background(&self) -> BackgroundTasks {
        let mut background = BackgroundTasks::default();
        if let Some(tls) = self.tls.clone() {
            background.keep("certificate", move || tls.clone().keep_current());
        }
        if let Some(file) = self.keys.clone() {
            let api = self.api.clone();
            background.keep("keys of callers", move || {
                keep_keys_current(file.clone(), api.clone())
            });
        }
        if let Some((key, file)) = self.secret.clone() {
            let egain = self.egain.clone();
            background.keep("secret of eGain", move || {
                keep_secret_current(key, file.clone(), egain.clone())
            });
        }
        let rules = self.live_rules.clone();
        background.keep("attachment rules", move || rules.clone().keep_fresh());
        let api = self.api.clone();
        background.keep("tokens of callers", move || {
            api.clone().keep_callers_fresh()
        });
        background
    }
}

/// Reads the callers' keys again when their file changes, and once now: it may have changed since
/// it was read first.
async fn keep_keys_current(file: PathBuf, api: Api) {
    let mut changes = FileWatcher::of(vec![file.clone()]);
    loop {
        match Settings::keys_in(&file) {
            Ok(keys) if api.replace_keys(&keys) => {
                tracing::info!(keys = keys.len(), "callers' keys have changed")
            }
            Ok(_) => {}
            Err(mistakes) => {
                tracing::error!(%mistakes, "callers' keys can't be read again, the old ones stay")
            }
        }
        changes.next().await;
    }
}

/// Reads eGain's secret again when its file changes, and once now: it may have changed since it was
/// read first.
async fn keep_secret_current(key: &'static str, file: PathBuf, egain: EgainClient) {
    let mut changes = FileWatcher::of(vec![file.clone()]);
    loop {
        match Settings::egains_secret_in(key, &file) {
            Ok(secret) if egain.replace_secret(&secret) => {
                tracing::info!(key, "a secret has changed: signing in with it")
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(key, %error, "a secret can't be read again, the old one stays")
            }
        }
        changes.next().await;
    }
}

/// First unready but serving, then no new uploads, then no new connections; until all is done or
/// the time is up.
async fn leave(drain: &Shutdown, times: Times, data: &mut JoinHandle<()>) {
    tracing::info!(delay = ?times.delay, "told to stop: not ready from now on, still serving");
    drain.enter(ShutdownPhase::NotReady);
    tokio::time::sleep(times.delay).await;
    tracing::info!(running = drain.running(), grace = ?times.grace, "takes no new uploads, finishes the running ones");
    drain.enter(ShutdownPhase::Draining);
    let deadline = Instant::now() + times.grace;
    if timeout_at(deadline, drain.settled()).await.is_err() {
        tracing::warn!(running = drain.running(), "the grace time is over");
        return;
    }
    drain.closing().cancel();
    let _closed_or_out_of_time = timeout_at(deadline, ended(data)).await;
}
