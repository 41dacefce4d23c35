//! What moves isn't cut, however slowly, and what stands still is, in either direction: progress is
//! what the peer takes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::gateway::{TestGateway, noise};
use crate::support::raw_client::Wire;
use crate::support::refusal::Refusal;

/// The longest time without progress that the gateway allows here. A receiver tells the sender of
/// its room in steps that last up to seven of its pauses.
const IDLE: Duration = Duration::from_secs(2);

/// What a peer takes at once, after which pause, and what its system keeps for it (its own choice
/// if nothing is said).
#[derive(Debug, Clone, Copy)]
struct Pace {
    piece: usize,
    pause: Duration,
    receive_buffer: Option<u32>,
}

const PACES: [Pace; 4] = [
    Pace {
        piece: 4096,
        pause: Duration::from_millis(50),
        receive_buffer: Some(16 * 1024),
    },
    Pace {
        piece: 8192,
        pause: Duration::from_millis(50),
        receive_buffer: Some(16 * 1024),
    },
    Pace {
        piece: 1000,
        pause: Duration::from_millis(50),
        receive_buffer: Some(4 * 1024),
    },
    Pace {
        piece: 16 * 1024,
        pause: Duration::from_millis(100),
        receive_buffer: None,
    },
];

impl Pace {
    fn socket(self) -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size).unwrap();
        }
        socket
    }

    /// Reads for so long, or to the end; whether bytes came all along.
    async fn read_for(self, stream: &mut TcpStream, time: Duration) -> bool {
        let (began, mut room) = (Instant::now(), vec![0; self.piece]);
        while began.elapsed() < time {
            match timeout(IDLE * 4, stream.read(&mut room)).await {
                Ok(Ok(bytes)) if bytes > 0 => sleep(self.pause).await,
                _ => return false,
            }
        }
        true
    }
}

/// A gateway with a file of 10 MB, and what to send for it.
async fn gateway_with_file() -> (TestGateway, String) {
    let gateway = TestGateway::builder()
        .settings(&[("server.body_idle_timeout", &format!("{}s", IDLE.as_secs()))])
        .start()
        .await;
    let id = gateway.upload("a.bin", noise(10_000_000, 4)).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    (
        gateway,
        format!("GET /v1/assets/{id}/content HTTP/1.1\r\nHost: gateway\r\n\r\n"),
    )
}

#[tokio::test]
async fn a_slow_but_steady_reader_is_never_cut() {
    let (gateway, ask) = gateway_with_file().await;
    let mut readers = JoinSet::new();
    for pace in PACES {
        let (addr, ask) = (gateway.addr, ask.clone());
        readers.spawn(async move {
            let mut stream = pace.socket().connect(addr).await.unwrap();
            stream.write_all(ask.as_bytes()).await.unwrap();
            assert!(pace.read_for(&mut stream, IDLE * 4).await, "{pace:?}");
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
}

#[tokio::test]
async fn a_stalled_reader_is_cut_and_not_logged_499() {
    let (gateway, ask) = gateway_with_file().await;
    let began = Instant::now();
    let mut reader = Wire::to(gateway.addr).await;
    reader.send(&ask).await;
    reader.head().await;
    let content =
        "http_requests_total{method=\"GET\",route=\"/v1/assets/{id}/content\",status=\"408\"}";
    assert!(
        gateway
            .counts(
                "transfer_failures_total{blame=\"caller\",direction=\"download\",stage=\"fetch\"}",
                1.0
            )
            .await
    );
    assert!(gateway.counts(content, 1.0).await, "not 499");
    assert!(began.elapsed() < IDLE * 4, "{:?}", began.elapsed());
}

/// A storage that takes everything at this pace, and confirms it.
async fn storage(pace: Pace) -> SocketAddr {
    let socket = pace.socket();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(16).unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let mut wire = Wire::over(listener.accept().await.unwrap().0);
            tokio::spawn(async move {
                let head = wire.head().await;
                let mut left = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .unwrap()
                    .parse()
                    .unwrap();
                while left > 0 {
                    let taken = wire.some(pace.piece.min(left)).await;
                    if taken == 0 {
                        return;
                    }
                    left -= taken;
                    sleep(pace.pause).await;
                }
                wire.send("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
                    .await;
                wire.rest().await;
            });
        }
    });
    addr
}

/// A gateway whose every file goes there.
async fn gateway_before(storage: SocketAddr) -> TestGateway {
    let idle = format!("{}s", IDLE.as_secs());
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.content_hosts", "127.0.0.1"),
            ("egain.transfer_idle_timeout", &idle),
        ])
        .start()
        .await;
    let url = format!("http://{storage}/file?signature=s");
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::CreateAsset).field("contentUrl", url));
    gateway
}

#[tokio::test]
async fn a_slow_but_steady_storage_is_never_cut() {
    let mut uploads = JoinSet::new();
    // Each takes longer than the limit for what lies in the gateway and in the systems' buffers
    // alone.
    for (pace, size) in PACES
        .into_iter()
        .zip([500_000, 800_000, 100_000, 1_200_000])
    {
        uploads.spawn(async move {
            let gateway = gateway_before(storage(pace).await).await;
            let began = Instant::now();
            let answer = gateway
                .post("/v1/assets?channel=sms&name=a.bin")
                .body(noise(size, 5))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 201, "{pace:?} after {:?}", began.elapsed());
            assert!(
                began.elapsed() > IDLE * 2,
                "{pace:?} has to be slow: {:?}",
                began.elapsed()
            );
        });
    }
    while let Some(upload) = uploads.join_next().await {
        upload.unwrap();
    }
}

#[tokio::test]
async fn a_storage_that_takes_nothing_more_is_given_up() {
    let still = Pace {
        piece: 100_000,
        pause: Duration::from_secs(3600),
        receive_buffer: Some(16 * 1024),
    };
    let gateway = gateway_before(storage(still).await).await;
    let began = Instant::now();
    let answer = gateway
        .post("/v1/assets?channel=sms&name=a.bin")
        .body(noise(5_000_000, 6))
        .send()
        .await
        .unwrap();
    assert_eq!(
        Refusal::of(answer).await.told(),
        (504, "upstream-timeout", "storage", "store")
    );
    assert!(began.elapsed() < IDLE * 3, "{:?}", began.elapsed());
}

/// Of these sizes hyper's buffer is full in some: then it doesn't ask for more of a body, and so
/// doesn't hear that it has ended.
#[tokio::test]
async fn an_abandoned_storage_holds_no_connections() {
    let gateway = gateway_before(storage_that_stops().await).await;
    for size in [300_000, 500_000, 700_000, 858_203] {
        let upload = async {
            let mut wire = Wire::to(gateway.addr).await;
            wire.send_head(
                "channel=sms&name=a.bin",
                &format!("Content-Length: {size}\r\nConnection: close\r\n"),
            )
            .await;
            // What is sent behind the answer has to be read, or this wouldn't end.
            wire.send(noise(size, 7)).await;
            assert!(wire.rest().await.starts_with(b"HTTP/1.1 504 "), "{size}");
        };
        timeout(Duration::from_secs(15), upload)
            .await
            .expect("the caller's connection ends");
    }
}

/// Takes a request's head and then nothing more, for ever.
async fn storage_that_stops() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap().0);
        }
    });
    addr
}
