//! Forwards connections to a server and keeps what clients send.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Wiretap {
    pub(crate) addr: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Wiretap {
    /// Listens before the server does, whose address may depend on this one's.
    pub(crate) async fn bind() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let sent = Arc::default();
        (Self { addr, sent }, listener)
    }

    pub(crate) fn forward(&self, listener: TcpListener, server: SocketAddr) {
        let sent = self.sent.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, sent.clone()));
            }
        });
    }

    /// What clients have sent so far, over all connections.
    pub(crate) fn sent(&self) -> String {
        String::from_utf8_lossy(&self.sent.lock()).into_owned()
    }
}

async fn carry(client: TcpStream, server: SocketAddr, sent: Arc<Mutex<Vec<u8>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let server = TcpStream::connect(server).await.unwrap();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
        sent.lock().extend_from_slice(&buffer[..length]);
        if to_server.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
