//! The whole gateway against the whole sandbox, over real sockets. Names are sentences.
#![expect(clippy::disallowed_methods, reason = "files in tests are small")]

mod content;
mod expiry;
mod house;
mod metadata;
mod pending;
mod ranges;
mod raw;
mod round_trip;
