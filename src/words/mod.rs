//! The words every other floor speaks: faults, secrets, units. No IO, nothing async.

pub mod asset;
pub mod caller;
pub mod fault;
pub mod secret;
pub mod units;
