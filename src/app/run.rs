//! Serves until the stop signal, then shuts down gracefully.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::background::{BackgroundTasks, EssentialTasks, ended};
use super::bind::{BoundService, SharedParts, ShutdownTimes};
use super::descriptors::ADMIN_CONNECTIONS;
use super::reload::{keep_keys_current, keep_secret_current};
use crate::egain::take_over_orphans;
use crate::lifecycle::shutdown::{Shutdown, ShutdownPhase};
use crate::net::server::{self, ListenerConfig, ShutdownTokens};

/// The deletion of orphans gets at least this long at the end, even when the grace period is used
/// up.
const ORPHAN_TIME: Duration = Duration::from_secs(2);

/// How long the start waits for the store that replicas share, so that the first requests can use
/// it.
const STORE_TIME: Duration = Duration::from_millis(500);

/// What was left when the service stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownOutcome {
    /// Requests that were aborted.
    pub cut: usize,
    /// Whether the service stopped because of a defect.
    pub failed: bool,
}

impl BoundService {
    /// Serves until `stop`, then shuts down gracefully; `abort` ends that early.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        abort: impl Future<Output = ()>,
    ) -> ShutdownOutcome {
        let background = self.spawn_background();
        let shutdown = self.shutdown.clone();
        let metrics = self.metrics.clone();
        let times = self.times;
        let stop_admin = CancellationToken::new();
        let stop_orphans = CancellationToken::new();
        if let Some(shared) = &self.shared {
            shared.store.up_within(STORE_TIME).await;
        }
        let mut tasks = self.spawn_essential(&stop_admin, &stop_orphans);
        shutdown.enter(ShutdownPhase::Serving);
        let failed = tokio::select! {
            () = stop => false,
            () = tasks.one_has_failed() => true,
        };
        metrics.draining.set(1);
        tokio::select! {
            () = finish_requests(&shutdown, times, &mut tasks.data) => {}
            () = abort => {
                tracing::warn!(running = shutdown.running(), "second stop signal, aborting");
            }
        }
        let outcome = ShutdownOutcome {
            cut: shutdown.running(),
            failed,
        };
        shutdown.closing().cancel();
        shutdown.abort().cancel();
        finish_orphans(&shutdown, &stop_orphans, &mut tasks.orphans).await;
        drop(background);
        tasks.sign_in.abort();
        stop_admin.cancel();
        ended(&mut tasks.admin).await;
        outcome
    }

    fn spawn_essential(
        self,
        stop_admin: &CancellationToken,
        stop_orphans: &CancellationToken,
    ) -> EssentialTasks {
        let data_config = ListenerConfig {
            tls: self.tls,
            ..self.config.clone()
        };
        let data_tokens = ShutdownTokens {
            not_ready: self.shutdown.not_ready(),
            close: self.shutdown.closing(),
            abort: self.shutdown.abort(),
        };
        let data = server::serve(self.listener, data_config, self.api, data_tokens);
        let admin_config = ListenerConfig {
            max_connections: ADMIN_CONNECTIONS,
            ..self.config
        };
        let admin_tokens = ShutdownTokens::new(stop_admin.clone(), stop_admin.clone());
        let admin = server::serve(self.admin_listener, admin_config, self.admin, admin_tokens);
        EssentialTasks {
            data: tokio::spawn(data),
            admin: tokio::spawn(admin),
            orphans: tokio::spawn(self.orphan_worker.run(stop_orphans.clone())),
            sign_in: tokio::spawn(self.egain.keep_signed_in()),
        }
    }

    /// The tasks that keep certificates, keys, rules and tokens fresh.
    fn spawn_background(&self) -> BackgroundTasks {
        let mut background = BackgroundTasks::default();
        if let Some(tls) = self.tls.clone() {
            background.keep("certificate", move || tls.clone().keep_current());
        }
        if let Some(file) = self.keys_file.clone() {
            let api = self.api.clone();
            background.keep("keys of callers", move || {
                keep_keys_current(file.clone(), api.clone())
            });
        }
        if let Some(file) = self.secret_file.clone() {
            let egain = self.egain.clone();
            background.keep("secret of eGain", move || {
                keep_secret_current(file.clone(), egain.clone())
            });
        }
        if let Some(shared) = &self.shared {
            self.spawn_shared(shared, &mut background);
        }
        let rules = self.live_rules.clone();
        background.keep("attachment rules", move || rules.clone().keep_fresh());
        let api = self.api.clone();
        background.keep("tokens of callers", move || {
            api.clone().keep_callers_fresh()
        });
        background
    }

    /// The tasks that keep this replica and the others in step.
    fn spawn_shared(&self, shared: &SharedParts, background: &mut BackgroundTasks) {
        let store = shared.store.clone();
        background.keep("shared store", move || store.clone().keep_connected());
        let (egain, store) = (self.egain.clone(), shared.store.clone());
        background.keep("shared budget", move || {
            egain.clone().keep_shared(store.clone())
        });
        let (api, deletions) = (self.api.clone(), shared.deletions.clone());
        background.keep("deletions of other replicas", move || {
            api.clone().follow_deletions(deletions.feed())
        });
        let journal = shared.journal.clone();
        background.keep("journal of orphans", move || journal.clone().keep_written());
        let (egain, orphans) = (self.egain.clone(), self.orphans.clone());
        let journal = shared.journal.clone();
        background.keep("orphans of other replicas", move || {
            take_over_orphans(egain.clone(), orphans.clone(), journal.clone())
        });
    }
}

/// Reports not ready while still serving, then refuses new uploads, then closes the listener.
/// Returns when all requests have finished or the grace period is over.
async fn finish_requests(shutdown: &Shutdown, times: ShutdownTimes, data: &mut JoinHandle<()>) {
    let ShutdownTimes { delay, grace } = times;
    tracing::info!(?delay, "shutting down: not ready, still accepting requests");
    shutdown.enter(ShutdownPhase::NotReady);
    tokio::time::sleep(delay).await;
    tracing::info!(
        running = shutdown.running(),
        ?grace,
        "draining: refusing new uploads"
    );
    shutdown.enter(ShutdownPhase::Draining);
    let deadline = Instant::now() + grace;
    if timeout_at(deadline, shutdown.early_requests_ended())
        .await
        .is_err()
    {
        let running = shutdown.running();
        tracing::warn!(running, "shutdown grace period expired, aborting");
        return;
    }
    shutdown.closing().cancel();
    let _closed_or_out_of_time = timeout_at(deadline, ended(data)).await;
}

/// Gives the orphans' queue time for its last deletions. A request that is aborted adds its asset
/// to the queue while it is dropped, so the queue has to outlive the requests.
async fn finish_orphans(
    shutdown: &Shutdown,
    stop_orphans: &CancellationToken,
    orphans: &mut JoinHandle<()>,
) {
    let deadline = Instant::now() + ORPHAN_TIME;
    let _dropped_or_out_of_time = timeout_at(deadline, shutdown.idle()).await;
    stop_orphans.cancel();
    if timeout_at(deadline, ended(orphans)).await.is_err() {
        // Dropped now, the queue logs the orphans that are left.
        orphans.abort();
        ended(orphans).await;
    }
}
