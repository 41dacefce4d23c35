//! The month's calls of all replicas, which no restart forgets.

use std::sync::Arc;

use redis::Script;
use tokio::sync::watch;

use super::connection::StoreConnection;
use super::key_names::KeyNames;

/// The month's calls of all replicas.
#[derive(Clone)]
pub struct SharedMonth {
    store: StoreConnection,
    is_up: watch::Receiver<bool>,
    names: KeyNames,
    replica: Arc<str>,
    script: Arc<Script>,
}

/// Calls of one operation in a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedCallCount {
    /// By this replica since its start.
    pub made: u64,
    /// Those of them that the store was told before.
    pub told: u64,
    /// By all replicas, as far as this one knows.
    pub total: u64,
}

impl SharedMonth {
    pub(super) fn new(store: StoreConnection, names: KeyNames, replica: Arc<str>) -> Self {
        Self {
            is_up: store.watch(),
            store,
            names,
            replica,
            script: Arc::new(Script::new(include_str!("month.lua"))),
        }
    }

    /// Returns once the store can be used.
    pub async fn up(&mut self) {
        // The store holds the sender.
        let _store_is_there = self.is_up.wait_for(|is_up| *is_up).await;
    }

    /// Tells of this replica's calls in a month, such as `2026-11`, operation by operation. Returns
    /// the totals of all replicas, or none if the store can't be used.
    pub async fn exchange(&self, month: &str, counts: &[SharedCallCount]) -> Option<Vec<u64>> {
        let key = self.names.single(&format!("month:{month}"));
        let mut exchange = self.script.key(key);
        exchange.arg(&*self.replica);
        for count in counts {
            exchange.arg(count.made).arg(count.told).arg(count.total);
        }
        let totals: Vec<u64> = self.store.invoke(&exchange).await.ok()?;
        (totals.len() == counts.len()).then_some(totals)
    }
}
