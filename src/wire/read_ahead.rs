//! How much may be read of a body at once: more while few are coming in.
//!
//! What bulk costs is system calls and wake-ups, so few large reads are cheap; but each stream holds what was read of it.
//! So that both are had, those who are served share what is set aside for a house full of them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

/// So many streams make the house full: from here on each one has its own buffer and no more.
const FULL_HOUSE: usize = 64;

/// How many times its own buffer a stream may have while the house is empty.
const MOST: usize = 4;

/// Connections whose reads brought no more than this have small buffers, of which there may be thousands.
const SMALL: usize = 16 * 1024;

/// How many buffers hyper fills for one body: while its reader has one, the next is read.
const BUFFERS: usize = 2;

/// hyper panics below this.
const LEAST: usize = 8 * 1024;

/// Shares what may be read ahead among the streams under way.
#[derive(Debug)]
pub(super) struct ReadAhead {
    own: usize,
    under_way: AtomicUsize,
    /// Bytes of large buffers that connections keep, also while they are idle.
    kept: AtomicUsize,
}

impl ReadAhead {
    /// `own` is each connection's, in bytes.
    pub(super) fn new(own: usize) -> Self {
        Self { own, under_way: AtomicUsize::new(0), kept: AtomicUsize::new(0) }
    }

    /// A place among those who share, until it is dropped.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        self.under_way.fetch_add(1, Relaxed);
        Place(Arc::clone(self))
    }

    /// The most that one read may bring while there are few others.
    pub(super) fn most(&self) -> usize {
        (self.own * MOST / BUFFERS).max(LEAST)
    }

    /// Whether connections may keep so many bytes more, all of them together as many as a full house reads ahead.
    fn keep(&self, bytes: usize) -> bool {
        let most = self.own * FULL_HOUSE;
        let more = |kept: usize| kept.checked_add(bytes).filter(|&kept| kept <= most);
        self.kept.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// What one read may bring now. One byte less than the buffer that is meant for it: hyper doubles a buffer that a read
    /// has filled.
    fn share(&self) -> usize {
        let share = self.own * FULL_HOUSE / self.under_way.load(Relaxed).max(1);
        (share / BUFFERS).clamp(self.own / BUFFERS, self.most()).max(LEAST) - 1
    }
}

