//! Everything that the stand-in knows.

use std::sync::Arc;

use url::Url;

use super::accounts::account_store::AccountStore;
use super::asset_store::AssetStore;
use super::call_log::CallLog;
use super::channel_store::ChannelStore;
use super::clock::SandboxClock;
use super::config::SandboxConfig;
use super::faults::pending::PendingFaults;
use super::limits::SandboxLimits;
use super::oddities::ActiveOddities;
use super::routes::RouteTable;
use super::signature::UrlSigner;
use super::stats::{SandboxStats, StatsTally};
use super::token::IssuedTokens;

/// Everything that the stand-in knows.
pub(super) struct SandboxState {
    pub(super) config: SandboxConfig,
    /// Where callers reach it.
    pub(super) root: Url,
    pub(super) routes: RouteTable,
    pub(super) clock: SandboxClock,
    pub(super) signer: UrlSigner,
    pub(super) tokens: IssuedTokens,
    pub(super) limits: SandboxLimits,
    pub(super) asset_store: Arc<AssetStore>,
    pub(super) accounts: AccountStore,
    pub(super) channels: ChannelStore,
    pub(super) faults: PendingFaults,
    pub(super) oddities: ActiveOddities,
    pub(super) tally: Arc<StatsTally>,
    pub(super) calls: CallLog,
}

impl SandboxState {
    pub(super) fn open(config: SandboxConfig, root: Url) -> std::io::Result<Self> {
        Ok(Self {
            root,
            routes: RouteTable::all(),
            clock: SandboxClock::ahead_by(config.clock_skew),
            signer: UrlSigner::with_fresh_secret(),
            tokens: IssuedTokens::default(),
            limits: SandboxLimits::of(config.plan),
            asset_store: Arc::new(AssetStore::in_temporary_folder()?),
            accounts: AccountStore::default(),
            channels: ChannelStore::with_samples(),
            faults: PendingFaults::default(),
            oddities: ActiveOddities::default(),
            tally: Arc::default(),
            calls: CallLog::default(),
            config,
        })
    }

    pub(super) fn stats(&self) -> SandboxStats {
        self.tally
            .read(self.asset_store.all(), self.faults.all(), self.calls.all())
    }

    /// Back to the beginning, except that tokens stay good: callers keep theirs between tests.
    pub(super) fn reset(&self) {
        self.faults.clear();
        self.oddities.set([]);
        self.tally.reset();
        self.calls.clear();
        self.limits.reset();
        self.asset_store.clear();
        self.accounts.clear();
        self.channels.reset();
    }
}
