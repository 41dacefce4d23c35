//! Sockets in and out.

pub mod client;
pub mod server;
