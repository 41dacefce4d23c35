//! The whole gateway against the whole sandbox, over real sockets. Names are sentences.
#![expect(clippy::disallowed_methods, reason = "files in tests are small")]

mod broken_forms;
mod callers;
mod callers_that_leave;
mod content;
mod digests;
mod expiry;
mod house;
mod idempotency;
mod lengths;
mod metadata;
mod mispredictions;
mod pending;
mod ranges;
mod raw;
mod refusal;
mod round_trip;
mod sign_in_faults;
mod signing_faults;
mod sizes;
mod spooling;
mod storage_faults;
mod streaming;
mod wire;
mod wrong_lengths;
mod wrong_requests;
