//! The first bytes of a file: enough to tell its type, the whole of a small one, and what can be sent again.

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::BodyExt;

use crate::body::Frames;
use crate::words::fault::Fault;

/// What was read of a file so far, as it came. Holds the limit and at most one frame more.
#[derive(Default)]
pub struct LookAhead {
    /// Never empty ones.
    pub chunks: Vec<Bytes>,
    /// Bytes in `chunks`.
    pub length: u64,
    /// Whether that is the whole file, and the request's end was seen.
    pub ended: bool,
}

impl LookAhead {
    /// Reads on until at least `limit` bytes are there, or the end.
    pub async fn fill(&mut self, body: &mut Frames, limit: u64) -> Result<(), Fault> {
        while !self.ended && self.length < limit {
            match body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.push(data);
                    }
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }

    fn push(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.length += data.len() as u64;
            self.chunks.push(data);
        }
    }

    /// The first bytes in one piece; copied only where they came in several.
    pub fn head(&self, limit: usize) -> Cow<'_, [u8]> {
        match self.chunks.as_slice() {
            [] => Cow::Borrowed(&[]),
            [first, rest @ ..] if rest.is_empty() || first.len() >= limit => Cow::Borrowed(&first[..first.len().min(limit)]),
            chunks => {
                let mut head = Vec::with_capacity(limit.min(self.length as usize));
                for chunk in chunks {
                    head.extend_from_slice(&chunk[..chunk.len().min(limit - head.len())]);
                }
                Cow::Owned(head)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::StreamBody;

    fn body(chunks: &[&'static str]) -> Frames {
        let frames: Vec<_> = chunks.iter().map(|c| Ok(Frame::data(Bytes::from_static(c.as_bytes())))).collect();
        Frames::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn it_reads_no_more_than_it_needs() {
        let (mut body, mut ahead) = (body(&["ab", "", "cd", "ef"]), LookAhead::default());
        ahead.fill(&mut body, 3).await.unwrap();
        assert_eq!((ahead.length, ahead.ended), (4, false));
        assert_eq!(&*ahead.head(3), b"abc");
        ahead.fill(&mut body, 100).await.unwrap();
        assert_eq!((ahead.length, ahead.ended), (6, true));
        assert_eq!(&*ahead.head(100), b"abcdef");
    }
}
