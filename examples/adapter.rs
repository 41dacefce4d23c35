//! A channel adapter in one file: it stands between a messaging provider and the gateway.
//!
//! ```console
//! $ cargo run --example adapter 127.0.0.1:8090 http://127.0.0.1:8080 http://127.0.0.1:9000
//! ```
//!
//! The arguments are the address to listen on, the gateway and the provider. A fourth one names a
//! file with the gateway's key, which `asset-gateway dev` doesn't need.
//!
//! | request | sent by | JSON | after the `202` |
//! |---|---|---|---|
//! | `POST /webhook` | provider | `mediaId`, `mediaUrl`, `fileName` | the gateway gets the media |
//! | `POST /replies` | eGain's side | `assetId` | the provider gets the asset: `POST /media` |
//!
//! A file streams through, so large files need no more memory or disk than small ones. Three things
//! that depend on the provider are missing. Check the signature of a webhook before anything else.
//! Send the provider's access token with each request to it. And record a notification where it
//! survives a restart before the `202`: after that, the provider doesn't send it again.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use reqwest::{Body, Client, RequestBuilder, Url, redirect};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Transfers at one time. The next webhook gets `503`, so the provider sends it again later.
const TRANSFERS: usize = 32;
/// How often a transfer is tried.
const ATTEMPTS: u32 = 5;
/// The pause after an attempt without a response, or one whose `Retry-After` isn't in seconds.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest pause, whatever `Retry-After` says.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Bytes of the longest notification.
const LONGEST_NOTIFICATION: usize = 64 * 1024;

type Failure = Box<dyn Error + Send + Sync>;

/// A file that a customer sent to the provider.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    media_id: String,
    media_url: String,
    file_name: String,
}

/// A file that an agent sent at eGain.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    asset_id: String,
}

/// A file's way: what it is read with, and what it is sent with.
struct Transfer {
    source: reqwest::Request,
    target: reqwest::Request,
}

/// What all requests share.
pub(crate) struct Adapter {
    gateway: Url,
    provider: Url,
    key: Option<String>,
    client: Client,
    transfers: Arc<Semaphore>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, gateway, provider, key_file @ ..] = arguments.as_slice() else {
        return Err("usage: adapter LISTEN GATEWAY PROVIDER [KEY_FILE]".into());
    };
    // The key is in a file because arguments show in the list of processes.
    let key = match key_file.first() {
        Some(path) => Some(std::fs::read_to_string(path)?.trim().to_owned()),
        None => None,
    };
    let adapter = Adapter::new(gateway.parse()?, provider.parse()?, key)?;
    adapter.serve(TcpListener::bind(listen).await?).await;
    Ok(())
}

impl Adapter {
    /// An adapter between these two; without a key if the gateway needs none.
    pub(crate) fn new(gateway: Url, provider: Url, key: Option<String>) -> Result<Self, Failure> {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            // For a whole attempt, so it has to suffice for the largest file.
            .timeout(Duration::from_secs(600))
            // A redirect could lead to a host of your own network.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()?;
        let transfers = Arc::new(Semaphore::new(TRANSFERS));
        Ok(Self {
            gateway,
            provider,
            key,
            client,
            transfers,
        })
    }

    /// Serves webhooks for ever.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let adapter = Arc::new(self);
        loop {
            // This fails while there are no file descriptors left, which passes.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let adapter = Arc::clone(&adapter);
            let service = service_fn(move |request| {
                let adapter = Arc::clone(&adapter);
                async move { Ok::<_, Infallible>(adapter.respond(request).await) }
            });
            // hyper needs a timer to close connections whose request headers don't arrive.
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    }

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Empty<Bytes>> {
        let mut response = Response::new(Empty::new());
        *response.status_mut() = match self.accept(request).await {
            Ok(()) => StatusCode::ACCEPTED,
            Err(refusal) => refusal,
        };
        response
    }

