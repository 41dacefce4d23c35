//! The connection to storage is dialled while eGain is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::support::gateway::{TestGateway, eventually, noise, receipt};
use crate::support::raw_client::Wire;

/// Longer than connections to storage wait in the pool.
const PAUSE: Duration = Duration::from_millis(4500);

/// A server on loopback that answers each request of each connection.
#[derive(Clone)]
struct Server {
    addr: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    answer: String,
    /// Requests that may be answered.
    may_answer: Semaphore,
    connections: AtomicUsize,
    open: AtomicUsize,
    /// Connections that a request came on.
    used: AtomicUsize,
    requests: AtomicUsize,
}

impl Server {
    async fn that_says(answer: String, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let count = AtomicUsize::default;
        let may_answer = Semaphore::new(times);
        let seen = Seen {
            answer,
            may_answer,
            connections: count(),
            open: count(),
            used: count(),
            requests: count(),
        };
        let server = Self {
            addr: listener.local_addr().unwrap(),
            seen: Arc::new(seen),
        };
        let seen = server.seen.clone();
        tokio::spawn(async move {
            loop {
                let wire = Wire::over(listener.accept().await.unwrap().0);
                seen.connections.fetch_add(1, Relaxed);
                let seen = seen.clone();
                tokio::spawn(async move {
                    seen.open.fetch_add(1, Relaxed);
                    seen.serve(wire).await;
                    seen.open.fetch_sub(1, Relaxed);
                });
            }
        });
        server
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Relaxed)
    }
}

impl Seen {
    async fn serve(&self, mut wire: Wire) {
        let mut requests = 0;
        while let Some(head) = wire.try_head().await {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap()
                .parse()
                .unwrap();
            wire.bytes(length).await;
            requests += 1;
            self.requests.fetch_add(1, Relaxed);
            self.used.fetch_add(usize::from(requests == 1), Relaxed);
            self.may_answer.acquire().await.unwrap().forget();
            wire.send(&self.answer).await;
        }
    }
}

/// Storage that takes everything, and an eGain that answers so many times of itself.
async fn servers(times: usize) -> (Server, Server, TestGateway) {
    let storage = Server::that_says(
        "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n".into(),
        1000,
    )
    .await;
    let asset = format!(
        "{{\"id\":\"a\",\"contentUrl\":\"http://{}/file?signature=s\"}}",
        storage.addr
    );
    let length = asset.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n\
         {asset}"
    );
    let egain = Server::that_says(answer, times).await;
    let base = format!("http://{}", egain.addr);
    let settings = [
        ("egain.base_url", base.as_str()),
        ("egain.content_hosts", "127.0.0.1"),
    ];
    let gateway = TestGateway::builder().settings(&settings).start().await;
    (egain, storage, gateway)
}

async fn upload(gateway: &TestGateway) {
    let sent = gateway
        .post("/v1/assets?channel=sms&name=a.bin")
        .body(noise(1000, 1))
        .send()
        .await;
    receipt(sent.unwrap()).await;
}

#[tokio::test]
async fn an_upload_uses_the_preconnected_storage_connection() {
    let (egain, storage, gateway) = servers(1).await;
    upload(&gateway).await;
    assert_eq!(
        storage.connections(),
        1,
        "where files go isn't known before the first has"
    );
    tokio::time::sleep(PAUSE).await;

    let second = tokio::spawn(
        gateway
            .post("/v1/assets?channel=sms&name=b.bin")
            .body(noise(1000, 2))
            .send(),
    );
    assert!(
        eventually(|| storage.connections() == 2).await,
        "dialled while eGain thinks"
    );
    assert!(eventually(|| egain.seen.requests.load(Relaxed) == 2).await);
    assert_eq!(
        storage.seen.requests.load(Relaxed),
        1,
        "eGain hasn't answered"
    );
    egain.seen.may_answer.add_permits(1);
    receipt(second.await.unwrap().unwrap()).await;
    assert_eq!(
        (storage.connections(), storage.seen.used.load(Relaxed)),
        (2, 2),
        "and it is the one that is used"
    );
}

#[tokio::test]
async fn sequential_uploads_dial_once_and_leave_nothing_open() {
    let (_egain, storage, gateway) = servers(1000).await;
    for _ in 0..20 {
        upload(&gateway).await;
    }
    assert_eq!(storage.connections(), 1);
    tokio::time::sleep(PAUSE).await;
    futures_util::future::join_all((0..20).map(|_| upload(&gateway))).await;
    let used = storage.seen.used.load(Relaxed);
    assert!(
        storage.connections() <= used + 1,
        "{} connections, of which {used} were used",
        storage.connections()
    );
    // Nobody sends anything any more: the pool looks at its connections once in the idle time.
    tokio::time::sleep(PAUSE).await;
    assert!(
        eventually(|| storage.seen.open.load(Relaxed) == 0).await,
        "{} are open",
        storage.seen.open.load(Relaxed)
    );
}
