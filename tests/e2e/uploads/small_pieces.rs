//! Clients that write a request in small pieces and leave Nagle's algorithm on, as many do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::gateway::TestGateway;

const ROUNDS: usize = 40;

/// What a delayed acknowledgement takes (40 ms), less what clocks are out by.
const DELAYED: Duration = Duration::from_millis(38);

/// How many uploads of many over one connection took the time of a delayed acknowledgement.
fn delayed(addr: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(addr).unwrap();
    let mut upload = || {
        // Else the first piece carries what the system thinks of the last answer.
        thread::sleep(Duration::from_millis(5));
        let began = Instant::now();
        for piece in [
            "POST /v1/assets?channel=sms&name=a.txt HTTP/1.1\r\nHost: x\r\n\
             Content-Length: 12\r\n\r\n",
            "some",
            "more",
            "text",
        ] {
            stream.write_all(piece.as_bytes()).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 201 "));
        began.elapsed()
    };
    (0..ROUNDS).filter(|_| upload() > DELAYED).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_small_pieces_dont_wait_for_delayed_acknowledgements() {
    let gateway = TestGateway::start().await;
    let addr = gateway.addr;
    let delayed = tokio::task::spawn_blocking(move || delayed(addr))
        .await
        .unwrap();
    assert!(delayed <= ROUNDS / 4, "{delayed} of {ROUNDS}");
}
