//! Connections above the limit: refused with 503 where that is cheap, closed at once where it
//! isn't.

use std::{sync::Arc, time::Duration};

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Refused connections that may get a response at one time; past it they are only closed.
pub(super) const AT_ONE_TIME: usize = 64;

/// How long a refused connection may take to send its request.
const PATIENCE: Duration = Duration::from_secs(1);

/// The bare response. HTTP/2 clients see it as a connection error, which it is.
const RESPONSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
                        Retry-After: 1\r\nContent-Length: 0\r\n\r\n";

/// Turns `socket` away without holding up the accept loop.
pub(super) fn refuse(socket: TcpStream, courtesy: &Arc<Semaphore>, tasks: &TaskTracker) {
    tracing::debug!("too many connections");
    if let Ok(permit) = Arc::clone(courtesy).try_acquire_owned() {
        tasks.spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, respond(&socket)).await;
            drop(permit);
        });
    }
}

/// Takes the request off the socket first: closing with bytes unread resets the connection, and
/// the client would see that instead of the response. What doesn't fit isn't waited for.
async fn respond(socket: &TcpStream) -> std::io::Result<()> {
    socket.readable().await?;
    let _ = socket.try_read(&mut [0; 8 * 1024])?;
    let _ = socket.try_write(RESPONSE)?;
    Ok(())
}
