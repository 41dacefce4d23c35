//! Backpressure by the frame: the next one is handed out only when the one before it was dropped.
//!
//! hyper polls for more while its queue has room, so a storage that is slower than its callers, or
//! a caller that is slower than storage, would cost as much for each transfer. The kernel's buffer
//! behind it is enough to keep the connection busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

/// Knows whether a frame is still out.
#[derive(Default)]
pub struct FrameGate(Arc<State>);

#[derive(Default)]
struct State {
    out: AtomicBool,
    waiting: AtomicWaker,
}

impl FrameGate {
    /// Ready when no frame is out.
    pub fn poll_back(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.waiting.register(cx.waker());
        if self.0.out.load(Ordering::Acquire) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// The same bytes; they are out until the last copy of them is dropped.
    pub fn hand_out(&self, frame: Bytes) -> Bytes {
        self.0.out.store(true, Ordering::Release);
        Bytes::from_owner(Out {
            frame,
            gate: self.0.clone(),
        })
    }
}

struct Out {
    frame: Bytes,
    gate: Arc<State>,
}

impl AsRef<[u8]> for Out {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.gate.out.store(false, Ordering::Release);
        self.gate.waiting.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_frame_is_out_until_every_slice_is_dropped() {
        let gate = FrameGate::default();
        let mut frame = gate.hand_out(Bytes::from_static(b"abcd"));
        let part = frame.split_to(2);
        drop(frame);
        assert!(
            timeout(Duration::from_millis(10), poll_fn(|cx| gate.poll_back(cx)))
                .await
                .is_err()
        );
        let (_, ()) = tokio::join!(poll_fn(|cx| gate.poll_back(cx)), async { drop(part) });
    }
}
