//! The body's layers, in one place. Their order is the safety argument: storage never sees a
//! complete file that is wrong.
//!
//! Each layer wraps the one before it, and each frame passes them from the first to the last.
//!
//! Client side, around the request's body:
//!
//! 1. `RequestBody`, made by `api`: tells a client that disconnected from one that sends nonsense,
//!    and reads on for a while when nobody wants the rest (lingering close).
//! 2. [`min_rate`]: first of ours, so that only the time spent waiting for the client counts, and
//!    none that a layer behind it takes.
//! 3. [`digested`], around a whole form: `Content-Digest` is about the bytes as they were sent, so
//!    before the form is parsed. Only where the client promised one.
//! 4. `FormFile`, for a form: the file's bytes. It ends only once the rest of the form was read and
//!    is in order, and so does every layer behind it.
//! 5. [`digested`], around the file: the file's own bytes and nothing else. It compares at the
//!    file's end, and so before any layer behind it sees that end.
//!
//! Between the two sides, `ReplayableFile` holds what was read of the file while it can be sent
//! again. The layers before it see each byte once, and those behind it once for each attempt to
//! send, so a retry is not hashed a second time.
//!
//! Storage side, around one attempt ([`for_storage`]):
//!
//! 6. `ExactLengthBody`: holds the last frame back until everything before it has ended well. That
//!    is why digest and form are before it: neither can object later.
//! 7. `ObservedBody`: counts what leaves. Behind the exact length, or a frame that is held back
//!    would count as sent.
//! 8. `InSpan`: around all of the above, as hyper polls the body in a task of the connection, and
//!    what any layer logs belongs to the request.
//! 9. `TrackedBody` with its `FrameGate`, made by `storage`: last, as it judges whom the sending
//!    waits for, and lets one frame out at a time (backpressure). So the last frame leaves only
//!    after storage took the one before it, and after everything else has ended well.

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use prometheus::IntCounter;
use tracing::Span;

use super::digest::DeclaredDigest;
use super::length::SizedFile;
use crate::body::BoxBody;
use crate::body::digest::{DigestSlot, DigestingBody};
use crate::body::exact_length::ExactLengthBody;
use crate::body::in_span::InSpan;
use crate::body::min_rate::{MinRateBody, PaceLimits, caller_too_slow};
use crate::body::observed::ObservedBody;

/// A body whose digest is computed as it passes, where anybody needs it.
pub(super) struct DigestedBody {
    /// The bytes.
    pub body: BoxBody,
    /// Where the SHA-256 is once the body has ended; None where nobody needs it.
    pub sum: Option<DigestSlot>,
}

/// What goes to storage, without what `storage` puts around it.
pub(super) type StorageBody = InSpan<ObservedBody<ExactLengthBody<BoxBody>, IntCounter>>;

/// Layer 2: gives up on a client that sends nothing, or too little (slowloris).
pub(super) fn min_rate<B>(body: B, limits: PaceLimits) -> MinRateBody<B> {
    MinRateBody::new(body, limits, caller_too_slow)
}

/// Layers 3 and 5: hashes the body, where the client wants or promises a digest, or where `always`
/// is set.
pub(super) fn digested<B>(body: B, declared: DeclaredDigest, always: bool) -> DigestedBody
where
    B: Body<Data = Bytes, Error = crate::types::error::Error> + Send + Sync + Unpin + 'static,
{
    let is_needed = always || declared.wanted || declared.expected.is_some();
    if !is_needed {
        let body = body.boxed();
        return DigestedBody { body, sum: None };
    }
    let slot = DigestSlot::default();
    let body = DigestingBody::new(body, declared.expected, slot.clone()).boxed();
    let sum = Some(slot);
    DigestedBody { body, sum }
}

/// Layers 6 to 8, around one attempt to send the file. `sent_bytes` counts what leaves.
pub(super) fn for_storage(
    attempt: BoxBody,
    file: &SizedFile,
    sent_bytes: IntCounter,
) -> StorageBody {
    let body = ExactLengthBody::new(attempt, file.length, file.on_mismatch());
    let body = ObservedBody::new(body, sent_bytes);
    InSpan::new(body, Span::current())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::error::{Error, ErrorCode, Stage};
    use http_body::Frame;
    use http_body_util::StreamBody;

    fn body(frames: Vec<Result<&'static str, Error>>) -> BoxBody {
        let mut sent = Vec::new();
        for frame in frames {
            sent.push(frame.map(|text| Frame::data(Bytes::from_static(text.as_bytes()))));
        }
        StreamBody::new(futures_util::stream::iter(sent)).boxed()
    }

    /// What storage gets of a file of four bytes, and the error that ends it.
    async fn stored(source: BoxBody) -> (String, u64, Option<ErrorCode>) {
        let file = SizedFile::declared(4, Vec::new(), source);
        let sent_bytes = IntCounter::new("sent", "sent").unwrap();
        let attempt = file.file.body().unwrap();
        let mut body = for_storage(attempt, &file, sent_bytes.clone());
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap(),
                Err(error) => return (text, sent_bytes.get(), Some(error.code())),
            }
        }
        (text, sent_bytes.get(), None)
    }

    #[tokio::test]
    async fn a_wrong_digest_keeps_the_last_frame_from_storage() {
        let declared = DeclaredDigest {
            wanted: false,
            expected: Some([7; 32]),
        };
        let source = digested(body(vec![Ok("ab"), Ok("cd")]), declared, false);
        let error = Some(ErrorCode::DigestMismatch);
        assert_eq!(stored(source.body).await, ("ab".to_owned(), 2, error));
    }

    #[tokio::test]
    async fn an_error_behind_the_file_holds_back_its_end() {
        let late = Error::caller(ErrorCode::ConflictingField, Stage::Read, "late");
        let source = body(vec![Ok("ab"), Ok("cd"), Err(late)]);
        let error = Some(ErrorCode::ConflictingField);
        assert_eq!(stored(source).await, ("ab".to_owned(), 2, error));
    }

    #[tokio::test]
    async fn a_file_in_order_is_sent_and_counted_whole() {
        let source = digested(body(vec![Ok("ab"), Ok("cd")]), Default::default(), true);
        assert_eq!(stored(source.body).await, ("abcd".to_owned(), 4, None));
        assert!(source.sum.unwrap().get().is_some());
    }
}