/// A stream's place among those who share.
#[derive(Debug)]
pub(super) struct Place(Arc<ReadAhead>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

/// What one connection keeps of the memory for large buffers. hyper's buffer grows with what reads bring, and stays as large
/// until the connection ends.
#[derive(Debug)]
pub(super) struct KeptBuffer {
    read_ahead: Arc<ReadAhead>,
    bytes: AtomicUsize,
    too_large: AtomicBool,
}

impl KeptBuffer {
    pub(super) fn new(read_ahead: Arc<ReadAhead>) -> Arc<Self> {
        Arc::new(Self { read_ahead, bytes: AtomicUsize::new(0), too_large: AtomicBool::new(false) })
    }

    pub(super) fn read_ahead(&self) -> &Arc<ReadAhead> {
        &self.read_ahead
    }

    /// Whether the connection has to end with what it is doing, as others keep all that may be kept.
    pub(super) fn is_too_large(&self) -> bool {
        self.too_large.load(Relaxed)
    }

    /// One read brought so many bytes. One task at a time drives a connection.
    fn note(&self, read: usize) {
        let (needed, kept) = (read.next_power_of_two(), self.bytes.load(Relaxed));
        if read <= SMALL || needed <= kept || self.is_too_large() {
            return;
        }
        if self.read_ahead.keep(needed - kept) {
            self.bytes.store(needed, Relaxed);
        } else {
            self.too_large.store(true, Relaxed);
        }
    }
}

impl Drop for KeptBuffer {
    fn drop(&mut self) {
        self.read_ahead.kept.fetch_sub(*self.bytes.get_mut(), Relaxed);
    }
}

/// A socket of which no more is read at once than its share.
pub(super) struct Sparing<I> {
    io: Take<I>,
    read_ahead: Arc<ReadAhead>,
    kept: Option<Arc<KeptBuffer>>,
    _place: Option<Place>,
}

impl<I: AsyncRead> Sparing<I> {
    /// A connection that is kept between requests. Somebody else knows when it is one of those who share.
    pub(super) fn kept(io: I, buffer: Arc<KeptBuffer>) -> Self {
        Self { io: io.take(0), read_ahead: Arc::clone(buffer.read_ahead()), kept: Some(buffer), _place: None }
    }

    /// It is one of those who share for as long as it lives.
    pub(super) fn placed(io: I, read_ahead: &Arc<ReadAhead>) -> Self {
        Self { io: io.take(0), read_ahead: Arc::clone(read_ahead), kept: None, _place: Some(read_ahead.place()) }
    }
}

impl<I: Connection> Connection for Sparing<TokioIo<I>>
where
    TokioIo<I>: AsyncRead,
{
    fn connected(&self) -> Connected {
        self.io.get_ref().inner().connected()
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Sparing<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let share = self.read_ahead.share();
        self.io.set_limit(share as u64);
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if let Some(kept) = &self.kept {
            kept.note(buf.filled().len() - before);
        }
        read
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Sparing<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.io.get_mut()).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.get_mut()).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
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

    /// What one read may bring while so many exchanges are under way.
    fn share(own: usize, under_way: usize) -> usize {
        let read_ahead = Arc::new(ReadAhead::new(own));
        let places: Vec<_> = (0..under_way).map(|_| read_ahead.place()).collect();
        let share = read_ahead.share() + 1;
        drop(places);
        assert!(share <= read_ahead.share() + 1, "who has left takes nothing");
        share
    }

    #[test]
    fn few_read_much_at_once_and_a_full_house_no_more_than_each_ones_own() {
        assert_eq!([1, 16, 32, 64, 10_000].map(|under_way| share(128 * KIB, under_way) / KIB), [256, 256, 128, 64, 64]);
    }

    #[test]
    fn all_together_read_ahead_no_more_than_a_full_house() {
        for under_way in 1..=FULL_HOUSE {
            assert!(under_way * share(128 * KIB, under_way) * BUFFERS <= FULL_HOUSE * 128 * KIB);
        }
    }

    #[test]
    fn large_buffers_are_kept_up_to_what_a_full_house_reads_ahead_and_small_ones_always() {
        let read_ahead = Arc::new(ReadAhead::new(128 * KIB));
        let connections: Vec<_> = (0..40).map(|_| KeptBuffer::new(read_ahead.clone())).collect();
        for connection in &connections {
            [100, 100 * KIB, 250 * KIB, 250 * KIB, 10].into_iter().for_each(|read| connection.note(read));
        }
        let kept = connections.iter().filter(|connection| !connection.is_too_large()).count();
        assert_eq!((kept, read_ahead.kept.load(Relaxed)), (32, 8 * 1024 * KIB));
        let small = KeptBuffer::new(read_ahead.clone());
        small.note(SMALL);
        assert!(!small.is_too_large());
        drop(connections);
        assert_eq!(read_ahead.kept.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn a_read_brings_no_more_than_the_share() {
        let read_ahead = Arc::new(ReadAhead::new(LEAST));
        let _others: Vec<_> = (0..FULL_HOUSE).map(|_| read_ahead.place()).collect();
        let much = vec![0; 4 * LEAST];
        let mut socket = Sparing::kept(&much[..], KeptBuffer::new(read_ahead));
        let mut room = vec![0; 4 * LEAST];
        assert_eq!(socket.read(&mut room).await.unwrap(), LEAST - 1);
        assert_eq!(socket.read(&mut room).await.unwrap(), LEAST - 1, "each read has the share anew");
    }
}
