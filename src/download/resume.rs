//! A stream that storage broke is taken up where it stopped, if the file can be told to be the same
//! one.
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

/// How often in a row a stream is taken up without a byte in between.
const TRIES: u32 = 3;

/// How often one stream is taken up at all: a storage that gives a byte each time would be asked
/// for each byte.
const TRIES_IN_ALL: u32 = 64;

/// What is needed to take a stream up again.
pub(super) struct ResumeContext {
    download: DownloadService,
    id: AssetId,
    principal: Principal,
    validator: HeaderValue,
    /// The next byte that the caller needs, and the last one, counted from the file's start.
    next: u64,
    last: u64,
}

impl ResumeContext {
    /// None for an answer without bytes, or without what it takes to resume.
    pub(super) fn new(
        (download, id, principal): (DownloadService, AssetId, Principal),
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let validator = headers
            .get(ETAG)
            .filter(|tag| tag.as_bytes().starts_with(b"\""))?
            .clone();
        headers.typed_get::<ETag>()?;
        let (next, last) = match status {
            StatusCode::OK => (0, headers.typed_get::<ContentLength>()?.0.checked_sub(1)?),
            StatusCode::PARTIAL_CONTENT => headers.typed_get::<ContentRange>()?.bytes_range()?,
            _ => return None,
        };
        Some(Self {
            download,
            id,
            principal,
            validator,
            next,
            last,
        })
    }

    /// The stream, resumed as often as it gets on.
    pub(super) fn over(self, body: BoxBody) -> Resumed {
        let length = self.last - self.next + 1;
        Resumed {
            resuming: self,
            state: State::Reading(body),
            left: length,
            tries: 0,
            tries_in_all: 0,
        }
    }

    /// Asks for the rest. None where storage has something else by now.
    fn reopen(&self) -> impl Future<Output = Option<BoxBody>> + Send + 'static {
        let (download, id, principal) = (
            self.download.clone(),
            self.id.clone(),
            self.principal.clone(),
        );
        let validator = self.validator.clone();
        let (next, last) = (self.next, self.last);
        async move {
            let range = HeaderValue::try_from(format!("bytes={next}-{last}")).ok()?;
            let conditions = [(RANGE, range), (IF_RANGE, validator.clone())]
                .into_iter()
                .collect();
            let (_, object) = download.open(&id, &principal, conditions).await.ok()?;
            // That a 206 has just these bytes was seen to when it was read.
            let same = object.headers.get(ETAG).is_none_or(|tag| *tag == validator);
            (object.status == StatusCode::PARTIAL_CONTENT && same).then_some(object.body)
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

    /// Only storage's faults are worth it, and only so many in a row.
    fn take_up(&mut self, fault: Error) -> Result<(), Error> {
        if fault.blame() != Blame::Storage
            || self.tries == TRIES
            || self.tries_in_all == TRIES_IN_ALL
        {
            return Err(fault);
        }
        self.tries += 1;
        self.tries_in_all += 1;
        tracing::info!(at = self.resuming.next, "takes a broken stream up again");
        self.state = State::Reopening(fault, SyncFuture::new(Box::pin(self.resuming.reopen())));
        Ok(())
    }
}

fn short() -> Error {
    Error::storage(
        ErrorCode::UpstreamError,
        Stage::Fetch,
        "storage ended the file early: try again",
    )
    .retryable(true)
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
                    Some(Err(fault)) => self.take_up(fault)?,
                    // Not the end that is known: `left` says so.
                    None => self.take_up(short())?,
                },
                State::Reopening(fault, reopening) => match ready!(Pin::new(reopening).poll(cx)) {
                    Some(body) => self.state = State::Reading(body),
                    None => return Poll::Ready(Some(Err(fault.clone()))),
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
