//! Sockets in and out.

pub mod client;
mod paced_writer;
mod read_ahead;
pub mod server;
