//! SHA-256 of what passes, compared at the end with what was declared.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};

use crate::types::error::{Error, ErrorCode, Stage};

/// A SHA-256 value.
pub type Sha256Sum = [u8; 32];

/// Where the sum can be read once the body has ended.
pub type DigestSlot = Arc<OnceLock<Sha256Sum>>;

/// A body that is hashed on its way. Holds no bytes; ends with an error where the sum isn't the
/// expected one.
pub struct DigestingBody<B> {
    inner: B,
    hasher: Option<Sha256>,
    expected: Option<Sha256Sum>,
    slot: DigestSlot,
}

impl<B> DigestingBody<B> {
    /// Hashes `inner`; the sum is put into `slot` when it ends.
    pub fn new(inner: B, expected: Option<Sha256Sum>, slot: DigestSlot) -> Self {
        Self {
            inner,
            hasher: Some(Sha256::new()),
            expected,
            slot,
        }
    }

    fn finish(&mut self) -> Option<Error> {
        let sum: Sha256Sum = self.hasher.take()?.finalize().into();
        let _set_once = self.slot.set(sum);
        compare(&sum, self.expected).err()
    }
}

/// Refuses a sum that isn't the expected one, if there is one.
pub fn compare(sum: &Sha256Sum, expected: Option<Sha256Sum>) -> Result<(), Error> {
    let expected = match expected {
        Some(expected) if expected != *sum => expected,
        _ => return Ok(()),
    };
    let detail = format!(
        "the SHA-256 of what arrived is {}, declared was {}: send it again",
        hex::encode(sum),
        hex::encode(expected)
    );
    Err(Error::caller(
        ErrorCode::DigestMismatch,
        Stage::Read,
        detail,
    ))
}

/// Reads 64 hexadecimal digits of either case.
pub fn parse_hex(text: &str) -> Option<Sha256Sum> {
    let mut sum = Sha256Sum::default();
    hex::decode_to_slice(text, &mut sum).ok()?;
    Some(sum)
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for DigestingBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx)?);
        let Some(frame) = frame else {
            return Poll::Ready(self.finish().map(Err));
        };
        if let (Some(data), Some(hasher)) = (frame.data_ref(), self.hasher.as_mut()) {
            hasher.update(data);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Never before the sum was compared, or a reader would skip the poll that compares it.
    fn is_end_stream(&self) -> bool {
        self.hasher.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};

    fn full(text: &'static str) -> impl Body<Data = Bytes, Error = Error> + Unpin {
        Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {})
    }

    #[tokio::test]
    async fn the_sum_of_abc_matches_the_standard() {
        let slot = DigestSlot::default();
        DigestingBody::new(full("abc"), None, slot.clone())
            .collect()
            .await
            .unwrap();
        assert_eq!(
            hex::encode(slot.get().unwrap()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[tokio::test]
    async fn an_undeclared_sum_is_an_error_at_the_end() {
        let error = DigestingBody::new(full("abc"), Some([7; 32]), DigestSlot::default())
            .collect()
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::DigestMismatch);
    }
}
