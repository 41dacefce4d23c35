//! When a connection is shut down gracefully, and when it is closed although it isn't done.

use std::hash::{BuildHasher, RandomState};
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::in_flight::InFlightRequests;
use super::socket::SharedSocket;

/// How long a connection that is shutting down, and on which nothing is in flight, may do nothing
/// while the service stops. HTTP/2 waits for its client to confirm, which one that doesn't read
/// never does.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How often such a connection is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What counts as something being sent, in bytes: more than the responses to a client's
/// pings.
const MORE_THAN_PINGS: u64 = 1024;

/// How much longer or shorter a connection's longest age is, lest those that came together leave
/// together.
const JITTER: f64 = 0.1;

/// Runs a connection to its end. When `closing` resolves, `end` shuts it down gracefully, once;
/// `cut` drops it at any time, `overstayed` only after that.
pub(super) async fn run<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    end: fn(Pin<&mut C>),
    closing: impl Future<Output = ()>,
    cut: impl Future<Output = ()>,
    overstayed: impl Future<Output = ()>,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    let mut cut = pin!(cut);
    tokio::select! {
        biased;
        result = connection.as_mut() => return result,
        () = cut.as_mut() => return Ok(()),
        () = closing => {}
    }
    end(connection.as_mut());
    tokio::select! {
        biased;
        result = connection => result,
        () = cut => Ok(()),
        () = overstayed => Ok(()),
    }
}

/// Resolves after a whole `span` without a request. hyper's pings keep an HTTP/2 connection open
/// for ever, if its client responds to them.
pub(super) async fn idle(in_flight: &InFlightRequests, span: Duration) {
    loop {
        let before = in_flight.started();
        sleep(span).await;
        if !in_flight.any_running() && in_flight.started() == before {
            return;
        }
    }
}

/// Resolves when a connection has lived for about `most`: clients that keep theirs would never find
/// new replicas.
pub(super) async fn old_age(most: Duration) {
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    sleep(most.mul_f64(1.0 - JITTER + 2.0 * JITTER * random)).await;
}

/// Resolves when a connection that is shutting down has taken next to nothing for `stall_timeout`,
/// or for [`LAST_WORDS`] once the service stops, while no request was in flight: a response in
/// HTTP/2's buffers, behind a shut window, has no other end.
pub(super) async fn overstayed(
    socket: &SharedSocket,
    in_flight: &InFlightRequests,
    stall_timeout: Duration,
    stops: &CancellationToken,
) {
    let look = LOOK.min(stall_timeout);
    let mut sent = socket.sent();
    let mut still = Duration::ZERO;
    loop {
        sleep(look).await;
        if in_flight.any_running() || socket.sent() - sent >= MORE_THAN_PINGS {
            (sent, still) = (socket.sent(), Duration::ZERO);
            continue;
        }
        still += look;
        let patience = if stops.is_cancelled() {
            LAST_WORDS.min(stall_timeout)
        } else {
            stall_timeout
        };
        if still >= patience {
            tracing::debug!(
                "connection closed: its shutdown has begun, and the client reads nothing"
            );
            return;
        }
    }
}
