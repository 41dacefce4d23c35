//! A connection ahead of need: dialled while it isn't known yet what it will carry.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::net::paced_writer::PacedWriter;

/// A connection without or with TLS.
pub(super) type ClientStream = MaybeHttpsStream<TokioIo<PacedWriter<TcpStream>>>;

/// Where a connection leads (RFC 6454).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionOrigin {
    scheme: Scheme,
    authority: Authority,
}

impl ConnectionOrigin {
    /// A copy: a part of a URI would keep all of it, and with it its signature. None for what isn't
    /// absolute.
    pub fn of(uri: &Uri) -> Option<Self> {
        let authority = Authority::try_from(uri.authority()?.as_str()).ok()?;
        Some(Self {
            scheme: uri.scheme()?.clone(),
            authority,
        })
    }

    /// Whether a URI leads there.
    pub fn is_of(&self, uri: &Uri) -> bool {
        uri.scheme() == Some(&self.scheme) && uri.authority() == Some(&self.authority)
    }

    pub(super) fn uri(&self) -> Uri {
        let builder = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone());
        builder
            .path_and_query(PathAndQuery::from_static("/"))
            .build()
            .expect("its parts came from a URI")
    }
}

/// The one connection that may stand by.
#[derive(Clone, Default)]
pub(super) struct WarmConnection(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Where the last request went, and when it was complete: its connection waits in the pool for
    /// the idle time.
    used: Option<(ConnectionOrigin, Instant)>,
    pending: Option<PendingConnection>,
}

/// A connection that is ready, or being dialled. Dropped, it is closed.
pub(super) struct PendingConnection {
    origin: ConnectionOrigin,
    stream: oneshot::Receiver<ClientStream>,
    keeper: AbortOnDropHandle<()>,
}

impl WarmConnection {
    /// A request is complete, and left its connection to the pool.
    pub(super) fn used(&self, uri: &Uri) {
        let mut state = self.0.lock();
        match &mut state.used {
            Some((origin, at)) if origin.is_of(uri) => *at = Instant::now(),
            used => *used = ConnectionOrigin::of(uri).map(|origin| (origin, Instant::now())),
        }
    }

    /// Has `dial` make a connection, which waits for the idle time; nothing where there should be
    /// one by then.
    pub(super) fn prepare<F, E: Send>(
        &self,
        origin: &ConnectionOrigin,
        idle: Duration,
        dial: impl FnOnce() -> F,
    ) where
        F: Future<Output = Result<ClientStream, E>> + Send + 'static,
    {
        let mut state = self.0.lock();
        if state.is_served(origin, idle) {
            return;
        }
        let ((ready, stream), dial) = (oneshot::channel(), dial());
        let this = Arc::downgrade(&self.0);
        let keeper = tokio::spawn(async move {
            if let Ok(dialled) = dial.await
                && ready.send(dialled).is_ok()
            {
                sleep(idle).await;
            }
            if let Some(this) = this.upgrade() {
                this.lock().give_up(task::id());
            }
        });
        state.pending = Some(PendingConnection {
            origin: origin.clone(),
            stream,
            keeper: AbortOnDropHandle::new(keeper),
        });
    }

    /// What was dialled for this URI.
    pub(super) fn take(&self, uri: &Uri) -> Option<PendingConnection> {
        self.0
            .lock()
            .pending
            .take_if(|pending| pending.origin.is_of(uri))
    }
}

impl State {
    /// A part of the idle time is left for what has to happen before the connection is wanted.
    fn is_served(&self, origin: &ConnectionOrigin, idle: Duration) -> bool {
        let soon = idle / 8;
        self.used
            .as_ref()
            .is_some_and(|(used, at)| used == origin && at.elapsed() + soon < idle)
            || self
                .pending
                .as_ref()
                .is_some_and(|pending| pending.origin == *origin)
    }

    fn give_up(&mut self, keeper: task::Id) {
        self.pending
            .take_if(|pending| pending.keeper.as_ref().id() == keeper);
    }
}

impl PendingConnection {
    /// The connection once it is ready; none where it failed, or was closed from the other side
    /// meanwhile.
    pub(super) async fn stream(self) -> Option<ClientStream> {
        self.stream.await.ok().filter(is_open)
    }
}

