//! `[egain]`: where eGain is, who we are there, and how many calls we may make.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::plan::Plan;
use crate::config::errors::ErrorCollector;
use crate::config::schema::rules::{self, MOMENT, if_set, some, within};
use crate::config::schema::section;
use crate::config::schema::value::{HIDDEN, named_values};
use crate::storage::{HostPattern, UploadContentType, UploadMethod};
use crate::types::peer_time;

/// With a longer time, calls and transfers that have stopped hold their places.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// No caller, and no proxy before it, waits for longer until a request begins to be served.
const LONGEST_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// Rules that are older are nobody's any more.
const LONGEST_RULES: Duration = Duration::from_secs(24 * 3600);
/// A shorter pause would repeat again and again what eGain has just refused.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// A longer pause than this isn't believed, whatever eGain's response says.
const LONGEST_PAUSE: Duration = peer_time::LONGEST_WAIT;

named_values! { UploadMethod, UploadContentType }

section! {
    /// Where eGain is, who we are there, and how many calls we may make.
    EgainSection as "egain" {
        /// The conversation manager's API.
        base_url: Url = "https://api.egain.cloud/conversation/conversationmgr/v3";
        /// Where the client gets its tokens.
        token_url: Option<Url> => "none";
        /// The client's id.
        client_id: Option<String> => "none";
        /// The client's secret.
        client_secret: Option<SecretString> => "none";
        /// The OAuth scope that the client requests.
        scope: String = "https://api.egain.cloud/auth/.default";
        /// A fixed bearer token, in place of the client.
        token: Option<SecretString> => "none" where if_set(rules::bearer);
        /// Whether `base_url` and `token_url` may be plain http off this machine: secrets then
        /// cross the network in clear.
        allow_http: bool = "false";
        /// The tenant's plan, which gives the rates: developer, basic or enterprise.
        plan: Option<Plan> => "required, or egain.rate";
        /// Calls a second to `/assets`, 0.001 to 10000; more exact than the plan.
        rate: Option<f64> => "the plan's" where if_set(within(0.001, 10_000.0));
        /// Calls to `/assets` at one time; needs the rate.
        burst: Option<u32> => "the plan's, or egain.rate rounded up"
            where if_set(within(1, 100_000));
        /// Calls a second to all other routes.
        other_rate: Option<f64> => "egain.rate, else the plan's"
            where if_set(within(0.001, 10_000.0));
        /// Calls to all other routes at one time; needs a rate.
        other_burst: Option<u32> => "egain.burst, else the plan's, or the rate rounded up"
            where if_set(within(1, 100_000));
        /// Calls of each method that a calendar month (UTC) allows, 1 to 1000000000000; without
        /// cache.redis_url a restart forgets those that were made.
        monthly_quota: Option<u64> => "the plan's, or none"
            where if_set(within(1, 1_000_000_000_000));
        /// Whether calls above the quota are refused; otherwise they are only logged.
        enforce_quota: bool = "false";
        /// Among how many replicas the rates and the quota are divided, 1 to 1000; with
        /// cache.redis_url only while Redis is lost.
        replicas: u32 = "1" where within(1, 1000);
        /// How long a call may queue for the budget before 503.
        budget_wait: Duration = "5s" where within(Duration::ZERO, LONGEST_PATIENCE);
        /// The longest pause after one 429 of eGain's, whatever pause it names, 1s to 1h; then one
        /// call probes, and the pause doubles while probes are refused.
        max_pause: Duration = "60s" where within(LEAST_PAUSE, LONGEST_PAUSE);
        /// How old the attachment rules of a caller's account may become before they are read
        /// again, 100ms to 24h.
        rules_ttl: Duration = "5min" where within(MOMENT, LONGEST_RULES);
        /// Hosts that a `contentUrl` may name: host, host:port, IP address or *.domain; a
        /// wildcard's only at public addresses.
        content_hosts: Vec<HostPattern> = "*.egain.cloud" where some;
        /// Whether a `contentUrl` may be plain http; if not, https is tried in its place.
        allow_http_content_urls: bool = "false";
        /// How a file is sent to storage: auto (what the signature names, else POST), post or put.
        upload_method: UploadMethod = "auto";
        /// The `Content-Type` a file is sent with: file (its own) or octet-stream.
        upload_content_type: UploadContentType = "file";
        /// HTTP proxy, as `http://user:password@host:port`, for https connections to eGain, its
        /// storage and `auth.jwt.jwks_url`; plain http goes directly. The proxy resolves names, so
        /// that `content_hosts` holds by name only.
        proxy: Option<SecretString> => "HTTPS_PROXY, or none" where if_set(rules::proxy);
        /// Hosts that are reached without the proxy: domains with all below them, addresses,
        /// networks, or `*`, with commas between them.
        no_proxy: Option<String> => "NO_PROXY, or none";
        /// How long a connection to eGain or storage may take.
        connect_timeout: Duration = "5s" where within(MOMENT, LONGEST_TIMEOUT);
        /// How long a call of the API may take.
        request_timeout: Duration = "15s" where within(MOMENT, LONGEST_TIMEOUT);
        /// How long a transfer with storage may move no byte.
        transfer_idle_timeout: Duration = "30s" where within(MOMENT, LONGEST_TIMEOUT);
        /// How long to wait for an asset that isn't available yet.
        pending_wait: Duration = "10s" where within(Duration::ZERO, LONGEST_PATIENCE);
    }
}

