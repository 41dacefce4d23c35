//! Knows whether a request is in flight on a connection: from a complete head until the last frame
//! of the response was taken or dropped.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::Service};
use pin_project_lite::pin_project;

use super::peer_address::PeerAddress;
use super::socket::SharedSocket;
use super::stall_timeout;
use crate::body::frame_gate::FrameGate;
use crate::net::paced_writer::WriteProgress;
use crate::net::read_ahead::{ReadAhead, ReadAheadShare};

/// Smaller frames, which most responses are, go freely: to count one costs about as much as to send
/// it, and hyper's queue has a bound, too.
const WORTH_IT: usize = 4 * 1024;

/// Counts the requests in flight of one connection. One thread at a time drives a connection, so
/// the counters need no order among themselves; wrapping round does no harm to comparisons.
#[derive(Debug)]
pub(super) struct InFlightRequests {
    started: AtomicUsize,
    finished: AtomicUsize,
    /// Those whose response is known, and may be on its way.
    responded: AtomicUsize,
    knows_interim_responses: AtomicBool,
    socket: Arc<SharedSocket>,
    /// Counts those of all connections.
    read_ahead: Arc<ReadAhead>,
    progress: Arc<WriteProgress>,
}

impl InFlightRequests {
    pub(super) fn of(
        read_ahead: &Arc<ReadAhead>,
        socket: Arc<SharedSocket>,
        progress: Arc<WriteProgress>,
    ) -> Arc<Self> {
        Arc::new(Self {
            started: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            responded: AtomicUsize::new(0),
            knows_interim_responses: AtomicBool::new(false),
            socket,
            progress,
            read_ahead: Arc::clone(read_ahead),
        })
    }

    pub(super) fn any_running(&self) -> bool {
        self.started.load(Relaxed) != self.finished.load(Relaxed)
    }

    /// How many requests have started so far: tells one pause between requests from another.
    pub(super) fn started(&self) -> usize {
        self.started.load(Relaxed)
    }

    /// Whether some of the latest exchange's response may be on its way.
    pub(super) fn is_answering(&self) -> bool {
        self.responded.load(Relaxed) == self.started.load(Relaxed)
    }

    /// Whether the latest exchange's client may be sent interim responses (RFC 9110 section 15.2).
    pub(super) fn knows_interim_responses(&self) -> bool {
        self.knows_interim_responses.load(Relaxed)
    }

    fn start(self: &Arc<Self>, request: &Request<Incoming>) -> InFlightGuard {
        self.started.fetch_add(1, Relaxed);
        self.knows_interim_responses
            .store(request.version() >= Version::HTTP_11, Relaxed);
        self.socket.expect_more(!request.body().is_end_stream());
        InFlightGuard(Arc::new(Guard {
            in_flight: Arc::clone(self),
            stalled: AtomicBool::new(false),
            _read_ahead: self.read_ahead.join(),
        }))
    }
}

/// The request is in flight while a clone of this lives: a request extension.
///
/// The response's body holds one. A service that reads the request's body after the response is
/// out holds another, or what it reads counts as the next request's head and has to end within
/// the header timeout.
#[derive(Debug, Clone)]
pub struct InFlightGuard(Arc<Guard>);

impl InFlightGuard {
    /// Whether the request was ended here because its client took nothing, or too little, of the
    /// response.
    pub fn reader_given_up(&self) -> bool {
        self.0.stalled.load(Relaxed) || self.0.in_flight.progress.gave_up()
    }
}

#[derive(Debug)]
struct Guard {
    in_flight: Arc<InFlightRequests>,
    /// The same of its HTTP/2 stream alone.
    stalled: AtomicBool,
    _read_ahead: ReadAheadShare,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.in_flight.finished.fetch_add(1, Relaxed);
        self.in_flight.socket.expect_more(true);
    }
}

/// The service of one connection: the shared one, with the peer made known and its requests in
/// flight counted.
#[derive(Debug)]
pub(super) struct TrackInFlight<S> {
    pub(super) service: S,
    pub(super) peer: PeerAddress,
    pub(super) in_flight: Arc<InFlightRequests>,
}

impl<S, B> Service<Request<Incoming>> for TrackInFlight<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    type Response = Response<CountedBody<B>>;
    type Error = Infallible;
    type Future = CountedFuture<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let running = self.in_flight.start(&request);
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(running.clone());
        CountedFuture {
            future: self.service.call(request),
            running: Some(running),
        }
    }
}

pin_project! {
    /// Hands the count from the head of a response on to its body.
    pub(super) struct CountedFuture<F> {
        #[pin]
        future: F,
        running: Option<InFlightGuard>,
    }
}

impl<F, B> Future for CountedFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<CountedBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?;
        let running = this.running.take();
        if let Some(InFlightGuard(guard)) = &running {
            guard.in_flight.responded.fetch_add(1, Relaxed);
        }
        Poll::Ready(Ok(response.map(|body| CountedBody {
            body,
            gate: FrameGate::default(),
            running,
        })))
    }
}

pin_project! {
    /// A body that keeps its exchange running until it is dropped. One frame of it is out at a
    /// time.
    pub(super) struct CountedBody<B> {
        #[pin]
        body: B,
        gate: FrameGate,
        running: Option<InFlightGuard>,
    }

    impl<B> PinnedDrop for CountedBody<B> {
        /// Before the body goes, which wants to know why.
        fn drop(this: Pin<&mut Self>) {
            if let Some(InFlightGuard(guard)) = &this.running && stall_timeout::has_ended_stream() {
                guard.stalled.store(true, Relaxed);
            }
        }
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        ready!(this.gate.poll_back(cx));
        let frame = this.body.poll_frame(cx);
        stall_timeout::note(&frame);
        frame.map_ok(|frame| {
            frame.map_data(|data| {
                if data.len() < WORTH_IT {
                    data
                } else {
                    this.gate.hand_out(data)
                }
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
