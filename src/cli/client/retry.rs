//! Waiting for a gateway that is busy, in sight of the person who waits.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::client_error::{ClientError, FailureKind};

/// The pause where the gateway names none: the first, and the longest after doubling.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// `Retry-After: 0` isn't an invitation to call in a circle.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Consecutive broken connections after which it isn't bad luck any more.
const MOST_BREAKS: u32 = 4;

/// Repeats a call that can be repeated: while the gateway is busy, after the pause that it asks
/// for; and a few times when the connection breaks. `wait` bounds all pauses together; `say` gets
/// one line for each.
pub(in crate::cli) async fn retrying<T>(
    wait: Duration,
    say: impl Fn(&str),
    mut attempt: impl AsyncFnMut() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let deadline = Instant::now() + wait;
    let (mut own_pause, mut breaks) = (FIRST_PAUSE, 0);
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        breaks = match error.kind {
            FailureKind::Busy => 0,
            FailureKind::Broken if breaks + 1 < MOST_BREAKS => breaks + 1,
            _ => return Err(error),
        };
        let pause = error.retry_after.unwrap_or(own_pause).max(SHORTEST_PAUSE);
        own_pause = (own_pause * 2).min(LONGEST_PAUSE);
        if Instant::now() + pause > deadline {
            return Err(error);
        }
        say(&format!(
            "next attempt in {} s: {error}",
            pause.as_secs().max(1)
        ));
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    async fn attempts(kind: FailureKind, pause: Option<u64>, wait: u64) -> (u32, Vec<String>) {
        let (count, said) = (Cell::new(0), RefCell::new(Vec::new()));
        let mut failure = ClientError::new(kind, "x");
        failure.retry_after = pause.map(Duration::from_secs);
        let outcome: Result<(), _> = retrying(
            Duration::from_secs(wait),
            |line| said.borrow_mut().push(line.to_owned()),
            async || {
                count.set(count.get() + 1);
                Err(failure.clone())
            },
        )
        .await;
        assert!(outcome.is_err());
        (count.get(), said.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_gateway_is_waited_for_within_the_bound() {
        let (count, said) = attempts(FailureKind::Busy, Some(7), 20).await;
        assert_eq!(count, 3, "at 0, 7 and 14 s; the next would be at 21 s");
        assert_eq!(said, vec!["next attempt in 7 s: x"; 2]);
        assert_eq!(
            attempts(FailureKind::Busy, None, 10).await.0,
            4,
            "0, 1, 3, 7 s"
        );
        assert_eq!(attempts(FailureKind::Busy, Some(0), 0).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_is_retried_a_few_times() {
        assert_eq!(
            attempts(FailureKind::Broken, None, 600).await.0,
            MOST_BREAKS
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_wont_change_is_not_repeated() {
        for kind in [
            FailureKind::Failed,
            FailureKind::Refused,
            FailureKind::Unreachable,
        ] {
            assert_eq!(attempts(kind, Some(1), 600).await.0, 1, "{kind:?}");
        }
    }
}
