//! A body that is polled within a request's span, also by hyper, which polls it in tasks of its own
//! connections.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use tracing::Span;

/// What a body logs while it is read has the fields of the span.
pub struct InSpan<B> {
    inner: B,
    span: Span,
}

impl<B> InSpan<B> {
    /// Within this span.
    pub fn new(inner: B, span: Span) -> Self {
        Self { inner, span }
    }
}

impl<B: Body + Unpin> Body for InSpan<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Self { inner, span } = &mut *self;
        let _entered = span.enter();
        Pin::new(inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
