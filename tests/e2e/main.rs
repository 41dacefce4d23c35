//! The whole gateway against the whole sandbox, over real sockets. Names are sentences.
#![expect(clippy::disallowed_methods, reason = "files in tests are small")]

mod admin;
mod binary;
mod broken;
mod broken_forms;
mod callers_that_leave;
mod commands;
mod connections;
mod content;
mod delete;
mod digests;
mod drain;
mod expiry;
mod house;
mod leaving;
mod lengths;
mod metadata;
mod mispredictions;
mod pending;
mod ranges;
mod raw;
mod refusal;
mod refused;
mod round_trip;
mod routes;
mod secrets;
mod sign_in_faults;
mod signing_faults;
mod sizes;
mod spooling;
mod storage_faults;
mod streaming;
mod wire;
mod wrong_lengths;
mod wrong_requests;
