//! Looks at a body's beginning before the head of a response is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::body::box_body::BoxBody;
use crate::types::error::Error;

/// A body whose beginning is known. Holds what was looked at until it is polled.
pub struct PeekedBody {
    beginning: Bytes,
    rest: BoxBody,
}

impl PeekedBody {
    /// Waits for this number of bytes, at least one, or the end. Holds as many, and one frame more
    /// at most.
    ///
    /// # Errors
    /// The body fails before that.
    pub async fn at(mut body: BoxBody, least: usize) -> Result<Self, Error> {
        let mut beginning = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Some(data) = frame?.into_data().ok().filter(|data| !data.is_empty()) else {
                continue;
            };
            if beginning.is_empty() && data.len() >= least {
                return Ok(Self {
                    beginning: data,
                    rest: body,
                });
            }
            // Copied: many small frames would each keep the whole buffer that they were read into.
            beginning.extend_from_slice(&data);
            if beginning.len() >= least {
                break;
            }
        }
        Ok(Self {
            beginning: beginning.freeze(),
            rest: body,
        })
    }

    /// The first bytes, as they happened to come; none of an empty body.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }
}

impl Body for PeekedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.beginning.is_empty() {
            return Pin::new(&mut self.rest).poll_frame(cx);
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.beginning)))))
    }

    fn is_end_stream(&self) -> bool {
        self.beginning.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.beginning.len() as u64;
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
    use crate::types::error::{ErrorCode, Stage};
    use http_body_util::{Full, StreamBody};

    fn frames(
        parts: impl IntoIterator<Item = &'static str, IntoIter: Send + Sync + 'static>,
    ) -> BoxBody {
        let parts = parts.into_iter().map(|part| match part {
            "failure" => Err(Error::storage(ErrorCode::UpstreamError, Stage::Fetch, "x")),
            part => Ok(Frame::data(Bytes::from_static(part.as_bytes()))),
        });
        BoxBody::new(StreamBody::new(futures_util::stream::iter(parts)))
    }

    #[tokio::test]
    async fn what_was_looked_at_is_still_there() {
        let parts = ["", "ab", "cd"];
        for (least, beginning) in [(1, "ab"), (2, "ab"), (3, "abcd"), (9, "abcd")] {
            let peeked = PeekedBody::at(frames(parts), least).await.unwrap();
            assert_eq!(
                (peeked.beginning(), peeked.is_end_stream()),
                (beginning.as_bytes(), false)
            );
            assert_eq!(peeked.collect().await.unwrap().to_bytes(), "abcd");
        }
    }

    #[tokio::test]
    async fn the_length_stays_exact() {
        let body = Full::new(Bytes::from_static(b"abcd")).map_err(|never| match never {});
        let mut peeked = PeekedBody::at(BoxBody::new(body), 1).await.unwrap();
        assert_eq!(
            (peeked.size_hint().exact(), peeked.is_end_stream()),
            (Some(4), false)
        );
        peeked.frame().await;
        assert_eq!(
            (peeked.size_hint().exact(), peeked.is_end_stream()),
            (Some(0), true)
        );
    }

    #[tokio::test]
    async fn a_body_that_fails_while_peeked_is_an_error() {
        assert!(PeekedBody::at(frames(["failure"]), 1).await.is_err());
        assert!(PeekedBody::at(frames(["ab", "failure"]), 3).await.is_err());
        assert!(PeekedBody::at(frames(["ab", "failure"]), 2).await.is_ok());
        assert_eq!(
            PeekedBody::at(frames([]), 1).await.unwrap().beginning(),
            b""
        );
    }
}
