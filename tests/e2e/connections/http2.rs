//! HTTP/2 by the frame: what a hostile client can do with streams.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, SendRequest, handshake};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::downloads::leaving::SlowUpload;
use crate::support::client::Client;
use crate::support::gateway::{TestGateway, eventually, noise};
use crate::support::raw_client::{Wire, by_hand};

/// Far less than what is waited for where it goes wrong.
const SOON: Duration = Duration::from_secs(8);

/// A client, and how its connection ends.
async fn connect(gateway: &TestGateway) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let socket = TcpStream::connect(gateway.addr).await.unwrap();
    let (client, connection) = handshake(socket).await.unwrap();
    (client, tokio::spawn(connection))
}

fn request(gateway: &TestGateway, method: &str, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(gateway.url(path))
        .body(())
        .unwrap()
}

/// CVE-2023-44487: each stream is opened and taken back at once, which costs the client next to
/// nothing.
#[tokio::test]
async fn a_rapid_reset_costs_only_its_own_connection() {
    let gateway = TestGateway::start().await;
    let (client, ending) = connect(&gateway).await;
    let mut opened = 0;
    while opened < 20_000 && !ending.is_finished() {
        let Ok(mut ready) = client.clone().ready().await else {
            break;
        };
        let Ok((_, mut stream)) =
            ready.send_request(request(&gateway, "POST", "/v1/assets?channel=sms"), false)
        else {
            break;
        };
        stream.send_reset(Reason::CANCEL);
        opened += 1;
        // Many at a time, or each is gone before the next one comes.
        if opened % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    drop(client);
    let ended = tokio::time::timeout(Duration::from_secs(5), ending)
        .await
        .expect("the connection is ended")
        .unwrap();
    assert!(
        ended.is_err() && opened < 20_000,
        "after {opened} streams: {ended:?}"
    );
    gateway.upload("a.bin", noise(100, 1)).await;
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        1
    );
}

#[tokio::test]
async fn excess_streams_wait_for_their_turn() {
    let gateway = TestGateway::start().await;
    let id = gateway.upload("a.bin", noise(1000, 1)).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (client, _ending) = connect(&gateway).await;
    let ask = async |number: usize| {
        let mut ready = client.clone().ready().await.unwrap();
        let path = format!("/v1/assets/{id}?number={number}");
        let (answer, _) = ready
            .send_request(request(&gateway, "GET", &path), true)
            .unwrap();
        answer.await.unwrap().status().as_u16()
    };
    // The first answer comes with the settings: from then on the client knows how many streams it
    // may open.
    assert_eq!(ask(0).await, 200);
    let statuses = futures_util::future::join_all((1..300).map(ask)).await;
    assert!(statuses.iter().all(|status| *status == 200));
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::GetAsset), 1);
}

/// A frame's head (RFC 9113 section 4.1).
fn frame(length: u32, kind: u8, stream: u32) -> Vec<u8> {
    [
        &length.to_be_bytes()[1..],
        &[kind, 0],
        &stream.to_be_bytes(),
    ]
    .concat()
}

/// h2spec 4.2/3, which supposes that frames of more than 16 KiB are too large for every server.
#[tokio::test]
async fn an_oversized_headers_frame_ends_the_connection() {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send(
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
            &frame(0, SETTINGS, 0),
        ]
        .concat(),
    )
    .await;
    wire.send([frame(64 * 1024 + 1, HEADERS, 1), vec![0; 64 * 1024 + 1]].concat())
        .await;
    let answered = wire.rest().await;
    let frame_size_error = [
        frame(8, GOAWAY, 0),
        0u32.to_be_bytes().to_vec(),
        6u32.to_be_bytes().to_vec(),
    ]
    .concat();
    assert!(
        answered
            .windows(frame_size_error.len())
            .any(|seen| seen == frame_size_error),
        "{answered:?}"
    );
}

/// h2spec 3.5/2. It may be anybody's: RFC 9113 section 3.4 lets the GOAWAY be left out.
#[tokio::test]
async fn an_invalid_preface_gets_an_http_1_1_refusal() {
    let gateway = TestGateway::start().await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send("INVALID CONNECTION PREFACE\r\n\r\n").await;
    assert!(wire.rest().await.starts_with(b"HTTP/1.1 400 "));
}

/// A client whose streams' windows are so small that each answer is stuck behind one, though it
/// answers pings.
async fn with_a_tiny_window(
    gateway: &TestGateway,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let socket = TcpStream::connect(gateway.addr).await.unwrap();
    let (client, connection) = Builder::new()
        .initial_window_size(10)
        .handshake(socket)
        .await
        .unwrap();
    (client, tokio::spawn(connection))
}

