//! The budget of eGain calls that all replicas share: a token bucket in Redis, by Redis' clock.

use std::sync::Arc;
use std::time::Duration;

use redis::Script;
use tokio::sync::watch;

use super::connection::StoreConnection;
use super::key_names::KeyNames;

/// The longest wait that is returned: what is further away isn't known any better.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A budget of calls that all replicas share.
#[derive(Clone)]
pub struct SharedBudget {
    store: StoreConnection,
    is_up: watch::Receiver<bool>,
    key: String,
    replica: Arc<str>,
    script: Arc<Script>,
}

/// The size of a budget, for all replicas together.
#[derive(Debug, Clone, Copy)]
pub struct BudgetSize {
    /// Calls a second.
    pub per_second: f64,
    /// Calls at once.
    pub burst: u32,
    /// How many replicas there should be.
    pub replicas: u32,
}

/// What a replica tells of its calls. The numbers are totals, so that a report that was lost or
/// repeated changes nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetReport {
    /// Calls since its start.
    pub spent: i64,
    /// Permits that it holds: calls in flight, and permits that weren't used yet.
    pub held: u32,
    /// Permits that it wants beside those.
    pub want: u32,
    /// How full its own share is, 0 to 1. Where Redis has forgotten the budget, it begins with the
    /// shares.
    pub level: f64,
    /// A pause that eGain has just asked for.
    pub pause: Option<Duration>,
    /// Whether it is the first one after the store was lost.
    pub is_back: bool,
}

/// What a replica may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetGrant {
    /// New permits.
    pub permits: u32,
    /// When to ask for the others.
    pub wait: Duration,
    /// Replicas that wait for permits.
    pub waiting: u32,
    /// What is left of a pause that eGain has asked any replica for.
    pub pause: Duration,
    /// Permits that are left for everybody.
    pub free: u32,
}

impl SharedBudget {
    /// `routes` tells it from other budgets.
    pub(super) fn new(
        store: StoreConnection,
        names: &KeyNames,
        replica: Arc<str>,
        routes: &str,
    ) -> Self {
        Self {
            is_up: store.watch(),
            store,
            key: names.single(&format!("budget:{routes}")),
            replica,
            script: Arc::new(Script::new(include_str!("budget.lua"))),
        }
    }

    /// Whether the store can be used now.
    pub fn is_up(&self) -> bool {
        self.store.is_up()
    }

    /// Returns once the store is lost or back.
    pub async fn changed(&mut self) {
        // The store holds the sender.
        let _store_is_there = self.is_up.changed().await;
    }

    /// Reports calls, and takes permits. None if the store can't be used.
    pub async fn exchange(&self, size: BudgetSize, report: &BudgetReport) -> Option<BudgetGrant> {
        let pause = report.pause.unwrap_or_default().as_millis() as u64;
        let mut exchange = self.script.key(&self.key);
        exchange
            .arg(&*self.replica)
            .arg(report.spent)
            .arg(report.held)
            .arg(report.want)
            .arg(size.per_second)
            .arg(size.burst)
            .arg(report.level)
            .arg(pause)
            .arg(size.replicas.max(1))
            .arg(u8::from(report.is_back));
        let (permits, wait, waiting, pause, free): (u32, u64, u32, u64, u32) =
            self.store.invoke(&exchange).await.ok()?;
        Some(BudgetGrant {
            permits,
            wait: Duration::from_micros(wait).min(LONGEST_WAIT),
            waiting,
            pause: Duration::from_micros(pause),
            free,
        })
    }
}
