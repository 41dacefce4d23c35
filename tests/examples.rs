//! `examples/adapter.rs` between a fake provider and a gateway, over real sockets.

#[path = "../examples/adapter.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod adapter;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter::Adapter;
use asset_gateway::app;
use asset_gateway::config::Settings;
use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// The one file that the provider has.
const PHOTO: &[u8] = b"\x89PNG\r\n\x1a\nfrom the customer";

/// A request that the provider got.
struct Received {
    at: Instant,
    head: http::request::Parts,
    body: Bytes,
}

/// A messaging provider: it serves its media, and takes media for its customers.
#[derive(Default)]
struct Provider {
    received: Mutex<Vec<Received>>,
    /// How many requests it still refuses for a second.
    busy: Mutex<u32>,
    /// How long it thinks before each response.
    delay: Duration,
}

impl Provider {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let route = (head.method.clone(), head.uri.path().to_owned());
        let at = Instant::now();
        self.received.lock().push(Received { at, head, body });
        sleep(self.delay).await;
        let mut response = Response::new(Full::default());
        let mut busy = self.busy.lock();
        if *busy > 0 {
            *busy -= 1;
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.headers_mut().insert(RETRY_AFTER, 1.into());
            return response;
        }
        match (route.0, route.1.as_str()) {
            (Method::GET, "/media/7") => {
                let png = "image/png".parse().unwrap();
                response.headers_mut().insert(CONTENT_TYPE, png);
                *response.body_mut() = Full::from(PHOTO);
            }
            (Method::POST, "/media") => {}
            _ => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        response
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let provider = Arc::clone(&self);
            let service = service_fn(move |request| {
                let provider = Arc::clone(&provider);
                async move { Ok::<_, Infallible>(provider.respond(request).await) }
            });
            let server = http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    }
}

/// The four programs, each on a port of its own.
struct TestSetup {
    sandbox: Sandbox,
    provider: Arc<Provider>,
    provider_addr: SocketAddr,
    gateway: SocketAddr,
    adapter: SocketAddr,
    client: reqwest::Client,
}

impl TestSetup {
    async fn open(provider: Provider) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
        let gateway = start_gateway(&sandbox);
        let provider = Arc::new(provider);
        let (listener, provider_addr) = listen().await;
        tokio::spawn(Arc::clone(&provider).serve(listener));
        let (listener, adapter) = listen().await;
        let (left, right) = (base(gateway), base(provider_addr));
        let key = Some("the gateway's key".to_owned());
        tokio::spawn(Adapter::new(left, right, key).unwrap().serve(listener));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            sandbox,
            provider,
            provider_addr,
            gateway,
            adapter,
            client,
        }
    }

    /// Sends the adapter a notification, and returns the status of its response.
    async fn notify(&self, path: &str, notification: &Value) -> StatusCode {
        let url = format!("http://{}{path}", self.adapter);
        let request = self.client.post(url).json(notification);
        request.send().await.unwrap().status()
    }

    /// The webhook of a customer's photo.
    async fn webhook(&self) -> StatusCode {
        let media_url = format!("http://{}/media/7", self.provider_addr);
        let media = json!({"mediaId": "7", "mediaUrl": media_url, "fileName": "photo.png"});
        self.notify("/webhook", &media).await
    }

    /// The id of the only asset, once eGain has it all.
    async fn stored(&self) -> String {
        let complete = || match self.sandbox.assets().as_slice() {
            [asset] => asset.complete,
            _ => false,
        };
        eventually(complete).await;
        self.sandbox.assets()[0].id.clone()
    }

    fn requests(&self) -> usize {
        self.provider.received.lock().len()
    }

    fn creates(&self) -> u64 {
        let stats = self.sandbox.stats();
        stats.calls(SandboxOperation::CreateAsset)
    }
}

