//! How much may be read of a body at once: more while few are coming in.
//!
//! What bulk costs is system calls and wake-ups, so few large reads are cheap; but each stream
//! holds what was read of it. So that both are had, those who are served share what is set aside
//! for [`SHARED_AMONG`] of them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

/// The number of streams that share the read-ahead budget: from here on each one has its own buffer
/// and no more, and less where there are more.
const SHARED_AMONG: usize = 64;

/// A stream has at least this part of its own buffer, however many there are.
const LEAST_PART: usize = 2;

/// How many times its own buffer a stream may have while few others are in flight.
const MOST: usize = 4;

/// How many buffers hyper fills for one body: while its reader has one, the next is read.
const BUFFERS: usize = 2;

/// hyper panics below this.
const LEAST: usize = 8 * 1024;

/// Shares what may be read ahead among the streams in flight.
#[derive(Debug)]
pub(super) struct ReadAhead {
    own: usize,
    in_flight: AtomicUsize,
}

impl ReadAhead {
    /// `own` is each connection's, in bytes.
    pub(super) fn new(own: usize) -> Self {
        Self {
            own,
            in_flight: AtomicUsize::new(0),
        }
    }

    /// A place among those who share, until it is dropped.
    pub(super) fn join(self: &Arc<Self>) -> ReadAheadShare {
        self.in_flight.fetch_add(1, Relaxed);
        ReadAheadShare(Arc::clone(self))
    }

    /// The most that one read may bring while there are few others.
    pub(super) fn most(&self) -> usize {
        (self.own * MOST / BUFFERS).max(LEAST)
    }

    /// What one read may bring now. One byte less than the buffer that is meant for it: hyper
    /// doubles a buffer that a read has filled.
    fn share(&self) -> usize {
        let share = self.own * SHARED_AMONG / self.in_flight.load(Relaxed).max(1);
        (share / BUFFERS)
            .clamp(self.own / LEAST_PART / BUFFERS, self.most())
            .max(LEAST)
            - 1
    }
}

/// A stream's place among those who share.
#[derive(Debug)]
pub(super) struct ReadAheadShare(Arc<ReadAhead>);

impl Drop for ReadAheadShare {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A socket of which no more is read at once than its share.
pub(super) struct LimitedReads<I> {
    io: Take<I>,
    read_ahead: Arc<ReadAhead>,
    _share: Option<ReadAheadShare>,
}

impl<I: AsyncRead> LimitedReads<I> {
    /// Somebody else knows when it is one of those who share.
    pub(super) fn new(io: I, read_ahead: Arc<ReadAhead>) -> Self {
        Self {
            io: io.take(0),
            read_ahead,
            _share: None,
        }
    }

    /// It is one of them for as long as it lives.
    pub(super) fn sharing(io: I, read_ahead: &Arc<ReadAhead>) -> Self {
        Self {
            _share: Some(read_ahead.join()),
            ..Self::new(io, Arc::clone(read_ahead))
        }
    }
}

impl<I: Connection> Connection for LimitedReads<TokioIo<I>>
where
    TokioIo<I>: AsyncRead,
{
    fn connected(&self) -> Connected {
        self.io.get_ref().inner().connected()
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for LimitedReads<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let share = self.read_ahead.share();
        self.io.set_limit(share as u64);
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LimitedReads<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.io.get_mut()).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.get_mut()).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.io.get_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.get_ref().is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    /// What one read may bring while this number of requests is in flight.
    fn share(own: usize, in_flight: usize) -> usize {
        let read_ahead = Arc::new(ReadAhead::new(own));
        let places: Vec<_> = (0..in_flight).map(|_| read_ahead.join()).collect();
        let share = read_ahead.share() + 1;
        drop(places);
        assert!(
            share <= read_ahead.share() + 1,
            "who has left takes nothing"
        );
        share
    }

    #[test]
    fn few_read_much_at_once_and_many_little() {
        assert_eq!(
            [1, 16, 32, 64, 128, 10_000].map(|in_flight| share(128 * KIB, in_flight) / KIB),
            [256, 256, 128, 64, 32, 32]
        );
    }

    #[test]
    fn together_they_read_no_more_than_their_budget() {
        for in_flight in 1..=SHARED_AMONG * LEAST_PART {
            assert!(in_flight * share(128 * KIB, in_flight) * BUFFERS <= SHARED_AMONG * 128 * KIB);
        }
    }

    #[tokio::test]
    async fn a_read_brings_no_more_than_the_share() {
        let read_ahead = Arc::new(ReadAhead::new(LEAST));
        let _others: Vec<_> = (0..SHARED_AMONG).map(|_| read_ahead.join()).collect();
        let much = vec![0; 4 * LEAST];
        let mut socket = LimitedReads::new(&much[..], read_ahead);
        let mut room = vec![0; 4 * LEAST];
        assert_eq!(socket.read(&mut room).await.unwrap(), LEAST - 1);
        assert_eq!(
            socket.read(&mut room).await.unwrap(),
            LEAST - 1,
            "each read has the share anew"
        );
    }
}
