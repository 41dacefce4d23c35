//! An egress proxy: takes CONNECT and leads every name to one server.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// What it does with a request.
#[derive(Debug, Clone)]
pub(crate) enum ProxyAnswer {
    /// Connects to this server, whatever is named.
    LeadTo(SocketAddr),
    /// Sends this and closes.
    Say(&'static str),
    /// Sends nothing, and keeps the connection open.
    Hang,
}

/// An egress proxy on loopback.
pub(crate) struct ConnectProxy {
    pub(crate) addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    pub(crate) async fn start(answer: ProxyAnswer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = heads.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, answer.clone(), seen.clone()));
            }
        });
        Self { addr, heads }
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

async fn serve(mut client: TcpStream, answer: ProxyAnswer, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    heads.lock().push(String::from_utf8(head).unwrap());
    match answer {
        ProxyAnswer::LeadTo(server) => {
            let mut server = TcpStream::connect(server).await.unwrap();
            let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
            client.write_all(established).await.unwrap();
            let _ended = copy_bidirectional(&mut client, &mut server).await;
        }
        ProxyAnswer::Say(text) => {
            let _gone = client.write_all(text.as_bytes()).await;
        }
        ProxyAnswer::Hang => std::future::pending().await,
    }
}
