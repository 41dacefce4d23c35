//! Gives up on a sender that sends nothing, or next to nothing (slowloris).
//!
//! Only time spent waiting for the sender counts, never time in which the receiver held us back. A
//! total time limit would cut healthy slow transfers, so there is none.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::types::error::{Error, ErrorCode, Stage};

/// The stretch of waiting over which the rate is measured.
const WINDOW: Duration = Duration::from_secs(60);

/// How slow a sender may be.
#[derive(Debug, Clone, Copy)]
pub struct PaceLimits {
    /// The longest time without a byte.
    pub idle: Duration,
    /// Bytes a second over a minute of waiting.
    pub min_rate: u64,
}

/// Measures the pace of one side by how long the other one waits for it.
pub struct PaceMonitor {
    limits: PaceLimits,
    waiting_since: Option<Instant>,
    /// Armed once and moved on only when it fires: re-arming a timer for each frame costs more than
    /// the frame.
    alarm: Option<Pin<Box<Sleep>>>,
    waited: Duration,
    moved: u64,
}

/// Fewer bytes than the lowest rate allows have moved within a minute of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSlow;

impl PaceMonitor {
    /// Nobody waits yet.
    pub fn new(limits: PaceLimits) -> Self {
        Self {
            limits,
            waiting_since: None,
            alarm: None,
            waited: Duration::ZERO,
            moved: 0,
        }
    }

    /// This number of bytes has moved, and nobody waits until [`Self::poll_stalled`] is polled
    /// again.
    ///
    /// # Errors
    /// It was too slow over a minute of waiting.
    pub fn moved(&mut self, bytes: u64) -> Result<(), TooSlow> {
        self.moved += bytes;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        if self.waited < WINDOW {
            return Ok(());
        }
        let slow = self.moved < self.limits.min_rate.saturating_mul(WINDOW.as_secs());
        (self.waited, self.moved) = (Duration::ZERO, 0);
        if slow { Err(TooSlow) } else { Ok(()) }
    }

    /// Waits; ready once nothing has moved for the idle time.
    pub fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let deadline = since + self.limits.idle;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
    }
}

/// A body with a floor under its pace. Holds no bytes.
pub struct MinRateBody<B> {
    inner: B,
    monitor: PaceMonitor,
    too_slow: fn(PaceLimits) -> Error,
}

impl<B> MinRateBody<B> {
    /// Watches over `inner`; `too_slow` makes the error.
    pub fn new(inner: B, limits: PaceLimits, too_slow: fn(PaceLimits) -> Error) -> Self {
        Self {
            inner,
            monitor: PaceMonitor::new(limits),
            too_slow,
        }
    }

    fn error(&self) -> Error {
        (self.too_slow)(self.monitor.limits)
    }
}

/// The error of a slow caller.
pub fn caller_too_slow(limits: PaceLimits) -> Error {
    let idle = limits.idle.as_secs_f32();
    let rate = limits.min_rate;
    let detail = format!(
        "the body comes too slowly: send at least one byte every {idle} s and \
         {rate} bytes a second over a minute; try again on a better line"
    );
    Error::caller(ErrorCode::ClientTooSlow, Stage::Read, detail)
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for MinRateBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let pace = self.monitor.moved(bytes as u64);
                Poll::Ready(Some(pace.map(|()| frame).map_err(|TooSlow| self.error())))
            }
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => {
                ready!(self.monitor.poll_stalled(cx));
                Poll::Ready(Some(Err(self.error())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, channel::Channel};

    const LIMITS: PaceLimits = PaceLimits {
        idle: Duration::from_secs(30),
        min_rate: 1024,
    };

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_refused_after_the_idle_time() {
        let (_sender, body) = Channel::<Bytes, Error>::new(1);
        let began = Instant::now();
        let error = MinRateBody::new(body, LIMITS, caller_too_slow)
            .frame()
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(
            (error.code(), began.elapsed().as_secs()),
            (ErrorCode::ClientTooSlow, 30)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripping_client_is_refused_after_a_minute() {
        let (mut sender, body) = Channel::<Bytes, Error>::new(1);
        tokio::spawn(async move {
            while sender.send_data(Bytes::from_static(b"x")).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
        });
        let mut body = MinRateBody::new(body, LIMITS, caller_too_slow);
        let began = Instant::now();
        let error = loop {
            if let Err(error) = body.frame().await.unwrap() {
                break error;
            }
        };
        assert_eq!(
            (error.code(), began.elapsed().as_secs()),
            (ErrorCode::ClientTooSlow, 60)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_a_read_does_not_count() {
        let (mut sender, body) = Channel::<Bytes, Error>::new(1);
        let mut body = MinRateBody::new(body, LIMITS, caller_too_slow);
        for _ in 0..5 {
            sender.send_data(Bytes::from_static(b"x")).await.unwrap();
            tokio::time::sleep(Duration::from_secs(300)).await;
            assert!(body.frame().await.unwrap().is_ok());
        }
    }
}
