//! What tests start, send and look at.

pub(crate) mod binary;
pub(crate) mod client;
pub(crate) mod connect_proxy;
pub(crate) mod fake_storage;
pub(crate) mod gateway;
pub(crate) mod late_egain;
pub(crate) mod raw_client;
pub(crate) mod redis;
pub(crate) mod refusal;
pub(crate) mod secret_canary;
pub(crate) mod trace_collector;
pub(crate) mod wiretap;
