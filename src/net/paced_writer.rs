//! A socket whose peer has to take what is written (write timeout, slow reader, backpressure).
//!
//! A peer takes something when the system has room for more: with send buffers as small as ours
//! that follows the peer closely. `TCP_USER_TIMEOUT` can't tell: Linux lets it run on while a peer
//! opens its window by less than one segment at a time, and so cuts readers that take bytes all the
//! time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use hyper_util::client::legacy::connect::{Connected, Connection};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::body::min_rate::{PaceLimits, PaceMonitor};

/// What the system may hold of one socket's outgoing bytes; Linux takes twice that, for its own
/// needs. It would grow to several MiB for each slow reader, in memory that counts as ours.
const SEND_BUFFER: usize = 256 * 1024;

/// The same of incoming bytes, for the same reason: those that a slow receiver on the other side of
/// a transfer leaves waiting.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReceiveBuffer {
    /// What a client sends.
    FromClient,
    /// What eGain or storage sends: with less, a large download costs 5 to 10 % more CPU
    /// (`benches/compare --scenarios down-64m`).
    FromUpstream,
}

impl ReceiveBuffer {
    const fn bytes(self) -> usize {
        match self {
            Self::FromClient => 128 * 1024,
            Self::FromUpstream => 256 * 1024,
        }
    }
}

/// What of it may be unsent before the socket counts as full. A fast peer is still sent whole
/// segments of 64 KiB; a slow one is seen to take each half of this, and what is here when all is
/// written is soon gone.
const UNSENT: u32 = 16 * 1024;

/// Bounds what the system holds of a socket's bytes. Where it can't, all else goes on as well.
pub(super) fn bound_buffers(stream: &TcpStream, incoming: ReceiveBuffer) {
    let socket = SockRef::from(stream);
    let _ = socket.set_recv_buffer_size(incoming.bytes());
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
}

/// How the bytes that go out over one connection get on.
#[derive(Debug)]
pub(super) struct WriteProgress {
    born: Instant,
    /// Milliseconds from `born` at which the peer last made room for a byte.
    moved: AtomicU64,
    gave_up: AtomicBool,
    /// Waits for the peer to take something.
    writer: AtomicWaker,
}

impl WriteProgress {
    pub(super) fn new() -> Arc<Self> {
        let born = Instant::now();
        let moved = AtomicU64::new(0);
        let gave_up = AtomicBool::new(false);
        Arc::new(Self {
            born,
            moved,
            gave_up,
            writer: AtomicWaker::new(),
        })
    }

    /// Gives the peer up, on behalf of other code than the writer: writing fails from now on, also
    /// what waits.
    pub(super) fn give_up(&self) {
        self.gave_up.store(true, Release);
        self.writer.wake();
    }

    /// How long no byte has been taken.
    pub(super) fn since_last_byte(&self) -> Duration {
        self.born
            .elapsed()
            .saturating_sub(Duration::from_millis(self.moved.load(Relaxed)))
    }

    /// Whether the peer was given up, as it took nothing or too little.
    pub(super) fn gave_up(&self) -> bool {
        self.gave_up.load(Acquire)
    }

    fn note(&self) {
        self.moved
            .store(self.born.elapsed().as_millis() as u64, Relaxed);
    }
}

/// A socket that notes how its peer takes what is written, and may give it up: then writing fails
/// with `TimedOut`.
pub(super) struct PacedWriter<I> {
    io: I,
    progress: Arc<WriteProgress>,
    monitor: Option<PeerMonitor<I>>,
}

struct PeerMonitor<I> {
    pace: PaceMonitor,
    /// Makes what is left unsent vanish with the socket.
    abandon: fn(&I),
}

impl<I> PacedWriter<I> {
    /// Only notes the progress; other code decides when to give the peer up.
    pub(super) fn noting(io: I) -> Self {
        Self {
            io,
            progress: WriteProgress::new(),
            monitor: None,
        }
    }

    /// Gives a peer up that is slower than `limits`. `abandon` runs before, so that the system
    /// doesn't go on for its own account with what nobody takes.
    pub(super) fn with_limits(
        io: I,
        limits: PaceLimits,
        progress: Arc<WriteProgress>,
        abandon: fn(&I),
    ) -> Self {
        Self {
            io,
            progress,
            monitor: Some(PeerMonitor {
                pace: PaceMonitor::new(limits),
                abandon,
            }),
        }
    }