impl EgainSection {
    /// Notes what contradicts itself.
    pub(in crate::config) fn compare(&self, errors: &mut ErrorCollector) {
        if self.burst.is_some() && self.rate.is_none() {
            errors.conflict(
                &["egain.burst", "egain.rate"],
                "needs egain.rate, which isn't set",
            );
        }
        if self.other_burst.is_some() && self.other_rate.or(self.rate).is_none() {
            errors.conflict(
                &["egain.other_burst", "egain.other_rate", "egain.rate"],
                "needs egain.other_rate or egain.rate, which aren't set",
            );
        }
        if self.enforce_quota && self.monthly_quota.is_none() && self.plan.is_none() {
            errors.conflict(
                &["egain.enforce_quota", "egain.monthly_quota", "egain.plan"],
                "needs egain.monthly_quota or egain.plan, which aren't set",
            );
        }
        for (key, url) in [
            ("egain.base_url", Some(&self.base_url)),
            ("egain.token_url", self.token_url.as_ref()),
        ] {
            if let Some(url) = url
                && !self.allow_http
                && let Err(says) = rules::private(url)
            {
                errors.conflict(
                    &[key, "egain.allow_http"],
                    format!(
                        "{says}; egain.allow_http = true lets secrets cross the network in clear"
                    ),
                );
            }
        }
        for (key, is_set) in self.client() {
            if self.token.is_some() && is_set {
                errors.conflict(
                    &[key, "egain.token"],
                    "is given together with egain.token: only one of them can hold",
                );
            }
        }
    }

    /// Notes what the service can't do without.
    pub(in crate::config) fn require(&self, errors: &mut ErrorCollector) {
        if self.plan.is_none() && self.rate.is_none() {
            errors.conflict(
                &["egain.plan", "egain.rate"],
                "not set: say developer, basic or enterprise, or set egain.rate (calls a second)",
            );
        }
        self.require_credentials(errors);
        for (key, secret) in [
            ("egain.token", &self.token),
            ("egain.client_secret", &self.client_secret),
        ] {
            if let Some(secret) = secret
                && secret.expose_secret() == HIDDEN
            {
                let says = format!(
                    "is {HIDDEN:?}, which replaces a secret in printed settings: \
                     put the secret itself here"
                );
                errors.conflict(&[key], says);
            }
        }
    }

    fn require_credentials(&self, errors: &mut ErrorCollector) {
        let client = self.client();
        if self.token.is_some() {
            return;
        }
        if client.iter().all(|(_, is_set)| !is_set) {
            let keys = [
                "egain.token",
                "egain.token_url",
                "egain.client_id",
                "egain.client_secret",
            ];
            return errors.conflict(
                &keys,
                "not set: give a token, \
                 or egain.token_url, egain.client_id and egain.client_secret",
            );
        }
        for (key, is_set) in client {
            if !is_set {
                errors.conflict(
                    &[key, "egain.token"],
                    "not set: a client needs egain.token_url, egain.client_id \
                     and egain.client_secret",
                );
            }
        }
    }

    /// What makes up a client, and whether it is set.
    fn client(&self) -> [(&'static str, bool); 3] {
        [
            ("egain.token_url", self.token_url.is_some()),
            ("egain.client_id", self.client_id.is_some()),
            ("egain.client_secret", self.client_secret.is_some()),
        ]
    }
}
