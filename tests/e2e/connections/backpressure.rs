//! Who is slow slows its own transfer and nothing else, in either direction: bytes wait where they
//! come from.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{SendRequest, handshake};
use http::Request;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::downloads::content::stored;
use crate::support::gateway::{TestGateway, eventually, noise};
use crate::support::raw_client::Wire;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Uploads that are larger are read as the test says.
const SMALL: usize = 64 * KIB;
/// The size of a file of which nobody reads the end.
const ENDLESS: u64 = 1_000_000_000_000;
/// What storage writes at once.
const PIECE: usize = 4 * KIB;
/// More than the buffers of all sockets on the way may grow to.
const LARGE: usize = 64 * MIB;
/// What the kernel is asked to keep for each socket of a test; it takes twice that.
const SOCKET_BUFFER: u32 = 16 * KIB as u32;
/// The most that the gateway holds of one upload while few are under way: the look-ahead, what
/// HTTP/1.1 reads ahead, and a frame of as much as one read brings that storage hasn't taken yet.
const HELD: usize = (64 + 4 * 128 + 2 * 128) * KIB;

/// A storage that reads no more of large uploads than it may, and whose files have no end.
struct Storage {
    addr: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    /// KiB that may still be read of large uploads.
    may_read: Semaphore,
    /// Bytes of large uploads.
    read: AtomicU64,
    /// Bytes of downloads, the piece that is being written left out.
    given: AtomicU64,
    /// Requests under way.
    uploads: AtomicUsize,
    downloads: AtomicUsize,
    /// Where the last connection came from.
    peer: parking_lot::Mutex<Option<SocketAddr>>,
}

impl Storage {
    /// May read so many KiB.
    async fn that_reads(kib: usize) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
        // As on a real line: of loopback's 64 KiB segments the gateway's kernel would queue
        // megabytes.
        SockRef::from(&socket).set_tcp_mss(1400).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let seen = Seen {
            may_read: Semaphore::new(kib),
            read: AtomicU64::new(0),
            given: AtomicU64::new(0),
            uploads: AtomicUsize::new(0),
            downloads: AtomicUsize::new(0),
            peer: parking_lot::Mutex::default(),
        };
        let storage = Self {
            addr: listener.local_addr().unwrap(),
            seen: Arc::new(seen),
        };
        tokio::spawn(storage.seen.clone().accept(listener));
        storage
    }

    /// A gateway whose every upload comes here.
    async fn gateway(&self, settings: &[(&str, &str)]) -> TestGateway {
        let usual = [
            ("egain.content_hosts", "127.0.0.1"),
            ("limits.max_asset_size", "64MiB"),
        ];
        let all: Vec<_> = usual.iter().chain(settings).copied().collect();
        let gateway = TestGateway::builder()
            .sandbox(SandboxConfig {
                max_size: LARGE as u64,
                ..SandboxConfig::default()
            })
            .settings(&all)
            .start()
            .await;
        gateway
            .sandbox
            .fault(Fault::at(SandboxOperation::CreateAsset).field("contentUrl", self.url()));
        gateway
    }

    /// A gateway whose one file lies here, and its path.
    async fn gateway_with_file(&self, settings: &[(&str, &str)]) -> (TestGateway, String) {
        let all: Vec<_> = [("egain.content_hosts", "127.0.0.1")]
            .iter()
            .chain(settings)
            .copied()
            .collect();
        let gateway = TestGateway::builder().settings(&all).start().await;
        let path = stored(&gateway, "a.bin", noise(10, 1)).await;
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::GetAsset)
                .field("contentUrl", self.url())
                .field("size", ENDLESS),
        );
        (gateway, path)
    }

    fn url(&self) -> String {
        format!("http://{}/file?signature=s", self.addr)
    }

    fn read(&self) -> usize {
        self.seen.read.load(Relaxed) as usize
    }

    /// Waits until it has given nothing for a while, and says how much that was.
    async fn stopped_giving(&self) -> usize {
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let given = self.seen.given.load(Relaxed);
            if given == before && given > 0 {
                return given as usize;
            }
            before = given;
        }
    }

    async fn uploads(&self, number: usize) -> bool {
        eventually(|| self.seen.uploads.load(Relaxed) == number).await
    }

    async fn downloads(&self, number: usize) -> bool {
        eventually(|| self.seen.downloads.load(Relaxed) == number).await
    }
}

