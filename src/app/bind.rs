//! Builds every part of the service from the settings, and binds both listeners.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::descriptors::{self, DescriptorDemand};
use super::error::StartError;
use crate::accounts::AccountService;
use crate::api::{AdminService, ApiService, TryPage};
use crate::config::{ServiceConfigs, Settings};
use crate::download::DownloadService;
use crate::egain::accounts::LiveRules;
use crate::egain::{EgainClient, OrphanQueue, OrphanWorker};
use crate::lifecycle::shutdown::Shutdown;
use crate::net::server::{self, ListenerConfig, TlsFiles, TlsIdentity};
use crate::storage::StorageClient;
use crate::telemetry::metrics::ServiceMetrics;
use crate::upload::{FileStore, UploadService};

/// A service that listens, and serves once it is run.
pub struct BoundService {
    pub(super) listener: TcpListener,
    pub(super) admin_listener: TcpListener,
    pub(super) config: ListenerConfig,
    pub(super) tls: Option<TlsIdentity>,
    pub(super) keys_file: Option<PathBuf>,
    pub(super) secret_file: Option<SecretFile>,
    pub(super) api: ApiService,
    pub(super) admin: AdminService,
    pub(super) egain: EgainClient,
    pub(super) live_rules: LiveRules,
    pub(super) orphan_worker: OrphanWorker,
    pub(super) shutdown: Shutdown,
    pub(super) metrics: Arc<ServiceMetrics>,
    pub(super) times: ShutdownTimes,
}

/// The file that eGain's secret was read from.
#[derive(Clone)]
pub(super) struct SecretFile {
    /// The secret's setting.
    pub(super) key: &'static str,
    pub(super) path: PathBuf,
}

/// How long the steps of a graceful shutdown take.
#[derive(Clone, Copy)]
pub(super) struct ShutdownTimes {
    /// Not ready, but still accepting requests.
    pub(super) delay: Duration,
    /// For the requests in flight to finish.
    pub(super) grace: Duration,
}

/// Builds the service and binds both listeners. Needs a runtime.
pub fn bind(settings: &Settings) -> Result<BoundService, StartError> {
    bind_with(settings, None)
}

/// As [`bind`], with the try-it page at `/`.
pub fn bind_with(settings: &Settings, page: Option<TryPage>) -> Result<BoundService, StartError> {
    let mut configs = settings.build()?;
    configs.api.page = page;
    let tls = load_tls(configs.tls.take())?;
    let listener_config = configs.listener.clone();
    let parts = ServiceParts::build(configs)?;
    let server = &settings.server;
    let admin = AdminService::new(
        parts.metrics.clone(),
        parts.shutdown.clone(),
        parts.egain.clone(),
        parts.orphans,
    );
    Ok(BoundService {
        listener: listen("server.listen", server.listen)?,
        admin_listener: listen("server.admin_listen", server.admin_listen)?,
        config: ListenerConfig {
            max_connections: descriptors::connections(descriptor_demand(settings)),
            ..listener_config
        },
        tls,
        keys_file: settings.file_of_keys().map(Path::to_owned),
        secret_file: secret_file(settings),
        api: parts.api,
        admin,
        egain: parts.egain,
        live_rules: parts.live_rules,
        orphan_worker: parts.orphan_worker,
        shutdown: parts.shutdown,
        metrics: parts.metrics,
        times: ShutdownTimes {
            delay: server.drain_delay,
            grace: server.shutdown_grace,
        },
    })
}

/// The parts that serve requests, and what they share.
struct ServiceParts {
    api: ApiService,
    egain: EgainClient,
    live_rules: LiveRules,
    orphans: OrphanQueue,
    orphan_worker: OrphanWorker,
    shutdown: Shutdown,
    metrics: Arc<ServiceMetrics>,
}

impl ServiceParts {
    fn build(configs: ServiceConfigs) -> Result<Self, StartError> {
        let shutdown = Shutdown::new();
        let metrics = new_metrics();
        let rules_ttl = configs.egain.rules_ttl;
        let egain = EgainClient::new(configs.egain, metrics.clone()).map_err(StartError::client)?;
        let storage =
            StorageClient::new(configs.storage, metrics.clone()).map_err(StartError::client)?;
        let orphans = OrphanQueue::new(metrics.clone());
        let orphan_worker = OrphanWorker::new(egain.clone(), orphans.clone());
        let file_store = FileStore {
            egain: egain.clone(),
            storage: storage.clone(),
            orphans: orphans.clone(),
        };
        let live_rules = LiveRules::new(egain.clone(), rules_ttl, &metrics);
        let upload = UploadService::new(
            configs.upload,
            configs.policy,
            live_rules.clone(),
            file_store,
            metrics.clone(),
        )
        .map_err(StartError::Spool)?;
        let download =
            DownloadService::new(egain.clone(), storage, configs.download, metrics.clone());
        let api = ApiService::new(
            &configs.api,
            upload,
            download,
            AccountService::new(egain.clone()),
            shutdown.clone(),
            metrics.clone(),
        )
        .map_err(StartError::client)?;
        Ok(Self {
            api,
            egain,
            live_rules,
            orphans,
            orphan_worker,
            shutdown,
            metrics,
        })
    }
}

fn new_metrics() -> Arc<ServiceMetrics> {
    let metrics = ServiceMetrics::new();
    let build = [env!("CARGO_PKG_VERSION"), env!("ASSET_GATEWAY_COMMIT")];
    metrics.build_info.with_label_values(&build).set(1);
    Arc::new(metrics)
}

fn load_tls(files: Option<TlsFiles>) -> Result<Option<TlsIdentity>, StartError> {
    match files {
        Some(files) => Ok(Some(TlsIdentity::load(files).map_err(StartError::tls)?)),
        None => Ok(None),
    }
}

fn secret_file(settings: &Settings) -> Option<SecretFile> {
    let (key, path) = settings.file_of_egains_secret()?;
    Some(SecretFile {
        key,
        path: path.to_owned(),
    })
}

fn descriptor_demand(settings: &Settings) -> DescriptorDemand {
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

impl BoundService {
    /// The data listener's address.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The admin listener's address.
    pub fn admin_addr(&self) -> io::Result<SocketAddr> {
        self.admin_listener.local_addr()
    }

    /// How many client connections may be open at one time.
    pub fn max_connections(&self) -> usize {
        self.config.max_connections
    }
}
