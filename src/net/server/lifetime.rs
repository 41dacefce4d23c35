//! When a connection is asked to go, and when it is ended though it doesn't.

use std::hash::{BuildHasher, RandomState};
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::in_flight::InFlightRequests;
use super::socket::SharedSocket;

/// How long a connection that was asked to go, and on which nothing is in flight, may do nothing
/// while the service stops. HTTP/2 waits for its client to confirm, which one that doesn't read
/// never does.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How often such a connection is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What counts as something being sent, in bytes: more than a client's pings, each of which is
/// answered.
const MORE_THAN_PINGS: u64 = 1024;

/// How much longer or shorter a connection's longest age is, lest those that came together leave
/// together.
const JITTER: f64 = 0.1;

/// Runs a connection to its end. When `asked` resolves it is told to `end` in order, once; `cut`
/// drops it at any time, `overstayed` only after that.
pub(super) async fn run<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    end: fn(Pin<&mut C>),
    asked: impl Future<Output = ()>,
    cut: impl Future<Output = ()>,
    overstayed: impl Future<Output = ()>,
) -> hyper::Result<()> {
    let (mut connection, mut cut) = (pin!(connection), pin!(cut));
    tokio::select! {
        biased;
        result = connection.as_mut() => return result,
        () = cut.as_mut() => return Ok(()),
        () = asked => {}
    }
    end(connection.as_mut());
    tokio::select! {
        biased;
        result = connection => result,
        () = cut => Ok(()),
        () = overstayed => Ok(()),
    }
}

/// Resolves after a whole `span` without an exchange. hyper's pings keep an HTTP/2 connection that
/// answers them open for ever.
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

/// Resolves when a connection that was asked to go has taken next to nothing for `stall_timeout`,
/// or for [`LAST_WORDS`] once the service stops, while no exchange was running: an answer that lies
/// in HTTP/2's buffers behind a shut window has no other end.
pub(super) async fn overstayed(
    socket: &SharedSocket,
    in_flight: &InFlightRequests,
    stall_timeout: Duration,
    stops: &CancellationToken,
) {
    let look = LOOK.min(stall_timeout);
    let (mut sent, mut still) = (socket.sent(), Duration::ZERO);
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