impl Seen {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            *self.peer.lock() = Some(peer);
            let seen = self.clone();
            tokio::spawn(async move { seen.serve(Wire::over(stream)).await });
        }
    }

    async fn serve(&self, mut wire: Wire) {
        while let Some(head) = wire.try_head().await {
            if head.starts_with("get ") {
                let _under_way = Count::of(&self.downloads);
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-length: {ENDLESS}\r\n\r\n"
                ))
                .await;
                while wire.try_send(&[b'x'; PIECE]).await {
                    self.given.fetch_add(PIECE as u64, Relaxed);
                }
                return;
            }
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap()
                .parse()
                .unwrap();
            if length <= SMALL {
                wire.bytes(length).await;
            } else if !self.take(&mut wire, length).await {
                return;
            }
            wire.send("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    }

    /// Whether all of it came.
    async fn take(&self, wire: &mut Wire, length: usize) -> bool {
        let _under_way = Count::of(&self.uploads);
        let mut left = length;
        while left > 0 {
            self.may_read.acquire().await.unwrap().forget();
            let mut kib = left.min(KIB);
            while kib > 0 {
                let read = wire.some(kib).await;
                if read == 0 {
                    return false;
                }
                (kib, left) = (kib - read, left - read);
                self.read.fetch_add(read as u64, Relaxed);
            }
        }
        true
    }
}

struct Count<'a>(&'a AtomicUsize);

impl<'a> Count<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A caller that counts what its socket took.
struct Caller {
    stream: TcpStream,
    written: usize,
}