fn start_gateway(sandbox: &Sandbox) -> SocketAddr {
    let settings = [
        ("EGAIN__BASE_URL", sandbox.base_url().to_string()),
        ("EGAIN__TOKEN_URL", sandbox.token_url().to_string()),
        ("EGAIN__CLIENT_ID", sandbox.client_id().to_owned()),
        ("EGAIN__CLIENT_SECRET", sandbox.client_secret().to_owned()),
        ("EGAIN__CONTENT_HOSTS", sandbox.addr().to_string()),
        ("EGAIN__ALLOW_HTTP_CONTENT_URLS", "true".to_owned()),
        ("EGAIN__RATE", "1000".to_owned()),
        ("EGAIN__BURST", "1000".to_owned()),
        ("AUTH__MODE", "none".to_owned()),
        ("SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("SERVER__ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
    ];
    let variables = settings.map(|(key, value)| (format!("ASSET_GATEWAY_{key}"), value));
    let settings = Settings::from_sources(None, variables).unwrap();
    let bound = app::bind(&settings).unwrap();
    let addr = bound.addr().unwrap();
    tokio::spawn(bound.run(std::future::pending(), std::future::pending()));
    addr
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn base(addr: SocketAddr) -> reqwest::Url {
    format!("http://{addr}").parse().unwrap()
}

/// Waits for at most twenty seconds.
async fn eventually(test: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !test() {
        assert!(Instant::now() < deadline, "it didn't happen in time");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_customers_photo_reaches_egain_and_comes_back() {
    let setup = TestSetup::open(Provider::default()).await;
    assert_eq!(setup.webhook().await, StatusCode::ACCEPTED);
    let id = setup.stored().await;
    let file = setup.sandbox.file(&id).unwrap();
    assert_eq!(std::fs::read(file).unwrap(), PHOTO);
    let asset = &setup.sandbox.assets()[0];
    assert_eq!(
        (asset.name.as_str(), asset.channel.as_str()),
        ("photo.png", "whatsapp")
    );

    let reply = json!({"assetId": id});
    assert_eq!(setup.notify("/replies", &reply).await, StatusCode::ACCEPTED);
    eventually(|| setup.requests() == 2).await;
    let received = setup.provider.received.lock();
    let [fetched, sent] = received.as_slice() else {
        panic!("it got two requests")
    };
    assert_eq!(
        (&fetched.head.method, fetched.head.uri.path()),
        (&Method::GET, "/media/7")
    );
    assert_eq!(
        (&sent.head.method, sent.head.uri.path()),
        (&Method::POST, "/media")
    );
    assert_eq!(sent.body, PHOTO);
    let headers = &sent.head.headers;
    assert_eq!(headers[CONTENT_TYPE], "image/png");
    assert_eq!(headers[CONTENT_LENGTH], PHOTO.len().to_string());
    assert_eq!(headers["idempotency-key"], id);
    // The gateway's key is for the gateway alone.
    assert!(
        received
            .iter()
            .all(|request| !request.head.headers.contains_key("authorization"))
    );
}

#[tokio::test]
async fn a_webhook_is_acknowledged_before_the_transfer() {
    let delay = Duration::from_secs(2);
    let setup = TestSetup::open(Provider {
        delay,
        ..Provider::default()
    })
    .await;
    let begun = Instant::now();
    assert_eq!(setup.webhook().await, StatusCode::ACCEPTED);
    assert!(begun.elapsed() < delay, "it took {:?}", begun.elapsed());
    setup.stored().await;
}

#[tokio::test]
async fn a_webhook_that_comes_twice_stores_one_asset() {
    let setup = TestSetup::open(Provider::default()).await;
    setup.webhook().await;
    setup.stored().await;
    setup.webhook().await;
    // The same upload by hand, whose receipt shows that the gateway knows the key.
    eventually(|| setup.requests() == 2).await;
    let url = format!(
        "http://{}/v1/assets?channel=whatsapp&name=photo.png",
        setup.gateway
    );
    let upload = setup.client.post(url).header("idempotency-key", "7");
    let upload = upload.header(CONTENT_TYPE, "image/png").body(PHOTO);
    let receipt: Value = upload.send().await.unwrap().json().await.unwrap();
    assert_eq!(receipt["id"], setup.stored().await);
    assert_eq!(setup.creates(), 1);
}

#[tokio::test]
async fn a_refused_upload_is_repeated_after_retry_after() {
    let setup = TestSetup::open(Provider::default()).await;
    let failure = Fault::at(SandboxOperation::CreateAsset);
    setup
        .sandbox
        .fault(failure.status(StatusCode::SERVICE_UNAVAILABLE).once());
    setup.webhook().await;
    setup.stored().await;
    assert_eq!(setup.creates(), 2);
    assert_eq!(setup.requests(), 2, "each attempt reads the media again");
}

#[tokio::test]
async fn a_busy_provider_gets_the_pause_it_names() {
    let setup = TestSetup::open(Provider {
        busy: Mutex::new(1),
        ..Provider::default()
    })
    .await;
    setup.webhook().await;
    setup.stored().await;
    let received = setup.provider.received.lock();
    let [refused, served] = received.as_slice() else {
        panic!("it got two requests")
    };
    assert!(served.at - refused.at >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_forged_webhook_reads_no_other_host() {
    let setup = TestSetup::open(Provider::default()).await;
    let media_url = format!("http://{}/v1/limits?channel=whatsapp", setup.gateway);
    let forged = json!({"mediaId": "8", "mediaUrl": media_url, "fileName": "a.json"});
    assert_eq!(
        setup.notify("/webhook", &forged).await,
        StatusCode::BAD_REQUEST
    );
}