    pub(super) fn get_ref(&self) -> &I {
        &self.io
    }

    /// What becomes of an attempt to write.
    fn attempted(
        &mut self,
        attempt: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match attempt {
            Poll::Ready(Ok(_)) if self.progress.gave_up() => Poll::Ready(Err(self.give_up())),
            Poll::Ready(Ok(bytes)) => {
                self.progress.note();
                if let Some(monitor) = &mut self.monitor
                    && monitor.pace.moved(bytes as u64).is_err()
                {
                    return Poll::Ready(Err(self.give_up()));
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Pending => {
                match &mut self.monitor {
                    Some(monitor) => ready!(monitor.pace.poll_stalled(cx)),
                    None => ready!(self.poll_given_up(cx)),
                }
                Poll::Ready(Err(self.give_up()))
            }
            broken => broken,
        }
    }

    /// Ready once other code has given the peer up.
    fn poll_given_up(&self, cx: &Context<'_>) -> Poll<()> {
        self.progress.writer.register(cx.waker());
        if self.progress.gave_up() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn give_up(&self) -> io::Error {
        self.progress.gave_up.store(true, Release);
        if let Some(monitor) = &self.monitor {
            (monitor.abandon)(&self.io);
        }
        io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer takes too little of what it is sent",
        )
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for PacedWriter<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for PacedWriter<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.io).poll_write(cx, buf);
        self.attempted(attempt, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.attempted(attempt, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<I: Connection> Connection for PacedWriter<I> {
    fn connected(&self) -> Connected {
        self.io.connected().extra(Arc::clone(&self.progress))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;

    const LIMITS: PaceLimits = PaceLimits {
        idle: Duration::from_secs(30),
        min_rate: 1024,
    };

    /// A writer with room for 1 KiB, and its reader.
    fn writer(limits: PaceLimits) -> (PacedWriter<DuplexStream>, DuplexStream) {
        let (here, there) = duplex(1024);
        (
            PacedWriter::with_limits(here, limits, WriteProgress::new(), |_| {}),
            there,
        )
    }

    /// Seconds until the reader, who takes so many bytes each time, is given up; none if it is
    /// served for ten minutes.
    async fn given_up_after(limits: PaceLimits, piece: usize, pause: Duration) -> Option<u64> {
        let (mut writer, mut reader) = writer(limits);
        let reading = tokio::spawn(async move {
            let mut room = vec![0; piece.max(1)];
            while piece > 0 && reader.read(&mut room).await.is_ok() {
                sleep(pause).await;
            }
            sleep(Duration::from_secs(10_000)).await;
        });
        let began = Instant::now();
        let outcome = loop {
            if began.elapsed() > Duration::from_secs(600) {
                break None;
            }
            if let Err(error) = writer.write(&[0; 4096]).await {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                assert!(writer.progress.gave_up());
                break Some(began.elapsed().as_secs());
            }
        };
        reading.abort();
        outcome
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_reader_is_cut_after_the_idle_time() {
        assert_eq!(given_up_after(LIMITS, 0, Duration::ZERO).await, Some(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_below_the_rate_cuts_a_reader() {
        assert_eq!(
            given_up_after(LIMITS, 900, Duration::from_secs(1)).await,
            Some(60)
        );
        assert_eq!(
            given_up_after(LIMITS, 1, Duration::from_secs(20)).await,
            Some(60)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_but_steady_reader_is_served() {
        assert_eq!(
            given_up_after(LIMITS, 1024, Duration::from_secs(1)).await,
            None
        );
        let patient = PaceLimits {
            min_rate: 0,
            ..LIMITS
        };
        assert_eq!(
            given_up_after(patient, 1, Duration::from_secs(29)).await,
            None
        );
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_writes_doesnt_count_against_the_reader() {
        let (mut writer, mut reader) = writer(LIMITS);
        for _ in 0..5 {
            writer.write_all(&[0; 512]).await.unwrap();
            sleep(Duration::from_secs(300)).await;
            reader.read_exact(&mut [0; 512]).await.unwrap();
        }
        assert_eq!(writer.progress.since_last_byte().as_secs(), 300);
    }
}
