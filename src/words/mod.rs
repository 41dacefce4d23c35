//! The words every other floor speaks: faults, secrets, units. No IO, nothing async.

pub mod account;
pub mod asset;
pub mod caller;
pub mod cause;
pub mod fair_limit;
pub mod fault;
pub mod limit;
pub mod moment;
pub mod peer_time;
pub mod redact;
pub mod secret;
pub mod units;
