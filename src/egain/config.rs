//! What the client for eGain's API needs to know.

use std::time::Duration;

use url::Url;

use super::budget::CallRate;
use super::credentials::ClientCredentials;
use super::quota::MonthlyQuota;
use crate::net::egress_proxy::EgressProxy;

/// How eGain is reached, and how many calls it allows.
#[derive(Debug, Clone)]
pub struct EgainConfig {
    /// Such as `https://api.egain.cloud/conversation/conversationmgr/v3`.
    pub base_url: Url,
    /// What the gateway signs in with.
    pub credentials: ClientCredentials,
    /// Calls to `/assets` (POST and GET).
    pub assets: CallRate,
    /// Calls to all other routes.
    pub other: CallRate,
    /// Calls of all replicas together to `/assets`, and to all other routes: where they share one
    /// budget.
    pub tenant: [CallRate; 2],
    /// How many replicas there should be.
    pub replicas: u32,
    /// Calls a month; none if there is no monthly quota.
    pub quota: Option<MonthlyQuota>,
    /// How long a call may queue for its budget.
    pub budget_wait: Duration,
    /// The longest pause of all calls after a single 429, whatever its `Retry-After` says.
    pub max_pause: Duration,
    /// How old the attachment rules of an account may become before they are read again.
    pub rules_ttl: Duration,
    /// The proxy that https connections go through, if any.
    pub proxy: EgressProxy,
    /// The longest that connecting may take.
    pub connect_timeout: Duration,
    /// From sending a request to the end of its response.
    pub request_timeout: Duration,
    /// How long to wait for an asset that isn't available yet (400-766).
    pub pending_wait: Duration,
}
