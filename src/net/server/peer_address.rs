//! The client's address.

use std::net::SocketAddr;

/// Who is at the other end of the socket: an extension of every request.
///
/// An IPv4 caller is written as such, also on a socket that listens to IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);
