//! The whole gateway against the whole sandbox, over real sockets. Names are sentences.
#![expect(clippy::disallowed_methods, reason = "files in tests are small")]

mod house;
mod round_trip;
