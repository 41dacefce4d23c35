use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;

const SOON: Duration = Duration::from_millis(200);
const LATE: Duration = Duration::from_secs(3);
const FOREVER: Duration = Duration::from_secs(60);

/// Answers `/slow` after a while, `/drain` before its body, everything else with what it was sent.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let peer = request
        .extensions()
        .get::<PeerAddress>()
        .expect("the peer is known")
        .0;
    assert!(peer.ip().is_loopback());
    if request.uri().path() == "/slow" {
        sleep(SOON * 3).await;
    }
    if request.uri().path() == "/drain" {
        tokio::spawn(drain(request));
        let response = Response::builder()
            .header("connection", "close")
            .body(Full::default());
        return Ok(response.unwrap());
    }
    let body = request
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    Ok(Response::new(Full::new(body)))
}

async fn drain(mut request: Request<Incoming>) {
    let _running = request.extensions().get::<InFlightGuard>().cloned();
    while let Some(Ok(_)) = request.body_mut().frame().await {}
}

struct Server {
    addr: SocketAddr,
    shutdown: CancellationToken,
    abort: CancellationToken,
    done: JoinHandle<()>,
}

fn start(config: ListenerConfig) -> Server {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let (shutdown, abort) = (CancellationToken::new(), CancellationToken::new());
    let done = tokio::spawn(serve(
        listener,
        config,
        service_fn(echo),
        ShutdownTokens::new(shutdown.clone(), abort.clone()),
    ));
    Server {
        addr,
        shutdown,
        abort,
        done,
    }
}

fn short_heads() -> ListenerConfig {
    ListenerConfig {
        header_timeout: SOON,
        keep_alive_timeout: FOREVER,
        ..ListenerConfig::default()
    }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.addr).await.unwrap()
}

/// What came until the other side closed, and how long that took.
async fn until_closed(socket: &mut TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut text = Vec::new();
    let _ = timeout(LATE, socket.read_to_end(&mut text))
        .await
        .expect("the server closes the connection");
    (String::from_utf8(text).unwrap(), begun.elapsed())
}

