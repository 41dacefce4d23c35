//! asset-gateway moves media in and out of eGain Conversation Manager with one plain HTTP call.
//!
//! Modules are layers: imports only go down, and neighbours in one layer don't know each other.
//! `ARCHITECTURE.md` explains them and `tests/layers.rs` checks them.

pub mod accounts;
pub mod api;
pub mod app;
pub mod body;
pub mod cli;
pub mod config;
pub mod download;
pub mod egain;
pub mod lifecycle;
pub mod media;
pub mod net;
pub mod policy;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod shared_store;
pub mod storage;
pub mod telemetry;
pub mod types;
pub mod upload;
