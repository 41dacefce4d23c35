//! Resumes a stream that storage broke where it stopped, if the file is provably the same one.
//!
//! That takes a strong validator (RFC 9110 section 8.8.1). Without one the connection to the caller
//! is cut: a short body must never end as if it were whole.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use headers::{ContentLength, ContentRange, ETag, HeaderMapExt};
use http::header::{ETAG, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Body, Frame, SizeHint};
use sync_wrapper::SyncFuture;

use super::service::DownloadService;
use crate::body::BoxBody;
use crate::types::asset::AssetId;
use crate::types::caller::Principal;
use crate::types::error::{Blame, Error, ErrorCode, Stage};

/// How often in a row a stream is resumed without a byte in between.
const TRIES: u32 = 3;

/// How often one stream is resumed at all: a storage that sends a byte each time would get a
/// request for each byte.
const TRIES_IN_ALL: u32 = 64;

/// Whose download of which asset a stream is.
#[derive(Clone)]
pub(super) struct RequestedDownload {
    pub download: DownloadService,
    pub id: AssetId,
    pub principal: Principal,
}

/// What is needed to resume a stream.
pub(super) struct ResumeContext {
    requested: RequestedDownload,
    validator: HeaderValue,
    /// The next byte that the caller needs, and the last one, counted from the file's start.
    next: u64,
    last: u64,
}

impl ResumeContext {
    /// None for a response without bytes, or without what it takes to resume.
    pub(super) fn new(
        requested: RequestedDownload,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let validator = headers.get(ETAG)?;
        let is_strong = validator.as_bytes().starts_with(b"\"");
        if !is_strong || headers.typed_get::<ETag>().is_none() {
            return None;
        }
        let (next, last) = match status {
            StatusCode::OK => (0, headers.typed_get::<ContentLength>()?.0.checked_sub(1)?),
            StatusCode::PARTIAL_CONTENT => headers.typed_get::<ContentRange>()?.bytes_range()?,
            _ => return None,
        };
        Some(Self {
            requested,
            validator: validator.clone(),
            next,
            last,
        })
    }

    /// The stream, resumed as often as it gets on.
    pub(super) fn resume_when_cut(self, body: BoxBody) -> Resumed {
        let length = self.last - self.next + 1;
        Resumed {
            resuming: self,
            state: State::Reading(body),
            left: length,
            tries: 0,
            tries_in_all: 0,
        }
    }

    /// Requests the rest. None where storage has something else by now.
    fn reopen(&self) -> impl Future<Output = Option<BoxBody>> + Send + 'static {
        let RequestedDownload {
            download,
            id,
            principal,
        } = self.requested.clone();
        let validator = self.validator.clone();
        let next = self.next;
        let last = self.last;
        async move {
            let range = HeaderValue::try_from(format!("bytes={next}-{last}")).ok()?;
            let conditions = [(RANGE, range), (IF_RANGE, validator.clone())]
                .into_iter()
                .collect();
            let (_, object) = download.open(&id, &principal, conditions).await.ok()?;
            // That a 206 has just these bytes was seen to when it was read.
            let same = object.headers.get(ETAG).is_none_or(|tag| *tag == validator);
            if object.status == StatusCode::PARTIAL_CONTENT && same {
                Some(object.body)
            } else {
                None
            }
        }
    }
}

/// A body that survives a broken stream. Holds no bytes.
pub(super) struct Resumed {
    resuming: ResumeContext,
    state: State,
    left: u64,
    tries: u32,
    tries_in_all: u32,
}

enum State {
    Reading(BoxBody),
    Reopening(
        Error,
        SyncFuture<Pin<Box<dyn Future<Output = Option<BoxBody>> + Send>>>,
    ),
}

impl Resumed {
    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.resuming.next += bytes;
        self.left = self.left.saturating_sub(bytes);
        if bytes > 0 {
            self.tries = 0;
        }
        frame
    }

    /// Only storage's errors are worth it, and at most [`TRIES`] in a row.
    fn resume(&mut self, error: Error) -> Result<(), Error> {
        if error.blame() != Blame::Storage
            || self.tries == TRIES
            || self.tries_in_all == TRIES_IN_ALL
        {
            return Err(error);
        }
        self.tries += 1;
        self.tries_in_all += 1;
        tracing::info!(at = self.resuming.next, "resuming interrupted download");
        self.state = State::Reopening(error, SyncFuture::new(Box::pin(self.resuming.reopen())));
        Ok(())
    }
}

fn short() -> Error {
    Error::storage(
        ErrorCode::UpstreamError,
        Stage::Fetch,
        "storage ended the file early: try again",
    )
    .with_retryable(true)
}

impl Body for Resumed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            match &mut self.state {
                State::Reading(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Ok(frame)) => return Poll::Ready(Some(Ok(self.pass(frame)))),
                    Some(Err(error)) => self.resume(error)?,
                    // Not the end that is known: `left` says so.
                    None => self.resume(short())?,
                },
                State::Reopening(error, reopening) => match ready!(Pin::new(reopening).poll(cx)) {
                    Some(body) => self.state = State::Reading(body),
                    None => return Poll::Ready(Some(Err(error.clone()))),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