async fn exchange(socket: &mut TcpStream, request: &str) -> String {
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = timeout(LATE, socket.read(&mut answer))
        .await
        .expect("an answer in time")
        .unwrap();
    String::from_utf8(answer[..length].to_vec()).unwrap()
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn a_silent_connection_is_closed_after_the_header_timeout() {
    let mut socket = connect(&start(short_heads())).await;
    let (text, took) = until_closed(&mut socket).await;
    assert!(text.is_empty() && took >= SOON);
}

#[tokio::test]
async fn half_a_head_is_closed_after_the_header_timeout() {
    let server = start(short_heads());
    for half in ["P", "PRI * HT", "GET / HT"] {
        let mut socket = connect(&server).await;
        socket.write_all(half.as_bytes()).await.unwrap();
        let (text, took) = until_closed(&mut socket).await;
        assert!(text.is_empty() && took >= SOON, "{half}: {text}");
    }
}

#[tokio::test]
async fn a_dripping_head_has_the_same_time_limit() {
    let mut socket = connect(&start(short_heads())).await;
    let dripping = async {
        for byte in GET.bytes().cycle() {
            if socket.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(SOON / 4).await;
            if byte == b'x' {
                panic!("the head was let in");
            }
        }
    };
    timeout(LATE, dripping)
        .await
        .expect("the server closes the connection");
}

#[tokio::test]
async fn idle_time_doesnt_count_in_the_header_timeout() {
    let mut socket = connect(&start(short_heads())).await;
    assert!(exchange(&mut socket, GET).await.starts_with("HTTP/1.1 200"));
    sleep(SOON * 3).await;
    assert!(exchange(&mut socket, GET).await.starts_with("HTTP/1.1 200"));
    sleep(SOON * 2).await;
    socket.write_all(b"GET / HT").await.unwrap();
    assert!(until_closed(&mut socket).await.1 >= SOON / 2);
}

#[tokio::test]
async fn an_idle_connection_closes_after_its_keep_alive_timeout() {
    let config = ListenerConfig {
        header_timeout: SOON,
        keep_alive_timeout: SOON * 2,
        ..ListenerConfig::default()
    };
    let mut socket = connect(&start(config)).await;
    exchange(&mut socket, GET).await;
    assert!(until_closed(&mut socket).await.1 >= SOON);
}

#[tokio::test]
async fn a_body_may_come_slower_than_a_head() {
    let mut socket = connect(&start(short_heads())).await;
    socket
        .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n1")
        .await
        .unwrap();
    sleep(SOON * 2).await;
    socket.write_all(b"2").await.unwrap();
    sleep(SOON * 2).await;
    assert!(exchange(&mut socket, "3").await.ends_with("123"));
}

#[tokio::test]
async fn pipelined_requests_are_all_answered() {
    let mut socket = connect(&start(short_heads())).await;
    socket
        .write_all(
            [
                GET,
                GET,
                "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            ]
            .concat()
            .as_bytes(),
        )
        .await
        .unwrap();
    assert_eq!(
        until_closed(&mut socket)
            .await
            .0
            .matches("HTTP/1.1 200")
            .count(),
        3
    );
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_served() {
    let server = start(short_heads());
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let answer = client
        .post(format!("http://{}/", server.addr))
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "hello");
}

#[tokio::test]
async fn an_idle_http_2_connection_closes_despite_pings() {
    let server = start(ListenerConfig {
        keep_alive_timeout: SOON * 2,
        max_connections: 1,
        ..ListenerConfig::default()
    });
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    client
        .get(format!("http://{}/", server.addr))
        .send()
        .await
        .unwrap();
    assert!(
        exchange(&mut connect(&server).await, GET)
            .await
            .starts_with("HTTP/1.1 503")
    );
    sleep(SOON * 8).await;
    assert!(
        exchange(&mut connect(&server).await, GET)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn a_body_drain_has_time_while_its_request_lasts() {
    let mut socket = connect(&start(short_heads())).await;
    let answer = exchange(
        &mut socket,
        "POST /drain HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"));
    for byte in [b"1", b"2", b"3", b"4"] {
        sleep(SOON).await;
        socket.write_all(byte).await.unwrap();
    }
    let (_, took) = until_closed(&mut socket).await;
    assert!(
        took < SOON,
        "it closes as soon as the body is read: {took:?}"
    );
}

#[tokio::test]
async fn a_shutdown_closes_idle_connections_and_finishes_running_requests() {
    let server = start(ListenerConfig::default());
    let (mut idle, mut busy) = (connect(&server).await, connect(&server).await);
    exchange(&mut idle, GET).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    sleep(SOON).await;
    server.shutdown.cancel();
    assert!(until_closed(&mut idle).await.1 < SOON);
    let (text, _) = until_closed(&mut busy).await;
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("connection: close"),
        "{text}"
    );
    timeout(LATE, server.done)
        .await
        .expect("all are done")
        .unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn an_abort_cuts_what_is_running() {
    let server = start(ListenerConfig::default());
    let mut busy = connect(&server).await;
    busy.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
        .await
        .unwrap();
    sleep(SOON).await;
    server.shutdown.cancel();
    sleep(SOON).await;
    assert!(!server.done.is_finished());
    server.abort.cancel();
    timeout(LATE, server.done)
        .await
        .expect("nothing holds it up")
        .unwrap();
    assert_eq!(until_closed(&mut busy).await.0, "");
}

#[tokio::test]
async fn an_excess_connection_gets_503_and_frees_its_place() {
    let server = start(ListenerConfig {
        max_connections: 1,
        ..ListenerConfig::default()
    });
    let mut first = connect(&server).await;
    exchange(&mut first, GET).await;
    let mut second = connect(&server).await;
    second.write_all(GET.as_bytes()).await.unwrap();
    assert!(
        until_closed(&mut second)
            .await
            .0
            .starts_with("HTTP/1.1 503")
    );
    drop(first);
    sleep(SOON).await;
    assert!(
        exchange(&mut connect(&server).await, GET)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn a_disconnect_inside_the_preface_frees_its_place() {
    let server = start(ListenerConfig {
        header_timeout: FOREVER,
        max_connections: 3,
        ..ListenerConfig::default()
    });
    for half in ["P", "PRI * H", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let mut socket = connect(&server).await;
        socket.write_all(half.as_bytes()).await.unwrap();
        sleep(SOON / 4).await;
    }
    sleep(SOON / 2).await;
    assert!(
        exchange(&mut connect(&server).await, GET)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn a_preface_sent_byte_by_byte_is_read() {
    let server = start(ListenerConfig::default());
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (request, answer) in [
        (preface, "\0\0"),
        (
            "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200",
        ),
    ] {
        let mut socket = connect(&server).await;
        for byte in request.bytes() {
            socket.write_all(&[byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(
            exchange(&mut socket, "").await.starts_with(answer),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_connection_past_its_maximum_age_is_closed() {
    let server = start(ListenerConfig {
        max_age: SOON * 2,
        ..ListenerConfig::default()
    });
    let (mut idle, mut busy) = (connect(&server).await, connect(&server).await);
    exchange(&mut idle, GET).await;
    sleep(SOON).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(until_closed(&mut idle).await.1 < SOON * 2);
    let (text, _) = until_closed(&mut busy).await;
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("connection: close"),
        "{text}"
    );
}