/// As far as is known here. Bytes may have come: TLS 1.3 gives tickets behind its handshake.
fn is_open(stream: &ClientStream) -> bool {
    let tcp = match stream {
        MaybeHttpsStream::Http(tcp) => tcp.inner(),
        MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner().inner(),
    };
    match tcp.get_ref().ready(Interest::READABLE).now_or_never() {
        Some(Ok(ready)) => !ready.is_read_closed(),
        Some(Err(_)) => false,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    const IDLE: Duration = Duration::from_secs(30);

    struct Server {
        listener: TcpListener,
        uri: Uri,
        origin: ConnectionOrigin,
        standby: WarmConnection,
    }

    impl Server {
        async fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let uri: Uri = format!("http://{}/file?signature=s", listener.local_addr().unwrap())
                .parse()
                .unwrap();
            Self {
                listener,
                origin: ConnectionOrigin::of(&uri).unwrap(),
                uri,
                standby: WarmConnection::default(),
            }
        }

        fn prepare(&self, idle: Duration) {
            let addr = self.listener.local_addr().unwrap();
            let dial = async move {
                io::Result::Ok(MaybeHttpsStream::Http(TokioIo::new(PacedWriter::noting(
                    TcpStream::connect(addr).await?,
                ))))
            };
            self.standby.prepare(&self.origin, idle, || dial);
        }

        async fn accept(&self) -> TcpStream {
            self.listener.accept().await.unwrap().0
        }

        async fn is_dialled(&self) -> bool {
            timeout(Duration::from_millis(100), self.accept())
                .await
                .is_ok()
        }
    }

    async fn closes(mut accepted: TcpStream) -> bool {
        timeout(Duration::from_secs(5), accepted.read_u8())
            .await
            .is_ok_and(|read| read.is_err())
    }

    #[tokio::test]
    async fn one_connection_is_dialled_and_handed_out_once() {
        let server = Server::new().await;
        (0..10).for_each(|_| server.prepare(IDLE));
        let _accepted = server.accept().await;
        assert!(!server.is_dialled().await, "one is enough");
        assert!(
            server
                .standby
                .take(&"http://elsewhere/".parse().unwrap())
                .is_none()
        );
        assert!(
            server
                .standby
                .take(&server.uri)
                .unwrap()
                .stream()
                .await
                .is_some()
        );
        assert!(server.standby.take(&server.uri).is_none());
    }

    #[tokio::test]
    async fn nothing_is_dialled_while_a_connection_should_be_waiting() {
        let server = Server::new().await;
        server.standby.used(&server.uri);
        server.prepare(IDLE);
        assert!(!server.is_dialled().await);
        server.prepare(Duration::from_millis(1));
        assert!(
            server.is_dialled().await,
            "by now it isn't waiting any more"
        );
    }

    #[tokio::test]
    async fn an_unused_connection_closes_when_idle_or_without_client() {
        let server = Server::new().await;
        server.prepare(Duration::from_millis(50));
        assert!(closes(server.accept().await).await);
        assert!(server.standby.take(&server.uri).is_none());
        server.prepare(IDLE);
        let accepted = server.accept().await;
        drop(server.standby);
        assert!(closes(accepted).await);
    }

    #[tokio::test]
    async fn what_the_server_has_closed_isnt_handed_out() {
        let server = Server::new().await;
        server.prepare(IDLE);
        drop(server.accept().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(
            server
                .standby
                .take(&server.uri)
                .unwrap()
                .stream()
                .await
                .is_none()
        );
    }

    #[test]
    fn an_origin_keeps_nothing_of_a_signature() {
        let uri: Uri = "https://Storage.example:8443/file?signature=s"
            .parse()
            .unwrap();
        let origin = ConnectionOrigin::of(&uri).unwrap();
        assert!(origin.is_of(&"https://storage.example:8443/other".parse().unwrap()));
        assert!(!origin.is_of(&"http://storage.example:8443/file".parse().unwrap()));
        assert!(!format!("{origin:?} {}", origin.uri()).contains("signature"));
    }
}
