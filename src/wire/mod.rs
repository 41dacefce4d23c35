//! Sockets in and out.

pub mod server;
