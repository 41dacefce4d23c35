//! HTTP/2 by the frame: what a hostile client can do with streams.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{SendRequest, handshake};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use asset_gateway::sandbox::faults::Operation;

use crate::house::{House, noise};
use crate::wire::Wire;

/// A client, and how its connection ends.
async fn connect(house: &House) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let socket = TcpStream::connect(house.addr).await.unwrap();
    let (client, connection) = handshake(socket).await.unwrap();
    (client, tokio::spawn(connection))
}

fn request(house: &House, method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(house.url(path)).body(()).unwrap()
}

/// CVE-2023-44487: each stream is opened and taken back at once, which costs the client next to nothing.
#[tokio::test]
async fn streams_that_are_taken_back_at_once_cost_the_client_its_connection_and_nobody_else_anything() {
    let house = House::open().await;
    let (client, ending) = connect(&house).await;
    let mut opened = 0;
    while opened < 20_000 && !ending.is_finished() {
        let Ok(mut ready) = client.clone().ready().await else { break };
        let Ok((_, mut stream)) = ready.send_request(request(&house, "POST", "/v1/assets?channel=sms"), false) else { break };
        stream.send_reset(Reason::CANCEL);
        opened += 1;
        tokio::task::yield_now().await;
    }
    drop(client);
    let ended = tokio::time::timeout(Duration::from_secs(5), ending).await.expect("the connection is ended").unwrap();
    assert!(ended.is_err() && opened < 20_000, "after {opened} streams: {ended:?}");
    house.upload("a.bin", noise(100, 1)).await;
    assert_eq!(house.sandbox.stats().calls(Operation::CreateAsset), 1);
}

#[tokio::test]
async fn more_streams_than_are_taken_at_one_time_wait_for_their_turn() {
    let house = House::open().await;
    let id = house.upload("a.bin", noise(1000, 1)).await["id"].as_str().unwrap().to_owned();
    let (client, _ending) = connect(&house).await;
    let ask = async |number: usize| {
        let mut ready = client.clone().ready().await.unwrap();
        let path = format!("/v1/assets/{id}?number={number}");
        let (answer, _) = ready.send_request(request(&house, "GET", &path), true).unwrap();
        answer.await.unwrap().status().as_u16()
    };
    // The first answer comes with the settings: from then on the client knows how many streams it may open.
    assert_eq!(ask(0).await, 200);
    let statuses = futures_util::future::join_all((1..300).map(ask)).await;
    assert!(statuses.iter().all(|status| *status == 200));
    assert_eq!(house.sandbox.stats().calls(Operation::GetAsset), 1);
}

/// A frame's head (RFC 9113 section 4.1).
fn frame(length: u32, kind: u8, stream: u32) -> Vec<u8> {
    [&length.to_be_bytes()[1..], &[kind, 0], &stream.to_be_bytes()].concat()
}

/// h2spec 4.2/3, which supposes that frames of more than 16 KiB are too large for every server.
#[tokio::test]
async fn headers_in_a_frame_larger_than_what_is_taken_end_the_connection() {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    let house = House::open().await;
    let mut wire = Wire::to(house.addr).await;
    wire.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(0, SETTINGS, 0)].concat()).await;
    wire.send([frame(64 * 1024 + 1, HEADERS, 1), vec![0; 64 * 1024 + 1]].concat()).await;
    let answered = wire.rest().await;
    let frame_size_error = [frame(8, GOAWAY, 0), 0u32.to_be_bytes().to_vec(), 6u32.to_be_bytes().to_vec()].concat();
    assert!(answered.windows(frame_size_error.len()).any(|seen| seen == frame_size_error), "{answered:?}");
}

/// h2spec 3.5/2. It may be anybody's: RFC 9113 section 3.4 lets the GOAWAY be left out.
#[tokio::test]
async fn what_begins_otherwise_than_http_2_is_answered_in_http_1_1_and_closed() {
    let house = House::open().await;
    let mut wire = Wire::to(house.addr).await;
    wire.send("INVALID CONNECTION PREFACE\r\n\r\n").await;
    assert!(wire.rest().await.starts_with(b"HTTP/1.1 400 "));
}
