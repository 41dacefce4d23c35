//! What several replicas of the gateway share, on Redis. Off unless `cache.redis_url` is set.
//!
//! **A helper, never a source of truth.** eGain and storage know which assets exist. The store only
//! saves calls and coordinates replicas, so losing all of it loses nothing that was accepted, and
//! no request fails because of it.
//!
//! **A bounded wait and a circuit breaker.** All commands go over one multiplexed connection, and
//! each waits for [`connection::COMMAND_TIMEOUT`] at most. A lost connection, a Redis that takes no
//! writes (full, a replica, loading), or some timeouts in a row open the circuit: commands then
//! fail at once, and every user goes on with local state. One task reconnects, with backoff and
//! jitter, and closes the circuit only after a probe was written. So a Redis that comes back meets
//! one connection per replica, and not the requests of a whole outage.
//!
//! **Narrow ports.** [`SharedStore`] makes one for each use: [`SharedUrls`], [`SharedKeys`],
//! [`SharedDeletions`], [`SharedBudget`], [`SharedMonth`], [`OrphanJournal`]. Their users see
//! assets, bytes and durations, and nothing of Redis.
//!
//! **Keys** begin with `asset-gateway`, a version of this format, and a hash of the tenant, so that
//! tenants and incompatible releases share one Redis without reading each other's data. Ids of
//! assets are hashed in names of keys.
//!
//! **Values are sealed** (AEAD) with `cache.seal_key`, with the name of their key as associated
//! data: who reads Redis sees no signed URL, id or file name, and a value that was moved to another
//! key isn't opened. A second key opens what was sealed before a rotation.
//!
//! Redis' own clock decides how long something is valid, so the replicas' clocks don't matter.
//! Sentinel and Cluster are not supported.

mod config;
mod connection;
mod deletions;
mod key_names;
mod lease;
mod orphan_journal;
mod seal;
mod shared_budget;
mod shared_keys;
mod shared_month;
mod shared_urls;
mod store;

pub use config::{InvalidStoreConfig, SharedStoreConfig};
pub use deletions::{AssetDeletion, DeletionFeed, SharedDeletions};
pub use lease::StoreLease;
pub use orphan_journal::{ClaimedAsset, OrphanJournal};
pub use shared_budget::{BudgetGrant, BudgetReport, BudgetSize, SharedBudget};
pub use shared_keys::{SharedKeyLookup, SharedKeys};
pub use shared_month::{SharedCallCount, SharedMonth};
pub use shared_urls::{SharedUrlLookup, SharedUrls};
pub use store::SharedStore;
