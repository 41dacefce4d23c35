//! The first bytes of a file: enough to find its type, the whole of a small file, and what can be
//! sent again.

use std::borrow::Cow;

use http_body_util::BodyExt;

use crate::body::BoxBody;
use crate::body::compact::CompactChunks;
use crate::types::error::Error;

/// What was read of a file. Holds the limit and at most one frame more.
#[derive(Default)]
pub(super) struct LookAhead {
    /// The bytes.
    pub chunks: CompactChunks,
    /// Whether this is the whole file, and the request's end was seen.
    pub ended: bool,
}

impl LookAhead {
    /// Reads on until it holds at least `limit` bytes, or the file has ended.
    pub(super) async fn fill(&mut self, body: &mut BoxBody, limit: u64) -> Result<(), Error> {
        while !self.ended && self.length() < limit {
            match body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.chunks.push(data);
                    }
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }

    /// Bytes read.
    pub(super) fn length(&self) -> u64 {
        self.chunks.length()
    }

    /// The first `limit` bytes in one piece; copied only where they are in several.
    pub(super) fn head(&self, limit: usize) -> Cow<'_, [u8]> {
        let mut pieces = self.chunks.pieces();
        let first = pieces.next().unwrap_or_default();
        let wanted = limit.min(self.length() as usize);
        if first.len() >= wanted {
            return Cow::Borrowed(&first[..wanted]);
        }
        let mut head = Vec::with_capacity(wanted);
        head.extend_from_slice(first);
        for piece in pieces {
            head.extend_from_slice(&piece[..piece.len().min(wanted - head.len())]);
        }
        Cow::Owned(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::StreamBody;

    fn body(chunks: &[&'static str]) -> BoxBody {
        let frames: Vec<_> = chunks
            .iter()
            .map(|c| Ok(Frame::data(Bytes::from_static(c.as_bytes()))))
            .collect();
        BoxBody::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn it_reads_no_more_than_it_needs() {
        let (mut body, mut ahead) = (body(&["ab", "", "cd", "ef"]), LookAhead::default());
        ahead.fill(&mut body, 3).await.unwrap();
        assert_eq!((ahead.length(), ahead.ended), (4, false));
        assert_eq!(&*ahead.head(3), b"abc");
        ahead.fill(&mut body, 100).await.unwrap();
        assert_eq!((ahead.length(), ahead.ended), (6, true));
        assert_eq!(&*ahead.head(100), b"abcdef");
    }

    #[test]
    fn a_head_is_joined_from_several_pieces() {
        let mut ahead = LookAhead::default();
        ahead.chunks.push(Bytes::from_static(b"ab"));
        ahead.chunks.push(Bytes::from(vec![b'c'; 20_000]));
        assert_eq!(&*ahead.head(2), b"ab");
        assert_eq!(&*ahead.head(4), b"abcc");
        assert_eq!(ahead.head(30_000).len(), 20_002);
    }
}
