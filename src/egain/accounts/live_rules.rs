//! A cache of the attachment rules of each account's channel: no upload waits for eGain once the
//! account is cached.
//!
//! An account costs two calls when it is first used and then two a period, however many callers are
//! bound to it. The last good copy is used while eGain is down; an account that was never read is
//! refused then.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Channel;
use crate::egain::egain_client::EgainClient;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::account::{AccountId, ChannelId};
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode, Stage};

/// The most accounts in the cache; callers' tokens may name any.
const MOST_ACCOUNTS: u64 = 10_000;

/// An account without uploads for this long isn't refreshed any more.
const UNUSED: Duration = Duration::from_secs(3600);

/// The shortest and the longest pause between two looks for accounts that are due.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Why an account's callers may upload nothing.
const NO_ACCOUNT: &str = "this caller's account doesn't exist at eGain any more: \
                          an operator must bind it to another";
const INACTIVE_ACCOUNT: &str = "this caller's account is inactive at eGain: \
                                an operator must activate it";
const NO_CHANNEL: &str = "this caller's account names no channel at eGain: \
                          an operator must check it";
const INACTIVE_CHANNEL: &str = "the channel of this caller's account is inactive at eGain: \
                                an operator must activate it";

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
    /// When to read it again; a failed refresh moves it.
    due: Instant,
}

/// What an account lets its callers do.
#[derive(Clone)]
enum Verdict {
    /// Upload by this channel's rules.
    Open(Arc<Channel>),
    /// Nothing, for this reason.
    Closed(&'static str),
}

impl LiveRules {
    /// With an empty cache.
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

    /// The channel of an account, with its rules. Calls eGain only if the account isn't cached.
    ///
    /// # Errors
    /// `forbidden` for an account or channel that is deleted or inactive; `upstream-unavailable`
    /// where eGain can't be called.
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

    /// Single flight: all uploads that wait for one account share one fetch.
    async fn first(&self, account: &AccountId) -> Result<Arc<Entry>, Error> {
        let rules = self.clone();
        let id = account.clone();
        // A task of its own: if the client that began it disconnects, the others don't start again.
        let fetch = async move {
            tokio::spawn(async move { rules.fetch(&id).await })
                .await
                .unwrap_or_else(|_| Err(defect()))
        };
        let ttl = self.ttl;
        let entry = async move { Ok(Arc::new(Entry::new(fetch.await?, ttl))) };
        self.accounts
            .try_get_with(account.clone(), entry)
            .await
            .map_err(|error: Arc<Error>| never_read(&error))
    }

    /// Refreshes what is due, for ever.
    pub async fn keep_fresh(self) {
        loop {
            sleep((self.ttl / 10).clamp(PAUSES.0, PAUSES.1)).await;
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
            Err(error) => {
                seen.due = Instant::now() + self.ttl;
                let age_s = seen.fetched.elapsed().as_secs();
                let code = error.code().name();
                tracing::warn!(
                    %account,
                    age_s,
                    code,
                    "attachment rules refresh failed, keeping the last ones"
                );
            }
        }
    }

    /// Two calls: the account, and the channel that it names.
    async fn fetch(&self, id: &AccountId) -> Result<Verdict, Error> {
        let principal = &Principal::Gateway;
        let account = match self.egain.get_account(id, principal).await {
            Ok(account) => account,
            Err(error) if error.code() == ErrorCode::NotFound => {
                return Ok(Verdict::Closed(NO_ACCOUNT));
            }
            Err(error) => return Err(error),
        };
        if account["active"] == Value::Bool(false) {
            return Ok(Verdict::Closed(INACTIVE_ACCOUNT));
        }
        let channel = account["channel"]["id"].as_str().and_then(ChannelId::parse);
        let Some(channel) = channel else {
            return Ok(Verdict::Closed(NO_CHANNEL));
        };
        let channel = Channel::fetch(&self.egain, &channel, principal).await?;
        if !channel.active {
            return Ok(Verdict::Closed(INACTIVE_CHANNEL));
        }
        Ok(Verdict::Open(Arc::new(channel)))
    }

    /// The age of the oldest copy; zero where there is none.
    fn oldest(&self) -> Duration {
        let mut oldest = Duration::ZERO;
        for (_, entry) in &self.accounts {
            oldest = oldest.max(entry.0.read().fetched.elapsed());
        }
        oldest
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

/// Without rules no upload can be judged, whatever the reason: the client may retry.
fn never_read(cause: &Error) -> Error {
    let detail = "the rules of this caller's account can't be read from eGain, and none are \
                  cached: try again later; if it lasts, an operator must check that the client \
                  has the scope app.conversation.conversationmgr.read or .manage";
    let wait = cause.retry_after().unwrap_or(Duration::from_secs(5));
    let error =
        Error::egain(ErrorCode::UpstreamUnavailable, Stage::Policy, detail).with_retry_after(wait);
    match cause.upstream() {
        Some(upstream) => error.with_upstream(upstream.clone()),
        None => error,
    }
}

fn defect() -> Error {
    Error::gateway(
        ErrorCode::Internal,
        Stage::Policy,
        "the gateway has a defect: report it with the request id",
    )
}
