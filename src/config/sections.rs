//! The keys that may be set, a file for each section.

pub(super) mod auth;
pub(super) mod budget;
pub(super) mod cache;
pub(super) mod channels;
pub(super) mod egain;
pub(super) mod limits;
pub(super) mod log;
pub(super) mod otel;
pub(super) mod plan;
pub(super) mod policy;
pub(super) mod server;
