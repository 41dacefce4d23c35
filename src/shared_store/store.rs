//! [`SharedStore`]: the connection, and a port for each use of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::config::{InvalidStoreConfig, SharedStoreConfig};
use super::connection::{ConnectionSetup, StoreConnection};
use super::deletions::SharedDeletions;
use super::key_names::KeyNames;
use super::orphan_journal::OrphanJournal;
use super::seal::ValueSealer;
use super::shared_budget::SharedBudget;
use super::shared_keys::SharedKeys;
use super::shared_month::SharedMonth;
use super::shared_urls::SharedUrls;
use crate::telemetry::metrics::ServiceMetrics;

/// What replicas share.
#[derive(Clone)]
pub struct SharedStore {
    connection: StoreConnection,
    names: KeyNames,
    sealer: Arc<ValueSealer>,
    /// Unique among all processes that ever used the store.
    replica: Arc<str>,
}

impl SharedStore {
    /// Not connected: see [`Self::keep_connected`].
    ///
    /// # Errors
    /// The URL or a key has a wrong form.
    pub fn new(
        config: &SharedStoreConfig,
        metrics: &ServiceMetrics,
    ) -> Result<Self, InvalidStoreConfig> {
        let names = KeyNames::of_tenant(&config.tenant);
        let replica: Arc<str> = uuid::Uuid::new_v4().simple().to_string().into();
        let connection = StoreConnection::new(ConnectionSetup {
            client: config.client()?,
            channel: names.single("messages"),
            probe_key: names.of("replica", replica.as_bytes()),
            up: metrics.shared_store_up.clone(),
        });
        Ok(Self {
            connection,
            names,
            sealer: Arc::new(ValueSealer::new(config)?),
            replica,
        })
    }

    /// Connects, and connects again after each loss. Never returns.
    pub async fn keep_connected(self) {
        self.connection.keep().await;
    }

    /// Whether the store can be used now.
    pub fn is_up(&self) -> bool {
        self.connection.is_up()
    }

    /// Waits until the store can be used, for this long at most.
    pub async fn up_within(&self, limit: Duration) {
        let mut is_up = self.connection.watch();
        let _up_or_too_late = timeout(limit, is_up.wait_for(|is_up| *is_up)).await;
    }

    /// Signed URLs of all replicas.
    pub fn urls(&self) -> SharedUrls {
        SharedUrls::new(
            self.connection.clone(),
            self.names.clone(),
            self.sealer.clone(),
            self.replica.clone(),
        )
    }

    /// The budget of calls to one kind of routes.
    pub fn budget(&self, routes: &str) -> SharedBudget {
        SharedBudget::new(
            self.connection.clone(),
            &self.names,
            self.replica.clone(),
            routes,
        )
    }

    /// Where this replica writes down which assets have to be deleted.
    pub fn orphan_journal(&self) -> OrphanJournal {
        OrphanJournal::new(
            self.connection.clone(),
            self.names.clone(),
            self.sealer.clone(),
            &self.replica,
        )
    }

    /// The month's calls.
    pub fn month(&self) -> SharedMonth {
        SharedMonth::new(
            self.connection.clone(),
            self.names.clone(),
            self.replica.clone(),
        )
    }

    /// `Idempotency-Key`s of all replicas, whose responses are remembered for `ttl`.
    pub fn keys(&self, ttl: Duration) -> SharedKeys {
        SharedKeys::new(
            self.connection.clone(),
            self.names.clone(),
            self.sealer.clone(),
            ttl,
        )
    }

    /// Deletions at any replica, which stay known for as long as responses to keys that may lead to
    /// deleted assets.
    pub fn deletions(&self, ttl: Duration) -> SharedDeletions {
        SharedDeletions::new(
            self.connection.clone(),
            self.names.clone(),
            self.sealer.clone(),
            ttl,
        )
    }
}