impl Caller {
    async fn begin(gateway: &TestGateway) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(SOCKET_BUFFER).unwrap();
        let mut stream = socket.connect(gateway.addr).await.unwrap();
        let line = "POST /v1/assets?channel=sms&name=a.bin HTTP/1.1\r\nhost: gateway\r\n";
        stream
            .write_all(format!("{line}content-length: {LARGE}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        Self { stream, written: 0 }
    }

    /// Writes until nothing was taken for a while, or all is written.
    async fn write_until_stopped(&mut self) {
        let piece = noise(64 * KIB, 1);
        while self.written < LARGE {
            let most = piece.len().min(LARGE - self.written);
            match timeout(
                Duration::from_millis(500),
                self.stream.write(&piece[..most]),
            )
            .await
            {
                Ok(written) => self.written += written.unwrap(),
                Err(_) => return,
            }
        }
    }

    /// Written less what the kernel still has, on this side or unread on the gateway's.
    fn taken_by_gateway(&self) -> usize {
        let (here, there) = (
            self.stream.local_addr().unwrap(),
            self.stream.peer_addr().unwrap(),
        );
        self.written - queues(here, there).sending - queues(there, here).unread
    }
}

/// What the kernel has for one end of a connection.
struct Queues {
    sending: usize,
    unread: usize,
}

/// As /proc/net/tcp has it (Linux, `Documentation/networking/proc_net_tcp.rst`).
fn queues(local: SocketAddr, remote: SocketAddr) -> Queues {
    let hex = |addr: SocketAddr| match addr {
        SocketAddr::V4(v4) => format!(
            "{:08X}:{:04X}",
            u32::from_le_bytes(v4.ip().octets()),
            v4.port()
        ),
        SocketAddr::V6(_) => unreachable!("tests are on 127.0.0.1"),
    };
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (local, remote) = (hex(local), hex(remote));
    let rows = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows
        .into_iter()
        .find(|row| row[1] == local && row[2] == remote)
        .expect("the connection stands");
    let (sending, unread) = row[4].split_once(':').unwrap();
    let bytes = |text| usize::from_str_radix(text, 16).unwrap();
    Queues {
        sending: bytes(sending),
        unread: bytes(unread),
    }
}

impl Storage {
    /// What has left the gateway, the head of the request left out.
    fn given_by_gateway(&self) -> usize {
        let peer = self.seen.peer.lock().expect("the gateway has connected");
        (queues(peer, self.addr).sending + queues(self.addr, peer).unread + self.read())
            .saturating_sub(KIB)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_storage_stops_the_caller_in_bounded_memory() {
    let storage = Storage::that_reads(0).await;
    let gateway = storage.gateway(&[]).await;
    let mut caller = Caller::begin(&gateway).await;
    for step in 0..3 {
        caller.write_until_stopped().await;
        assert!(
            eventually(|| storage.read() == step * MIB).await,
            "step {step}: storage gets what it has room for"
        );
        assert!(caller.written < LARGE, "step {step}: the caller stops");
        let held = caller
            .taken_by_gateway()
            .saturating_sub(storage.given_by_gateway());
        assert!(held <= HELD, "step {step}: the gateway holds {held} bytes");
        storage.seen.may_read.add_permits(MIB / KIB);
    }
}

/// The same of one download: what goes out, what is ready behind it, and what is being read, each
/// of as much as one read brings while few are under way.
const HELD_DOWN: usize = 3 * 256 * KIB;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_stops_storage_in_bounded_memory() {
    let storage = Storage::that_reads(0).await;
    let (gateway, path) = storage.gateway_with_file(&[]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
    let mut reader = socket.connect(gateway.addr).await.unwrap();
    reader
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut read = 0;
    for step in 0..3 {
        let given = storage.stopped_giving().await;
        let (upstream_side, here) = (
            storage.seen.peer.lock().unwrap(),
            reader.local_addr().unwrap(),
        );
        let taken = given
            - queues(storage.addr, upstream_side).sending
            - queues(upstream_side, storage.addr).unread;
        let passed = read + queues(gateway.addr, here).sending + queues(here, gateway.addr).unread;
        let held = taken.saturating_sub(passed);
        assert!(
            held <= HELD_DOWN + PIECE,
            "step {step}: the gateway holds {held} bytes"
        );
        let mut some = vec![0; MIB];
        read += reader.read_exact(&mut some).await.unwrap();
    }
}

#[tokio::test]
async fn a_stalled_caller_holds_no_connection_to_storage() {
    let storage = Storage::that_reads(LARGE / KIB).await;
    let gateway = storage
        .gateway(&[("server.body_idle_timeout", "500ms")])
        .await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send_head(
        "channel=sms&name=a.bin",
        &format!("Content-Length: {LARGE}\r\n"),
    )
    .await;
    wire.send(noise(300 * KIB, 1)).await;
    assert!(
        storage.uploads(1).await && eventually(|| storage.read() > 0).await,
        "it is under way"
    );
    assert!(storage.uploads(0).await, "its connection to storage ends");
    assert_eq!(wire.answer().await.status, 408);
}

const IMPATIENT: [(&str, &str); 2] = [
    ("server.body_idle_timeout", "1s"),
    ("server.max_downloads", "1"),
];

#[tokio::test]
async fn a_reader_that_stops_holds_no_connection_to_storage() {
    let storage = Storage::that_reads(0).await;
    let (gateway, path) = storage.gateway_with_file(&IMPATIENT).await;
    let mut reader = Wire::to(gateway.addr).await;
    reader
        .send(format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n"))
        .await;
    assert!(reader.head().await.starts_with("http/1.1 200"));
    assert!(storage.downloads(1).await);
    assert!(storage.downloads(0).await, "its connection to storage ends");
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"download\"}", 0.0)
            .await
    );
}

/// A stream of an HTTP/2 connection whose client takes nothing until its body is read.
async fn open(client: &SendRequest<Bytes>, gateway: &TestGateway, path: &str) -> RecvStream {
    let mut ready = client.clone().ready().await.unwrap();
    let (answer, _) = ready
        .send_request(Request::get(gateway.url(path)).body(()).unwrap(), true)
        .unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

#[tokio::test]
async fn only_an_unread_http_2_stream_is_cut() {
    let storage = Storage::that_reads(0).await;
    let (gateway, path) = storage.gateway_with_file(&IMPATIENT).await;
    let (client, connection) = handshake(TcpStream::connect(gateway.addr).await.unwrap())
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut stalled = open(&client, &gateway, &path).await;
    assert!(storage.downloads(1).await);
    assert!(storage.downloads(0).await, "its connection to storage ends");
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"download\"}", 0.0)
            .await
    );
    while let Some(Ok(data)) = stalled.data().await {
        stalled.flow_control().release_capacity(data.len()).unwrap();
    }
    assert!(!stalled.is_end_stream(), "it never looks whole");

    let mut read = open(&client, &gateway, &path).await;
    let mut bytes = 0;
    while bytes < 4 * MIB {
        let data = read.data().await.unwrap().unwrap();
        bytes += data.len();
        read.flow_control().release_capacity(data.len()).unwrap();
        if bytes % MIB < data.len() {
            // Slower than the limit altogether, and never for as long as it at once.
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_uploads_go_on_beside_500_stalled_ones() {
    rlimit::increase_nofile_limit(8192).unwrap();
    let storage = Storage::that_reads(0).await;
    let gateway = storage.gateway(&[]).await;
    let mut stalled = Vec::new();
    for _ in 0..500 {
        let mut wire = Wire::to(gateway.addr).await;
        wire.send_head(
            "channel=sms&name=a.bin",
            &format!("Content-Length: {LARGE}\r\n"),
        )
        .await;
        // More than the look-ahead, so that it is being sent.
        wire.send(noise(100 * KIB, 1)).await;
        stalled.push(wire);
    }
    assert!(storage.uploads(500).await, "all of them are being sent");
    for seed in 0..100 {
        let small = gateway
            .post("/v1/assets?channel=sms&name=b.bin")
            .body(noise(4 * KIB, seed))
            .send();
        let answer = timeout(Duration::from_secs(10), small)
            .await
            .expect("a small one doesn't wait for large ones")
            .unwrap();
        assert_eq!(answer.status(), 201);
    }
    assert!(storage.uploads(500).await, "the others are still waiting");
}
