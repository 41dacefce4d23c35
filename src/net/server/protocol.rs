//! Distinguishes HTTP/2 from HTTP/1.1 by the first bytes of a connection, which the protocol's own
//! code then reads again.

use std::io;

use super::socket::ServerSocket;

/// What every HTTP/2 client sends first (RFC 9113, 3.4). No HTTP/1.1 request begins like it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireProtocol {
    Http1,
    Http2,
}

/// Waits until the first bytes say what the connection speaks; `None` when it closes before they
/// do.
pub(super) async fn detect(socket: &mut ServerSocket) -> io::Result<Option<WireProtocol>> {
    while let Some(start) = socket.first_bytes().await? {
        if let Some(protocol) = protocol_of(start) {
            return Ok(Some(protocol));
        }
    }
    Ok(None)
}

fn protocol_of(start: &[u8]) -> Option<WireProtocol> {
    match start {
        start if !PREFACE.starts_with(start) => Some(WireProtocol::Http1),
        start if start.len() == PREFACE.len() => Some(WireProtocol::Http2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_decides_unless_it_is_p() {
        assert_eq!(protocol_of(b"G"), Some(WireProtocol::Http1));
        assert_eq!(protocol_of(b"P"), None);
        assert_eq!(protocol_of(b"PO"), Some(WireProtocol::Http1));
        assert_eq!(protocol_of(b"PR"), None);
        assert_eq!(protocol_of(b"PROPFIND /"), Some(WireProtocol::Http1));
    }

    #[test]
    fn the_whole_preface_is_http_2() {
        assert_eq!(protocol_of(&PREFACE[..23]), None);
        assert_eq!(protocol_of(PREFACE), Some(WireProtocol::Http2));
    }
}
