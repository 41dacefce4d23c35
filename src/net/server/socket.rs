//! A client's socket: used by the connection that is spoken over it, and seen by those who watch
//! over that connection.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// How many first bytes are read before anybody knows what they are: an HTTP/2 preface.
const FIRST: usize = 24;

/// The connection's end of the socket. What was read to find the protocol is read again by the one
/// who speaks it.
pub(super) struct ServerSocket {
    shared: Arc<SharedSocket>,
    first: [u8; FIRST],
    filled: usize,
    taken: usize,
}

/// What is known of the socket beside the connection: one task at a time drives both, so that the
/// counters need no order.
pub(super) struct SharedSocket {
    stream: TcpStream,
    received: AtomicU64,
    sent: AtomicU64,
    /// Something is on its way out of which the system hasn't taken all.
    blocked: AtomicBool,
    /// A body is being read, or a head.
    is_reading: AtomicBool,
    unacknowledged: AtomicBool,
}

impl ServerSocket {
    pub(super) fn new(stream: TcpStream) -> Self {
        let shared = SharedSocket {
            stream,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            is_reading: AtomicBool::new(true),
            unacknowledged: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            first: [0; FIRST],
            filled: 0,
            taken: 0,
        }
    }

    /// The same socket, for those who watch.
    pub(super) fn shared(&self) -> Arc<SharedSocket> {
        Arc::clone(&self.shared)
    }

    /// Lets the connection end with a reset, whatever is unsent.
    pub(super) fn reset(&self) {
        let _ = SockRef::from(&self.shared.stream).set_linger(Some(Duration::ZERO));
    }

    /// All first bytes read so far, up to [`FIRST`], after one more read; `None` at the end of what
    /// the client sends.
    pub(super) async fn first_bytes(&mut self) -> io::Result<Option<&[u8]>> {
        let mut room = ReadBuf::new(&mut self.first[self.filled..]);
        poll_fn(|cx| self.shared.poll_receive(cx, &mut room)).await?;
        let read = room.filled().len();
        self.filled += read;
        Ok((read > 0).then_some(&self.first[..self.filled]))
    }
}

impl SharedSocket {
    /// Bytes that were read from the system, and bytes that it took.
    pub(super) fn traffic(&self) -> (u64, u64) {
        (self.received.load(Relaxed), self.sent.load(Relaxed))
    }

    /// Bytes that the system took.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Whether something is on its way out of which the system hasn't taken all.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// Tells whether more of the request is expected: then its sender may be waiting for an
    /// acknowledgement.
    pub(super) fn expect_more(&self, expected: bool) {
        self.is_reading.store(expected, Relaxed);
    }

    /// Resolves when the client has closed its sending side, or all of the connection; whether it
    /// was all.
    pub(super) async fn closed(&self) -> bool {
        // Tokio knows no interest in the end alone. That in urgent data, which nobody sends, comes
        // with it.
        let closed = self
            .stream
            .ready(Interest::PRIORITY | Interest::ERROR)
            .await;
        closed.is_ok_and(|ready| ready.is_error())
    }

    /// Resolves when the connection is broken, such as by a reset.
    pub(super) async fn broken(&self) {
        let _broken = self.stream.ready(Interest::ERROR).await;
    }

    /// Sends `bytes` past the connection, all of them or none; not into the middle of what is being
    /// sent.
    pub(super) fn slip_in(&self, bytes: &[u8]) -> bool {
        !self.is_blocked()
            && self
                .stream
                .try_write(bytes)
                .is_ok_and(|sent| sent == bytes.len())
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.stream.poll_read_ready(cx)?.is_pending() {
                self.acknowledge();
                return Poll::Pending;
            }
            let room = buf.remaining();
            match at_once(&self.stream, Interest::READABLE, room, || {
                self.stream.try_read_buf(buf)
            }) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    self.received.fetch_add(read as u64, Relaxed);
                    self.unacknowledged.store(read > 0, Relaxed);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Lets the system acknowledge at once what was read, where more is waited for.
    ///
    /// A client that sends small pieces with Nagle's algorithm holds back the next one until then,
    /// while the system delays its acknowledgement by 40 ms in the hope of a response to send
    /// it with. The option lasts only until the system thinks again, so it is set at each pause; in
    /// bulk there are few.
    fn acknowledge(&self) {
        if self.is_reading.load(Relaxed) && self.unacknowledged.swap(false, Relaxed) {
            let _ = SockRef::from(&self.stream).set_tcp_quickack(true);
        }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        send: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            self.blocked.store(true, Relaxed);
            ready!(self.stream.poll_write_ready(cx))?;
            match at_once(&self.stream, Interest::WRITABLE, length, || {
                send(&self.stream)
            }) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(sent) => {
                    self.sent.fetch_add(sent as u64, Relaxed);
                    self.blocked.store(sent < length, Relaxed);
                    // It is acknowledged along with this.
                    self.unacknowledged.store(false, Relaxed);
                    return Poll::Ready(Ok(sent));
                }
            }
        }
    }
}

/// Moves up to `length` bytes. Fewer mean that the system has no more for now: that is remembered,
/// as tokio's own socket does it, or the next attempt would be a system call in vain.
fn at_once(
    stream: &TcpStream,
    interest: Interest,
    length: usize,
    mut move_bytes: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut moved = Err(ErrorKind::WouldBlock.into());
    let _is_more_possible = stream.try_io(interest, || {
        moved = move_bytes();
        match moved {
            Ok(part) if 0 < part && part < length => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    });
    moved
}

impl AsyncRead for ServerSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let taken = self.taken;
        let filled = self.filled;
        if taken == filled {
            return self.shared.poll_receive(cx, buf);
        }
        let some = (filled - taken).min(buf.remaining());
        buf.put_slice(&self.first[taken..taken + some]);
        self.taken += some;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared
            .poll_send(cx, buf.len(), |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.shared
            .poll_send(cx, length, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.shared.stream).shutdown(Shutdown::Write) {
            Err(error) if error.kind() != ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for SharedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}
