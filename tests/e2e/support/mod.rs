//! What tests start, send and look at.

pub mod binary;
pub mod client;
pub mod fake_storage;
pub mod gateway;
pub mod late_egain;
pub mod raw_client;
pub mod refusal;
pub mod secret_canary;
