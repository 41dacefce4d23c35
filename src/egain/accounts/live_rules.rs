//! What each account's channel lets be attached, kept at hand: no upload waits for eGain once an
//! account is known.
//!
//! An account costs two calls when it is first seen and then two a period, however many callers are
//! bound to it. The last good copy stays while eGain is down; an account that was never seen is
//! refused then, and not guessed.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Channel;
use crate::egain::EgainClient;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::account::{AccountId, ChannelId};
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode, Stage};

/// Accounts that are kept; callers' tokens may name any.
const MOST_ACCOUNTS: u64 = 10_000;

/// An account that nobody has uploaded for in so long isn't refreshed any more.
const UNUSED: Duration = Duration::from_secs(3600);

/// How often the refresh looks for what is due, at least and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The rules of all accounts that callers are bound to.
#[derive(Clone)]
pub struct LiveRules {
    egain: EgainClient,
    /// How old a copy may become before it is refreshed.
    ttl: Duration,
    accounts: Cache<AccountId, Arc<Entry>>,
}

/// One account, as it was last seen.
struct Entry(RwLock<Seen>);

struct Seen {
    verdict: Verdict,
    fetched: Instant,
    /// When to look again; later than the copy's age alone says where that has failed.
    due: Instant,
}

/// What an account lets its callers do.
#[derive(Clone)]
enum Verdict {
    /// Upload by this channel's rules.
    Open(Arc<Channel>),
    /// Nothing, and why.
    Closed(&'static str),
}

impl LiveRules {
    /// Knows no account yet.
    pub fn new(egain: EgainClient, ttl: Duration, metrics: &ServiceMetrics) -> Self {
        let accounts = Cache::builder()
            .max_capacity(MOST_ACCOUNTS)
            .time_to_idle(UNUSED)
            .build();
        let rules = Self {
            egain,
            ttl,
            accounts,
        };
        let seen = rules.clone();
        metrics.at_scrape(move |metrics| metrics.rules_age.set(seen.oldest().as_secs_f64()));
        rules
    }

    /// The channel of an account, with its rules. Asks eGain only where the account was never seen.
    ///
    /// # Errors
    /// `forbidden` for an account or channel that is deleted or inactive; `upstream-unavailable`
    /// where eGain can't be asked.
    pub async fn channel_of(&self, account: &AccountId) -> Result<Arc<Channel>, Error> {
        let entry = match self.accounts.get(account).await {
            Some(entry) => entry,
            None => self.first(account).await?,
        };
        let verdict = entry.0.read().verdict.clone();
        match verdict {
            Verdict::Open(channel) => Ok(channel),
            Verdict::Closed(why) => Err(Error::caller(ErrorCode::Forbidden, Stage::Policy, why)),
        }
    }

    /// Single flight: all who wait for one account share one fetch.
    async fn first(&self, account: &AccountId) -> Result<Arc<Entry>, Error> {
        let (rules, id) = (self.clone(), account.clone());
        // In a task of its own, so that a caller that leaves doesn't make the others ask once more.
        let fetch = async move {
            tokio::spawn(async move { rules.fetch(&id).await })
                .await
                .unwrap_or_else(|_| Err(defect()))
        };
        let ttl = self.ttl;
        let entry = async move {
            fetch
                .await
                .map(|verdict| Arc::new(Entry::new(verdict, ttl)))
        };
        self.accounts
            .try_get_with(account.clone(), entry)
            .await
            .map_err(|fault| never_seen(&fault))
    }

    /// Refreshes what is due, for ever.
    pub async fn keep_fresh(self) {
        loop {
            sleep((self.ttl / 10).clamp(LOOKS.0, LOOKS.1)).await;
            for (account, entry) in &self.accounts {
                if entry.0.read().due <= Instant::now() {
                    self.refresh(&account, &entry).await;
                }
            }
        }
    }

    async fn refresh(&self, account: &AccountId, entry: &Entry) {
        let fetched = self.fetch(account).await;
        let seen = &mut *entry.0.write();
        match fetched {
            Ok(verdict) => *seen = Seen::now(verdict, self.ttl),
            Err(fault) => {
                seen.due = Instant::now() + self.ttl;
                let age_s = seen.fetched.elapsed().as_secs();
                tracing::warn!(%account, age_s, code = fault.code().name(), "attachment rules refresh failed, keeping the last ones");
            }
        }
    }

    /// Two calls: the account, and the channel that it names.
    async fn fetch(&self, id: &AccountId) -> Result<Verdict, Error> {
        let by = &Principal::Gateway;
        let account = match self.egain.get_account(id, by).await {
            Ok(account) => account,
            Err(fault) if fault.code() == ErrorCode::NotFound => {
                return Ok(Verdict::Closed(
                    "this caller's account doesn't exist at eGain any more: an operator must bind it to another",
                ));
            }
            Err(fault) => return Err(fault),
        };
        if account["active"] == Value::Bool(false) {
            return Ok(Verdict::Closed(
                "this caller's account is inactive at eGain: an operator must activate it",
            ));
        }
        let channel = account["channel"]["id"].as_str().and_then(ChannelId::parse);
        let Some(channel) = channel else {
            return Ok(Verdict::Closed(
                "this caller's account names no channel at eGain: an operator must look at it",
            ));
        };
        let channel = Channel::fetch(&self.egain, &channel, by).await?;
        if !channel.active {
            return Ok(Verdict::Closed(
                "the channel of this caller's account is inactive at eGain: an operator must activate it",
            ));
        }
        Ok(Verdict::Open(Arc::new(channel)))
    }

    /// The age of the oldest copy; no time where there is none.
    fn oldest(&self) -> Duration {
        let ages = self
            .accounts
            .iter()
            .map(|(_, entry)| entry.0.read().fetched.elapsed());
        ages.max().unwrap_or_default()
    }
}

impl Entry {
    fn new(verdict: Verdict, ttl: Duration) -> Self {
        Self(RwLock::new(Seen::now(verdict, ttl)))
    }
}

impl Seen {
    fn now(verdict: Verdict, ttl: Duration) -> Self {
        let now = Instant::now();
        Self {
            verdict,
            fetched: now,
            due: now + ttl,
        }
    }
}

/// Without rules nothing can be judged, whatever the reason: the caller may come back.
fn never_seen(fault: &Error) -> Error {
    let detail = "the rules of this caller's account can't be read from eGain, and none were read before: try again later; if it \
                  lasts, an operator must check that the client has the scope app.conversation.conversationmgr.read or .manage";
    let wait = fault.wait().unwrap_or(Duration::from_secs(5));
    let refused =
        Error::egain(ErrorCode::UpstreamUnavailable, Stage::Policy, detail).retry_after(wait);
    fault
        .upstream_answer()
        .cloned()
        .into_iter()
        .fold(refused, Error::upstream)
}

fn defect() -> Error {
    Error::gateway(
        ErrorCode::Internal,
        Stage::Policy,
        "the gateway has a defect: report it with the request id",
    )
}
