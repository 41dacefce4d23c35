//! The whole gateway against the whole sandbox, over real sockets.
#![expect(clippy::disallowed_methods, reason = "files in tests are small")]

mod connections;
mod downloads;
mod operations;
mod replicas;
mod support;
mod uploads;
mod upstream;
