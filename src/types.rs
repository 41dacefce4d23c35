//! Types that every other layer uses: errors, secrets, units. No IO, nothing async.

pub mod account;
pub mod asset;
pub mod attachment_limit;
pub mod caller;
pub mod cause;
pub mod dual_instant;
pub mod error;
pub mod fair_limit;
pub mod peer_time;
pub mod redact;
pub mod secret;
pub mod units;
