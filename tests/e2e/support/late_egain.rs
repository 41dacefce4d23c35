//! An eGain that nobody reaches at first: its address is known, and nobody listens there until a
//! test says so.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// An address for `egain.base_url`, in front of a stand-in.
pub(crate) struct LateEgain {
    addr: SocketAddr,
}

impl LateEgain {
    /// Nobody listens yet.
    pub(crate) async fn absent() -> Self {
        Self {
            addr: TcpListener::bind("127.0.0.1:0")
                .await
                .unwrap()
                .local_addr()
                .unwrap(),
        }
    }

    /// The setting `egain.base_url`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/conversation/conversationmgr/v3", self.addr)
    }

    /// From now on what comes is passed on to `sandbox`.
    pub(crate) async fn arrive(&self, sandbox: SocketAddr) {
        let listener = TcpListener::bind(self.addr).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut egain = TcpStream::connect(sandbox).await.unwrap();
                    let _either_has_closed = copy_bidirectional(&mut caller, &mut egain).await;
                });
            }
        });
    }
}
