//! When the pieces of a body came.

use std::time::Duration;

use serde::Serialize;

/// The most pieces that are noted one by one. What comes after them counts to the last one.
const MOST_PIECES: usize = 256;

/// Frames that come within this time count as one piece: where a frame ends is a matter of buffers.
const SAME_PIECE: Duration = Duration::from_millis(10);

/// When a body came, in a bounded number of pieces. Holds none of its bytes.
#[derive(Debug, Default, Serialize)]
pub(super) struct BodyArrivals {
    bytes: u64,
    pieces: Vec<Piece>,
}

#[derive(Debug, Serialize)]
struct Piece {
    /// Milliseconds from the request's head to the first byte of the piece.
    ms: u64,
    bytes: u64,
}

impl BodyArrivals {
    /// Bytes that have come.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A frame of `bytes` came, `at` after the request's head.
    pub(super) fn note(&mut self, at: Duration, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.bytes += bytes;
        let ms = at.as_millis() as u64;
        let is_full = self.pieces.len() == MOST_PIECES;
        match self.pieces.last_mut() {
            Some(last) if is_full || ms < last.ms + SAME_PIECE.as_millis() as u64 => {
                last.bytes += bytes;
            }
            _ => self.pieces.push(Piece { ms, bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(frames: impl IntoIterator<Item = (u64, u64)>) -> BodyArrivals {
        let mut arrivals = BodyArrivals::default();
        for (ms, bytes) in frames {
            arrivals.note(Duration::from_millis(ms), bytes);
        }
        arrivals
    }

    #[test]
    fn frames_that_come_together_are_one_piece() {
        let arrivals = noted([(1, 10), (4, 0), (10, 20), (11, 30), (500, 40)]);
        let pieces: Vec<_> = arrivals.pieces.iter().map(|p| (p.ms, p.bytes)).collect();
        assert_eq!(pieces, [(1, 30), (11, 30), (500, 40)]);
        assert_eq!(arrivals.bytes(), 100);
    }

    #[test]
    fn a_long_body_is_noted_in_few_pieces() {
        let arrivals = noted((0..10_000).map(|nth| (nth * 20, 2)));
        assert_eq!(
            (arrivals.pieces.len(), arrivals.bytes()),
            (MOST_PIECES, 20_000)
        );
        let in_pieces: u64 = arrivals.pieces.iter().map(|piece| piece.bytes).sum();
        assert_eq!(in_pieces, 20_000, "none is lost");
    }
}
