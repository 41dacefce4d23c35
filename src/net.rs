//! Sockets in and out.

pub mod client;
pub mod egress_proxy;
mod paced_writer;
mod read_ahead;
pub mod server;