    /// Starts the transfer that a request is about, and doesn't wait for its end: providers wait a
    /// few seconds, then count a webhook as failed.
    async fn accept(self: Arc<Self>, request: Request<Incoming>) -> Result<(), StatusCode> {
        if request.method() != Method::POST {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let path = request.uri().path().to_owned();
        // The sender chooses the length, so it needs a limit.
        let body = Limited::new(request.into_body(), LONGEST_NOTIFICATION);
        let json = body
            .collect()
            .await
            .or(Err(StatusCode::BAD_REQUEST))?
            .to_bytes();
        let parsed = match path.as_str() {
            "/webhook" => self.to_gateway(&json),
            "/replies" => self.to_provider(&json),
            _ => return Err(StatusCode::NOT_FOUND),
        };
        let transfer = parsed.or(Err(StatusCode::BAD_REQUEST))?;
        let free = Arc::clone(&self.transfers).try_acquire_owned();
        let permit = free.or(Err(StatusCode::SERVICE_UNAVAILABLE))?;
        tokio::spawn(async move {
            match self.copy(transfer).await {
                // A receipt of the gateway has the asset's id. To show the file in a conversation,
                // send eGain a message that names it here.
                Ok(receipt) => println!("moved: {receipt}"),
                Err(error) => eprintln!("not moved: {error}"),
            }
            drop(permit);
        });
        Ok(())
    }

    /// A customer's file, on its way to eGain.
    fn to_gateway(&self, json: &[u8]) -> Result<Transfer, Failure> {
        let media: Notification = serde_json::from_slice(json)?;
        let source = Url::parse(&media.media_url)?;
        // Without this check, a forged webhook could have any host read that this program reaches
        // (SSRF).
        if source.origin() != self.provider.origin() {
            return Err("the media isn't the provider's".into());
        }
        let mut target = self.gateway.join("/v1/assets")?;
        target
            .query_pairs_mut()
            .append_pair("channel", "whatsapp")
            .append_pair("name", &media.file_name);
        // Providers send a notification more than once, with the same id of the media. As the key,
        // that id keeps the file from being stored twice; a random key wouldn't.
        let upload = self
            .client
            .post(target)
            .header("Idempotency-Key", media.media_id);
        Ok(Transfer {
            source: self.client.get(source).build()?,
            target: self.with_key(upload).build()?,
        })
    }

    /// An agent's file, on its way to the provider.
    fn to_provider(&self, json: &[u8]) -> Result<Transfer, Failure> {
        let reply: Reply = serde_json::from_slice(json)?;
        let mut source = self.gateway.clone();
        // Segments are encoded, so that an id can't name another route.
        source
            .path_segments_mut()
            .or(Err("the gateway's URL has no path"))?
            .clear()
            .extend(["v1", "assets", &reply.asset_id, "content"]);
        // Where a provider ignores the key, a retry whose first response was lost may send twice.
        let media = self.client.post(self.provider.join("/media")?);
        Ok(Transfer {
            source: self.with_key(self.client.get(source)).build()?,
            target: media.header("Idempotency-Key", reply.asset_id).build()?,
        })
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Repeats a transfer while that may help, and returns the text of the target's response.
    async fn copy(&self, transfer: Transfer) -> Result<String, Failure> {
        let mut attempt = 1;
        loop {
            let (pause, failure) = match self.copy_once(&transfer).await {
                Ok(response) => {
                    let (status, pause) = (response.status(), retry_after(&response));
                    let text = response.text().await?;
                    if status.is_success() {
                        return Ok(text);
                    }
                    // The gateway's text is a problem document: what is wrong, and who has to act.
                    (pause, format!("{status}: {text}").into())
                }
                // Whether the file arrived isn't known. Its `Idempotency-Key` makes a retry safe.
                Err(error) => (Some(PAUSE), error),
            };
            // Without `Retry-After`, the same request would only fail again.
            let Some(pause) = pause.filter(|_| attempt < ATTEMPTS) else {
                return Err(failure);
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// The target's response, or the source's if that isn't the file.
    async fn copy_once(&self, transfer: &Transfer) -> Result<reqwest::Response, Failure> {
        let copies = (transfer.source.try_clone(), transfer.target.try_clone());
        let (Some(source), Some(mut target)) = copies else {
            return Err("only a request without a body can be sent again".into());
        };
        let file = self.client.execute(source).await?;
        if !file.status().is_success() {
            return Ok(file);
        }
        if let Some(content_type) = file.headers().get(CONTENT_TYPE) {
            target
                .headers_mut()
                .insert(CONTENT_TYPE, content_type.clone());
        }
        // Keeps the `Content-Length` of the file, if it has one. With it, the gateway streams the
        // file to eGain at once; without it, the gateway has to spool the file first.
        *target.body_mut() = Some(Body::from(file));
        Ok(self.client.execute(target).await?)
    }
}

/// How long to wait before the same request may succeed; nothing if it won't.
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str();
    let pause = match value.unwrap_or_default().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => PAUSE,
    };
    Some(pause.min(LONGEST_PAUSE))
}
