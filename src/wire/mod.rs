//! Sockets in and out.

pub mod client;
mod read_ahead;
pub mod server;