/// The head of an answer whose body isn't taken.
async fn ask_and_take_nothing(
    gateway: &TestGateway,
    client: &SendRequest<Bytes>,
) -> http::Response<h2::RecvStream> {
    let mut ready = client.clone().ready().await.unwrap();
    let (answer, _) = ready
        .send_request(request(gateway, "GET", "/v1/assets/zzz"), true)
        .unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn a_response_behind_a_shut_window_times_out() {
    let short = [
        ("server.keep_alive_timeout", "1s"),
        ("server.body_idle_timeout", "500ms"),
        ("server.max_connections", "2"),
    ];
    let gateway = TestGateway::builder().settings(&short).start().await;
    let mut stuck = Vec::new();
    for _ in 0..2 {
        let (client, ending) = with_a_tiny_window(&gateway).await;
        stuck.push((
            ask_and_take_nothing(&gateway, &client).await,
            client,
            ending,
        ));
    }
    for (_answer, _client, ending) in stuck {
        let _however = timeout(SOON, ending)
            .await
            .expect("the connection is ended")
            .unwrap();
    }
    gateway.upload("a.bin", noise(100, 1)).await;
}

#[tokio::test]
async fn stalled_clients_dont_use_up_the_grace_period() {
    let gateway = TestGateway::builder()
        .settings(&[("server.shutdown_grace", "1m")])
        .start()
        .await;
    let (client, _ending) = with_a_tiny_window(&gateway).await;
    let _stuck = ask_and_take_nothing(&gateway, &client).await;
    let mut silent = Wire::to(gateway.addr).await;
    let settings = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
        &frame(0, 4, 0),
    ]
    .concat();
    silent.send(settings).await;
    silent.bytes(9).await;
    gateway.stop();
    let ended = timeout(SOON, gateway.ending())
        .await
        .expect("nobody waits for them");
    assert_eq!(ended.cut, 0);
    drop((client, silent));
}

#[tokio::test]
async fn stalled_streams_starve_no_other_of_their_connection() {
    const STALLED: usize = 12;
    let gateway = TestGateway::builder()
        .settings(&[("server.body_idle_timeout", "2s")])
        .start()
        .await;
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .stall()
            .times(STALLED as u32),
    );
    let client = Client::with(|builder| builder.http2_prior_knowledge());
    let stalled: Vec<_> = (0..STALLED)
        .map(|number| {
            let request = client.post(gateway.url(&format!(
                "/v1/assets?channel=sms&name={number}.bin&size=9000000"
            )));
            let (mut body_writer, answer) = by_hand(request);
            tokio::spawn(async move { while body_writer.try_write(noise(64 * 1024, 1)).await {} });
            answer
        })
        .collect();
    assert!(
        eventually(|| gateway.sandbox.stats().calls(SandboxOperation::Upload) == STALLED as u64)
            .await
    );
    // Until the sockets on the way are full.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let small = client
        .post(gateway.url("/v1/assets?channel=sms&name=small.bin"))
        .body(noise(300_000, 2))
        .send();
    let small = timeout(SOON, small)
        .await
        .expect("it isn't starved")
        .unwrap();
    assert_eq!(small.status(), StatusCode::CREATED);
    join_all(stalled.iter().map(|answer| async { answer.abort() })).await;
}

#[tokio::test]
async fn a_shutdown_sends_goaway_at_once() {
    let gateway = TestGateway::builder()
        .settings(&[("server.drain_delay", "1m")])
        .start()
        .await;
    let running = SlowUpload::begin(&gateway, 400_000).await;
    let (client, mut ending) = connect(&gateway).await;
    let mut ready = client.clone().ready().await.unwrap();
    ready
        .send_request(request(&gateway, "GET", "/nowhere"), true)
        .unwrap()
        .0
        .await
        .unwrap();
    assert!(
        timeout(Duration::from_millis(100), &mut ending)
            .await
            .is_err()
    );
    gateway.stop();
    timeout(SOON, ending)
        .await
        .expect("the connection ends in order")
        .unwrap()
        .unwrap();
    let (client, _ending) = connect(&gateway).await;
    let mut ready = client.ready().await.unwrap();
    let late = ready
        .send_request(request(&gateway, "GET", "/nowhere"), true)
        .unwrap()
        .0
        .await
        .unwrap();
    assert_eq!(
        late.status(),
        StatusCode::NOT_FOUND,
        "who comes still is served"
    );
    assert_eq!(
        running.finish(400_000).await.unwrap().status(),
        StatusCode::CREATED
    );
}
