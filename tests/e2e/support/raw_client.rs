//! Callers that no HTTP client would be: raw bytes, and bodies that come when a test says so.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use reqwest::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::client::RequestBuilder;
use crate::support::secret_canary::search;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the gateway. Dropping it resets or closes it, as a caller does that has left.
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Wire {
    pub(crate) async fn to(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap())
    }

    /// Either end of a connection.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends no more, and goes on reading.
    pub(crate) async fn close_sending(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Leaves with a reset.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// What comes until the empty line, in lower case.
    pub(crate) async fn head(&mut self) -> String {
        self.head_as_it_is().await.to_lowercase()
    }

    /// What comes until the empty line.
    pub(crate) async fn head_as_it_is(&mut self) -> String {
        let end = self
            .read_until(|unread| {
                unread
                    .windows(4)
                    .position(|four| four == b"\r\n\r\n")
                    .map(|at| at + 4)
            })
            .await;
        String::from_utf8(self.unread.drain(..end).collect()).unwrap()
    }

    /// The same; none where the other side closes in place of it.
    pub(crate) async fn try_head(&mut self) -> Option<String> {
        while self.unread.is_empty() {
            if self.stream.read_buf(&mut self.unread).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        Some(self.head().await)
    }

    /// Whether the other side could be sent this.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Up to so many bytes, however long they take; how many, 0 at the end.
    pub(crate) async fn some(&mut self, most: usize) -> usize {
        if self.unread.is_empty() {
            let mut piece = vec![0; most];
            return self.stream.read(&mut piece).await.unwrap_or(0);
        }
        self.unread.drain(..most.min(self.unread.len())).count()
    }

    /// So many bytes.
    pub(crate) async fn bytes(&mut self, length: usize) -> Vec<u8> {
        self.read_until(|unread| (unread.len() >= length).then_some(length))
            .await;
        self.unread.drain(..length).collect()
    }

    /// Everything until the other side closes, which it must.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.unread);
        let _reset_or_closed = timeout(PATIENCE, self.stream.read_to_end(&mut rest))
            .await
            .expect("the connection closes");
        rest
    }

    /// An upload's head with these lines beside `Host`, each ending in CRLF.
    pub(crate) async fn send_head(&mut self, query: &str, lines: &str) {
        self.send(format!(
            "POST /v1/assets?{query} HTTP/1.1\r\nHost: gateway\r\n{lines}\r\n"
        ))
        .await;
    }

    /// The next answer, whose body's length is declared.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let status = head[9..12].parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        let body = String::from_utf8(self.bytes(length).await).unwrap();
        search("an answer", &format!("{head}{body}"));
        Answer { status, head, body }
    }

    /// Whether the gateway closes the connection, having sent nothing more.
    pub(crate) async fn ends(mut self) -> bool {
        let mut rest = std::mem::take(&mut self.unread);
        let read = self.stream.read_to_end(&mut rest).await;
        rest.is_empty() && read.is_ok()
    }

    async fn read_until(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> usize {
        loop {
            if let Some(at) = found(&self.unread) {
                return at;
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread))
                .await
                .expect("bytes in time")
                .unwrap();
            let so_far = String::from_utf8_lossy(&self.unread).into_owned();
            assert!(
                read > 0,
                "the connection ended within an answer: {so_far:?}"
            );
        }
    }
}

impl Answer {
    /// Whether the connection is announced to end.
    pub(crate) fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

/// The whole answer, in text, to a request line and headers.
pub(crate) async fn ask(addr: SocketAddr, line: &str, headers: &str) -> String {
    let mut wire = Wire::to(addr).await;
    wire.send(format!(
        "{line} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n{headers}\r\n"
    ))
    .await;
    let answer = String::from_utf8(wire.rest().await).unwrap();
    search("an answer", &answer);
    answer
}

/// The caller's end of a body under way.
pub(crate) struct BodyWriter(Sender<Bytes, io::Error>);

impl BodyWriter {
    pub(crate) async fn write(&mut self, bytes: impl Into<Vec<u8>>) {
        self.0.send_data(bytes.into().into()).await.unwrap();
    }

    /// Writes until nobody reads any more.
    pub(crate) async fn try_write(&mut self, bytes: impl Into<Vec<u8>>) -> bool {
        self.0.send_data(bytes.into().into()).await.is_ok()
    }

    /// The body is whole.
    pub(crate) fn end(self) {}
}

/// Sends a request whose body is written by hand. It is chunked, unless the request has a
/// `Content-Length`.
pub(crate) fn by_hand(
    request: RequestBuilder,
) -> (BodyWriter, JoinHandle<reqwest::Result<Response>>) {
    let (sender, body) = Channel::new(1);
    (
        BodyWriter(sender),
        tokio::spawn(request.body(reqwest::Body::wrap(body)).send()),
    )
}

/// Sends a file in chunks, without any length.
pub(crate) async fn in_chunks(request: RequestBuilder, file: &[u8]) -> Response {
    let (mut body_writer, answer) = by_hand(request);
    for chunk in file.chunks(16 * 1024) {
        // An answer may come before the end.
        if !body_writer.try_write(chunk).await {
            break;
        }
    }
    body_writer.end();
    answer.await.unwrap().unwrap()
}
