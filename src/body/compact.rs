//! Bytes in memory, a coalescing buffer: what it counts is what it pins.
//!
//! A slice keeps the whole buffer alive that it was cut from, and a caller chooses how small its
//! pieces are: 64 KiB in one-byte chunks would pin a read buffer for each byte. So small frames are
//! copied together.

use bytes::Bytes;

/// Frames from here on fill much of the buffer that they were read into, and stay as they came:
/// copying them costs more than it saves.
const STAYS_WHOLE: usize = 16 * 1024;
/// The largest block that small frames are copied into, in bytes.
pub const BLOCK: usize = 64 * 1024;
/// The first one: most files that come in one piece fit. Each further one is twice as large, up to
/// a [`BLOCK`].
const FIRST_BLOCK: usize = 1024;

/// Bytes in the order in which they came.
#[derive(Default)]
pub struct CompactChunks {
    /// Never empty ones.
    chunks: Vec<Bytes>,
    /// What follows them, up to a [`BLOCK`].
    tail: Vec<u8>,
    length: u64,
    /// Bytes of the buffers behind `chunks`.
    pinned: u64,
}

impl CompactChunks {
    /// Adds a frame.
    pub fn push(&mut self, frame: Bytes) {
        self.length += frame.len() as u64;
        if frame.len() >= STAYS_WHOLE {
            self.seal();
            self.pinned += frame.len() as u64;
            self.chunks.push(frame);
            return;
        }
        let mut rest = &frame[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.room_for(rest.len()));
            self.tail.extend_from_slice(now);
            rest = later;
        }
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of memory.
    pub fn pinned(&self) -> u64 {
        self.pinned + self.tail.capacity() as u64
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks
            .iter()
            .map(|chunk| &chunk[..])
            .chain(Some(&self.tail[..]).filter(|tail| !tail.is_empty()))
    }

    /// All of it, to be sent or written. Copies nothing.
    pub fn chunks(&mut self) -> &[Bytes] {
        self.seal();
        &self.chunks
    }

    /// The same, and this is empty afterwards.
    pub fn take(&mut self) -> Vec<Bytes> {
        self.seal();
        std::mem::take(self).chunks
    }

    /// How many of these bytes fit behind the tail, or into the next block; at least 1. Blocks
    /// grow, but none is moved into a larger one: what was left behind would be memory that nobody
    /// counts.
    fn room_for(&mut self, bytes: usize) -> usize {
        let capacity = self.tail.capacity();
        if self.tail.len() == capacity {
            self.seal();
            self.tail
                .reserve_exact(bytes.max(2 * capacity).clamp(FIRST_BLOCK, BLOCK));
        }
        bytes.min(self.tail.capacity() - self.tail.len())
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.pinned += self.tail.capacity() as u64;
            self.chunks.push(std::mem::take(&mut self.tail).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cut from read buffers of 8 KiB, as hyper does it.
    fn pieces(total: usize, size: usize) -> Vec<Bytes> {
        let byte = |at: usize| (at % 251) as u8;
        let cut = |start: usize| {
            let mut buffer = Vec::with_capacity(8 * 1024);
            buffer.extend((start..total.min(start + size)).map(byte));
            Bytes::from(buffer)
        };
        (0..total).step_by(size).map(cut).collect()
    }

    fn filled(frames: &[Bytes]) -> CompactChunks {
        let mut chunks = CompactChunks::default();
        frames.iter().for_each(|frame| chunks.push(frame.clone()));
        chunks
    }

    #[test]
    fn small_pieces_pin_little_more_than_their_bytes() {
        for (total, size) in [
            (64 * 1024, 1),
            (274_400, 1400),
            (274_000, 500),
            (100_000, STAYS_WHOLE - 1),
        ] {
            let frames = pieces(total, size);
            let mut kept = filled(&frames);
            assert!(
                frames.iter().all(Bytes::is_unique),
                "pieces of {size} are let go"
            );
            assert!(
                kept.pinned() <= (total + BLOCK) as u64,
                "{} are pinned for {total} in pieces of {size}",
                kept.pinned()
            );
            assert_eq!(kept.length(), total as u64);
            assert!(kept.pieces().collect::<Vec<_>>().concat() == frames.concat());
            assert!(kept.take().concat() == frames.concat(), "pieces of {size}");
            assert_eq!((kept.length(), kept.pinned()), (0, 0));
        }
    }

    #[test]
    fn large_pieces_are_kept_uncopied_and_in_order() {
        let large = Bytes::from(vec![b'b'; STAYS_WHOLE]);
        let mut kept = filled(&[
            Bytes::from_static(b"a"),
            large.clone(),
            Bytes::from_static(b"c"),
        ]);
        assert!(
            kept.chunks()
                .iter()
                .any(|chunk| chunk.as_ptr() == large.as_ptr())
        );
        assert!(kept.take().concat() == [b"a", &large[..], b"c"].concat());
    }

    #[test]
    fn a_small_file_pins_a_small_block() {
        assert_eq!(
            filled(&[Bytes::from_static(b"small")]).pinned(),
            FIRST_BLOCK as u64
        );
    }
}
