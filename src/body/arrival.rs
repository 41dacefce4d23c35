//! Whether a request's body comes while it is read, or was all there before.

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;

/// What is done with a body's arrival once the body has ended well.
type Report = Box<dyn FnOnce(BodyArrival) + Send + Sync>;

/// How a body came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyArrival {
    /// Its bytes.
    pub bytes: u64,
    /// How long it was waited for between its first byte and its last. Time in which nobody
    /// wanted to read doesn't count.
    pub waited: Duration,
}

/// Watches a body while it is polled. Holds no bytes.
pub struct ArrivalWatch {
    arrival: BodyArrival,
    waiting_since: Option<Instant>,
    report: Report,
}

impl ArrivalWatch {
    /// Calls `report` when the body has ended.
    pub fn new(report: impl FnOnce(BodyArrival) + Send + Sync + 'static) -> Self {
        Self {
            arrival: BodyArrival {
                bytes: 0,
                waited: Duration::ZERO,
            },
            waiting_since: None,
            report: Box::new(report),
        }
    }

    /// The body was polled with this result.
    pub fn note<E>(&mut self, polled: &Poll<Option<Result<Frame<Bytes>, E>>>) {
        match polled {
            Poll::Pending if self.arrival.bytes > 0 => {
                self.waiting_since.get_or_insert_with(Instant::now);
            }
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(since) = self.waiting_since.take() {
                    self.arrival.waited += since.elapsed();
                }
                self.arrival.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
            _ => {}
        }
    }

    /// The body has ended well.
    pub fn end(self) {
        (self.report)(self.arrival);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;

    fn data(bytes: usize) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        Poll::Ready(Some(Ok(Frame::data(vec![0; bytes].into()))))
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_counts_between_first_and_last_byte_only() {
        let reported = Arc::new(Mutex::new(None));
        let report = reported.clone();
        let mut watch = ArrivalWatch::new(move |arrival| *report.lock() = Some(arrival));
        let pause = || tokio::time::sleep(Duration::from_secs(1));
        watch.note(&Poll::<Option<Result<_, ()>>>::Pending);
        pause().await;
        watch.note(&data(3));
        pause().await;
        watch.note(&data(4));
        watch.note(&Poll::<Option<Result<_, ()>>>::Pending);
        pause().await;
        watch.note(&Poll::<Option<Result<_, ()>>>::Pending);
        pause().await;
        watch.note(&data(5));
        watch.end();
        let arrival = reported.lock().take().unwrap();
        assert_eq!((arrival.bytes, arrival.waited.as_secs()), (12, 2));
    }
}
