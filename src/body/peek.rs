//! Looks at a body's first frame before the head of an answer is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::Frames;
use crate::words::fault::Fault;

/// A body whose first frame is known. Holds that one frame until it is asked for.
pub struct Peeked {
    first: Option<Bytes>,
    rest: Frames,
}

impl Peeked {
    /// Waits for the first frame that has bytes.
    ///
    /// # Errors
    /// The body fails before it has given any.
    pub async fn at(mut body: Frames) -> Result<Self, Fault> {
        while let Some(frame) = body.frame().await {
            if let Some(first) = frame?.into_data().ok().filter(|data| !data.is_empty()) {
                return Ok(Self { first: Some(first), rest: body });
            }
        }
        Ok(Self { first: None, rest: body })
    }

    /// The first bytes, as they happened to come; none of an empty body.
    pub fn first(&self) -> &[u8] {
        self.first.as_deref().unwrap_or_default()
    }
}

impl Body for Peeked {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::fault::{Code, Stage};
    use http_body_util::{Full, StreamBody};

    fn frames(parts: Vec<Result<Frame<Bytes>, Fault>>) -> Frames {
        Frames::new(StreamBody::new(futures_util::stream::iter(parts)))
    }

    #[tokio::test]
    async fn what_was_looked_at_is_still_there() {
        let parts = ["", "ab", "cd"].map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))));
        let peeked = Peeked::at(frames(parts.into())).await.unwrap();
        assert_eq!((peeked.first(), peeked.is_end_stream()), (&b"ab"[..], false));
        assert_eq!(peeked.collect().await.unwrap().to_bytes(), "abcd");
    }

    #[tokio::test]
    async fn the_length_stays_exact() {
        let body = Full::new(Bytes::from_static(b"abcd")).map_err(|never| match never {});
        let mut peeked = Peeked::at(Frames::new(body)).await.unwrap();
        assert_eq!((peeked.size_hint().exact(), peeked.is_end_stream()), (Some(4), false));
        peeked.frame().await;
        assert_eq!((peeked.size_hint().exact(), peeked.is_end_stream()), (Some(0), true));
    }

    #[tokio::test]
    async fn a_body_that_fails_at_once_is_no_answer() {
        let fault = Fault::storage(Code::UpstreamError, Stage::Fetch, "x");
        assert!(Peeked::at(frames(vec![Err(fault)])).await.is_err());
        assert_eq!(Peeked::at(frames(vec![])).await.unwrap().first(), b"");
    }
}
