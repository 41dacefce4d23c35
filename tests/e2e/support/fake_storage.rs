//! A storage that says word for word what a test wants: what one can get wrong.

use std::net::SocketAddr;
use std::sync::Arc;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::gateway::TestGateway;
use crate::support::raw_client::Wire;

/// A storage that gives one set answer a connection, word for word, and then keeps silent.
pub(crate) struct Storage {
    addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Storage {
    /// The last answer is given again and again.
    pub(crate) async fn that_says(answers: Vec<Vec<u8>>) -> Self {
        Self::that_says_and(answers, |mut wire| async move { wire.rest().await }).await
    }

    /// The same, and closes the connection behind each answer.
    pub(crate) async fn that_says_and_closes(answers: Vec<Vec<u8>>) -> Self {
        Self::that_says_and(answers, |wire| async move { drop(wire) }).await
    }

    async fn that_says_and<F>(answers: Vec<Vec<u8>>, end: fn(Wire) -> F) -> Self
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, heads) = (
            listener.local_addr().unwrap(),
            Arc::<Mutex<Vec<String>>>::default(),
        );
        let seen = heads.clone();
        tokio::spawn(async move {
            for turn in 0.. {
                let mut wire = Wire::over(listener.accept().await.unwrap().0);
                let head = wire.head_as_it_is().await;
                seen.lock().push(head);
                wire.send(&answers[turn.min(answers.len() - 1)]).await;
                // The next connection isn't kept waiting.
                tokio::spawn(end(wire));
            }
        });
        Self { addr, heads }
    }

    /// Gives the second part when it is told to.
    pub(crate) async fn in_two_parts(
        first: Vec<u8>,
        second: Vec<u8>,
    ) -> (Self, oneshot::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, (release, released)) = (listener.local_addr().unwrap(), oneshot::channel());
        tokio::spawn(async move {
            let mut wire = Wire::over(listener.accept().await.unwrap().0);
            wire.head().await;
            let length = first.len() + second.len();
            wire.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
            ))
            .await;
            wire.send(first).await;
            released.await.unwrap();
            wire.send(second).await;
            wire.rest().await;
        });
        (
            Self {
                addr,
                heads: Arc::default(),
            },
            release,
        )
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The heads of the requests so far, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads
            .lock()
            .iter()
            .map(|head| head.to_lowercase())
            .collect()
    }

    /// What the first request asked for: method, path and query as they came.
    pub(crate) fn request_line(&self) -> String {
        self.heads.lock()[0].lines().next().unwrap().to_owned()
    }

    /// A gateway whose every asset lies here, of a size that eGain doesn't tell.
    pub(crate) async fn gateway(&self, settings: &[(&str, &str)]) -> TestGateway {
        self.gateway_where(settings, |answer| answer.missing_field("size"))
            .await
    }

    /// A gateway whose every asset lies here and has the size that it was uploaded with.
    pub(crate) async fn gateway_that_knows_sizes(&self) -> TestGateway {
        self.gateway_where(&[], |answer| answer).await
    }

    async fn gateway_where(
        &self,
        settings: &[(&str, &str)],
        answer: fn(Fault) -> Fault,
    ) -> TestGateway {
        let all: Vec<_> = [("egain.content_hosts", "127.0.0.1")]
            .iter()
            .chain(settings)
            .copied()
            .collect();
        let gateway = TestGateway::builder().settings(&all).start().await;
        let url = format!("http://{}/file?signature=s", self.addr);
        gateway.sandbox.fault(answer(
            Fault::at(SandboxOperation::GetAsset).field("contentUrl", url),
        ));
        gateway
    }
}
