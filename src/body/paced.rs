//! A body that takes its time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use crate::types::error::Error;

/// Pieces, the first at once and each of the others an interval after the one before it. Holds no
/// piece: `pieces` makes each when its time has come.
pub struct PacedBody<I> {
    pieces: I,
    interval: Duration,
    has_begun: bool,
    next: Pin<Box<Sleep>>,
}

impl<I: Iterator<Item = Bytes>> PacedBody<I> {
    /// With an interval of zero, as fast as they are taken.
    pub fn new(pieces: I, interval: Duration) -> Self {
        Self {
            pieces,
            interval,
            has_begun: false,
            next: Box::pin(sleep(interval)),
        }
    }
}

impl<I: Iterator<Item = Bytes> + Unpin> Body for PacedBody<I> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.has_begun && !self.interval.is_zero() {
            ready!(self.next.as_mut().poll(cx));
        }
        let Some(piece) = self.pieces.next() else {
            return Poll::Ready(None);
        };
        self.has_begun = true;
        let deadline = Instant::now() + self.interval;
        self.next.as_mut().reset(deadline);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// Known at once, so that nobody waits an interval for the end.
    fn is_end_stream(&self) -> bool {
        self.pieces.size_hint().1 == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    /// Which pieces came after how many milliseconds, and when the end was known.
    async fn came(interval: Duration) -> (Vec<(u128, Bytes)>, u128) {
        let began = Instant::now();
        let pieces = [&b"a"[..], b"b", b"c"].map(Bytes::from_static).into_iter();
        let mut body = PacedBody::new(pieces, interval);
        let mut came = Vec::new();
        while !body.is_end_stream() {
            let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
            came.push((began.elapsed().as_millis(), data));
        }
        (came, began.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_comes_an_interval_after_the_one_before() {
        let (pieces, end) = came(Duration::from_millis(250)).await;
        let times: Vec<_> = pieces.iter().map(|(ms, _)| *ms).collect();
        // The clock of paused tests moves by whole milliseconds, and may be one late.
        assert!(times[0] == 0 && times[1].abs_diff(250) < 5, "{times:?}");
        assert!(times[2].abs_diff(500) < 5 && end == times[2], "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_interval_nothing_waits() {
        let (pieces, end) = came(Duration::ZERO).await;
        assert_eq!((pieces.len(), end), (3, 0));
    }
}
