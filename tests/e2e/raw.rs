//! HTTP/1.1 by the byte, from both sides: what a well-behaved client can't say, and what a storage can get wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, Operation};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::house::House;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// One end of a connection.
pub struct Wire(TcpStream);

impl Wire {
    pub async fn to(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.unwrap())
    }

    /// False where the other side has gone.
    pub async fn say(&mut self, text: impl AsRef<[u8]>) -> bool {
        self.0.write_all(text.as_ref()).await.is_ok()
    }

    /// What comes until the empty line.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, self.0.read_u8()).await.expect("a head in time");
            head.push(byte.unwrap_or_else(|_| panic!("a whole head instead of {:?}", String::from_utf8_lossy(&head))));
        }
        String::from_utf8(head).unwrap().to_lowercase()
    }

    /// So many bytes.
    pub async fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        timeout(PATIENCE, self.0.read_exact(&mut bytes)).await.expect("bytes in time").unwrap();
        bytes
    }

    /// Everything until the other side closes, which it must.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _reset_or_closed = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("the connection closes");
        rest
    }
}

/// The whole answer, in text, to a request line and headers.
pub async fn ask(addr: SocketAddr, line: &str, headers: &str) -> String {
    let mut wire = Wire::to(addr).await;
    wire.say(format!("{line} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n{headers}\r\n")).await;
    String::from_utf8(wire.rest().await).unwrap()
}

/// A storage that gives one set answer a connection, word for word, and then keeps silent.
pub struct Storage {
    addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Storage {
    /// The last answer is given again and again.
    pub async fn that_says(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, heads) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let seen = heads.clone();
        tokio::spawn(async move {
            for turn in 0.. {
                let mut wire = Wire(listener.accept().await.unwrap().0);
                let head = wire.head().await;
                seen.lock().push(head);
                wire.say(&answers[turn.min(answers.len() - 1)]).await;
                // Until the gateway closes; the next connection isn't kept waiting.
                tokio::spawn(async move { wire.0.read_u8().await });
            }
        });
        Self { addr, heads }
    }

    /// Gives the second part when it is told to.
    pub async fn in_two_parts(first: Vec<u8>, second: Vec<u8>) -> (Self, oneshot::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, (release, released)) = (listener.local_addr().unwrap(), oneshot::channel());
        tokio::spawn(async move {
            let mut wire = Wire(listener.accept().await.unwrap().0);
            wire.head().await;
            let length = first.len() + second.len();
            wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")).await;
            wire.say(first).await;
            released.await.unwrap();
            wire.say(second).await;
            wire.rest().await;
        });
        (Self { addr, heads: Arc::default() }, release)
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }

    /// A house whose every asset lies here.
    pub async fn house(&self, settings: &[(&str, &str)]) -> House {
        let all: Vec<_> = [("egain.content_hosts", "127.0.0.1")].iter().chain(settings).copied().collect();
        let house = House::set(&all).await;
        let url = format!("http://{}/file?signature=s", self.addr);
        house.sandbox.fault(Fault::at(Operation::GetAsset).field("contentUrl", url));
        house
    }
}
