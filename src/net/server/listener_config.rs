//! What a listener allows.

use std::time::Duration;

use super::tls::TlsIdentity;

/// What one connection, and all of them together, may take.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// For a request's head, from its first byte, and for the first byte of a new connection: with
    /// TLS that is the first one that was encrypted.
    pub header_timeout: Duration,
    /// For an idle connection between two requests. HTTP/2 connections are looked at once in
    /// every such span, so that they last for up to twice as long.
    pub keep_alive_timeout: Duration,
    /// For a caller to make room for a byte that is to be sent: one that stops reading would hold
    /// its place for ever. An HTTP/2 stream has as long for each frame of its response's body.
    pub stall_timeout: Duration,
    /// Bytes a second over a minute of waiting for a caller that reads; one that takes fewer is
    /// cut.
    pub min_send_rate: u64,
    /// The most that HTTP/1.1 reads ahead, in bytes a connection; at least 8 KiB. While fewer than
    /// 64 requests are in flight they share what 64 would have, up to four times their own each.
    pub read_buffer: usize,
    /// After about this time, more or less by a tenth, a connection is shut down: HTTP/2 by a
    /// GOAWAY, HTTP/1.1 with its next response.
    pub max_age: Duration,
    /// Connections open at one time. More get 503, if they are in clear, and are closed at once.
    pub max_connections: usize,
    /// Who we are, by TLS; without it all is in clear.
    pub tls: Option<TlsIdentity>,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(30),
            min_send_rate: 0,
            read_buffer: 128 * 1024,
            max_age: Duration::from_secs(60 * 60),
            max_connections: 10_000,
            tls: None,
        }
    }
}
