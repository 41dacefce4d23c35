//! Notices that a client has disconnected while nothing is read from it.
//!
//! A request may wait for its turn at eGain, or for storage, with its body unread. hyper doesn't
//! look at its socket then.
//!
//! A reset is certain. A FIN isn't: it comes from a client that closed all, as from one that closed
//! only its sending side and waits for the response (half-close). So the client is probed, with an
//! interim response: one that listens passes it over (RFC 9110 section 15.2), and the system of one
//! that is gone responds with a reset.

use std::time::Duration;

use tokio::time::sleep;

use super::in_flight::InFlightRequests;
use super::socket::SharedSocket;

/// The interim response that every HTTP/1.1 client knows.
const ARE_YOU_THERE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long nothing may move before a client that sent a FIN is probed: most requests are complete
/// sooner.
const PAUSE: Duration = Duration::from_millis(100);

/// For how many such pauses a client may send its FIN in the middle of a response, of which nothing
/// more can be sent, before it counts as gone. No probe can be slipped in there.
const PAUSES_WITHIN_A_RESPONSE: u32 = 10;

/// Resolves when the client is gone. `can_ask` is false where nothing can be slipped in, as under
/// TLS.
pub(super) async fn disconnected(
    socket: &SharedSocket,
    in_flight: &InFlightRequests,
    can_probe: bool,
) {
    if socket.closed().await {
        return;
    }
    tokio::select! {
        () = socket.broken() => {}
        () = doesnt_listen(socket, in_flight, can_probe) => {}
    }
}

/// After a FIN: resolves for a client that can't be probed. The system of one that was probed says
/// itself if it is gone.
async fn doesnt_listen(socket: &SharedSocket, in_flight: &InFlightRequests, can_probe: bool) {
    let sent_before = socket.sent();
    let mut before = socket.traffic();
    let mut pauses = 0;
    loop {
        sleep(PAUSE).await;
        let now = socket.traffic();
        let is_waiting = now == before && in_flight.any_running();
        before = now;
        pauses = if is_waiting { pauses + 1 } else { 0 };
        if !is_waiting {
            continue;
        }
        if !in_flight.is_answering() {
            if can_probe && in_flight.knows_interim_responses() && socket.slip_in(ARE_YOU_THERE) {
                return std::future::pending().await;
            }
            return;
        }
        // What was sent since would have been met with a reset.
        if socket.sent() == sent_before && pauses > PAUSES_WITHIN_A_RESPONSE {
            return;
        }
    }
}
