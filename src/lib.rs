//! asset-gateway moves media in and out of eGain Conversation Manager with one plain HTTP call.
//!
//! Modules are floors of a house: imports only go down, and neighbours on one floor don't know
//! each other. `ARCHITECTURE.md` explains the plan and `tests/floors.rs` holds it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod accounts;
pub mod app;
pub mod body;
pub mod cli;
pub mod config;
pub mod download;
pub mod egain;
pub mod front;
pub mod media;
pub mod policy;
pub mod sandbox;
pub mod signals;
pub mod storage;
pub mod upload;
pub mod wire;
pub mod words;
