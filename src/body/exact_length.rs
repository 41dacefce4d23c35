//! The last frame is the commit.
//!
//! hyper 1.x silently cuts a request body that yields more than its promised length, and the
//! upload is still reported as a success. So this adapter keeps the frame that completes the
//! promised length back until the source has ended. Whatever the layers below have to object
//! (length, digest, a missing boundary, a field after the file) comes out before storage has seen
//! a complete file.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::types::error::Error;

/// Makes the error for a source that had `actual` bytes, or more where `actual` exceeds what was
/// promised.
pub type OnLengthMismatch = Box<dyn Fn(u64) -> Error + Send + Sync>;

/// A body of exactly the promised length, or an error before its last byte. Holds one frame.
pub struct ExactLengthBody<B> {
    inner: B,
    promised: u64,
    passed: u64,
    held: Option<Bytes>,
    committed: bool,
    on_mismatch: OnLengthMismatch,
}

impl<B> ExactLengthBody<B> {
    /// `promised` is at least 1: a body without bytes would have no frame to keep back.
    pub fn new(inner: B, promised: u64, on_mismatch: OnLengthMismatch) -> Self {
        Self {
            inner,
            promised,
            passed: 0,
            held: None,
            committed: false,
            on_mismatch,
        }
    }

    /// Takes a frame of the source: passes it on, or keeps it back as the last one.
    fn admit(&mut self, data: Bytes) -> Option<Result<Frame<Bytes>, Error>> {
        if data.is_empty() {
            return None;
        }
        self.passed += data.len() as u64;
        if self.passed > self.promised {
            return Some(Err((self.on_mismatch)(self.passed)));
        }
        if self.passed == self.promised {
            self.held = Some(data);
            return None;
        }
        Some(Ok(Frame::data(data)))
    }

    /// The source has ended: frees the last frame if it was what was promised.
    fn commit(&mut self) -> Option<Result<Frame<Bytes>, Error>> {
        match self.held.take() {
            Some(last) => {
                self.committed = true;
                Some(Ok(Frame::data(last)))
            }
            None if self.committed => None,
            None => Some(Err((self.on_mismatch)(self.passed))),
        }
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for ExactLengthBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        while !self.committed {
            let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(cx)?) else {
                return Poll::Ready(self.commit());
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if let Some(admitted) = self.admit(data) {
                return Poll::Ready(Some(admitted));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.committed
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.promised - self.passed.min(self.promised)
            + self.held.as_ref().map_or(0, |held| held.len() as u64);
        SizeHint::with_exact(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::error::{ErrorCode, Stage};
    use http_body_util::{BodyExt, StreamBody};

    fn exact(
        frames: &[&'static str],
        promised: u64,
    ) -> ExactLengthBody<impl Body<Data = Bytes, Error = Error> + Unpin> {
        let frames: Vec<_> = frames
            .iter()
            .map(|f| Ok(Frame::data(Bytes::from_static(f.as_bytes()))))
            .collect();
        let mismatch =
            |actual| Error::caller(ErrorCode::LengthMismatch, Stage::Read, format!("{actual}"));
        ExactLengthBody::new(
            StreamBody::new(futures_util::stream::iter(frames)),
            promised,
            Box::new(mismatch),
        )
    }

    async fn read(
        mut body: impl Body<Data = Bytes, Error = Error> + Unpin,
    ) -> (String, Option<String>) {
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap(),
                Err(error) => return (text, Some(error.to_string())),
            }
        }
        (text, None)
    }

    #[tokio::test]
    async fn a_body_of_the_promised_length_passes_whole() {
        assert_eq!(
            read(exact(&["ab", "", "cd", ""], 4)).await,
            ("abcd".into(), None)
        );
    }

    #[tokio::test]
    async fn a_longer_body_never_completes_the_promised_length() {
        assert_eq!(
            read(exact(&["ab", "cd", "", "e"], 4)).await,
            ("ab".into(), Some("5".into()))
        );
        assert_eq!(
            read(exact(&["abcde"], 4)).await,
            (String::new(), Some("5".into()))
        );
    }

    #[tokio::test]
    async fn a_shorter_body_ends_with_an_error() {
        assert_eq!(
            read(exact(&["ab"], 4)).await,
            ("ab".into(), Some("2".into()))
        );
    }

    #[tokio::test]
    async fn the_length_is_exact_at_every_step() {
        let mut body = exact(&["ab", "cd"], 4);
        assert_eq!(body.size_hint().exact(), Some(4));
        body.frame().await;
        assert_eq!(body.size_hint().exact(), Some(2));
        body.frame().await;
        assert_eq!(
            (body.size_hint().exact(), body.is_end_stream()),
            (Some(0), true)
        );
    }
}
