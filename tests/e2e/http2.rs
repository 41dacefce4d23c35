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
