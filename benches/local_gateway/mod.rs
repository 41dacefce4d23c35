//! A gateway on loopback, in front of an upstream that does as little as one can: what is measured
//! is the gateway, not a disk behind it.
#![allow(dead_code, reason = "each bench uses its part")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use asset_gateway::app;
use asset_gateway::config::Settings;
use asset_gateway::net::server::{self, ShutdownTokens};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use reqwest::{Body, RequestBuilder};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::fixtures::{KIB, MIB, noise};

/// Sizes that matter: a text message's attachment, a photo, and the largest file that eGain takes.
pub(crate) const SIZES: [(&str, usize); 3] =
    [("4 KiB", 4 * KIB), ("1 MiB", MIB), ("10 MiB", 10 * MIB)];

/// Where uploads go.
pub(crate) const UPLOAD: &str = "/v1/assets?channel=sms&name=file.bin";
/// What a raw body is.
pub(crate) const RAW: &str = "application/octet-stream";

/// Both services and a client, in one process: all of them share its processors.
pub(crate) struct LocalGateway {
    pub runtime: Runtime,
    pub client: reqwest::Client,
    pub settings: Settings,
    pub upstream: SocketAddr,
    gateway: SocketAddr,
}

impl LocalGateway {
    pub(crate) fn open() -> Self {
        Self::on(Runtime::new().unwrap())
    }

    /// On a runtime of the bench's own.
    pub(crate) fn on(runtime: Runtime) -> Self {
        let (upstream, settings, gateway) = runtime.block_on(async {
            let upstream = start_upstream();
            let settings = settings(upstream);
            let bound = app::bind(&settings).unwrap();
            let gateway = bound.addr().unwrap();
            tokio::spawn(bound.run(std::future::pending(), std::future::pending()));
            (upstream, settings, gateway)
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            runtime,
            client,
            settings,
            upstream,
            gateway,
        }
    }

    /// A URL of the gateway.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway)
    }

    /// One upload.
    pub(crate) fn upload(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> RequestBuilder {
        self.client
            .post(self.url(path))
            .header(CONTENT_TYPE, content_type)
            .body(body)
    }

    /// One exchange, to its answer's last byte.
    pub(crate) fn ask(&self, request: RequestBuilder) {
        self.runtime.block_on(async {
            let mut response = request.send().await.unwrap();
            assert!(
                matches!(response.status(), StatusCode::OK | StatusCode::CREATED),
                "{}",
                response.status()
            );
            while response.chunk().await.unwrap().is_some() {}
        });
    }
}

/// The least that a gateway in front of this upstream needs.
pub(crate) fn settings(upstream: SocketAddr) -> Settings {
    let given = [
        ("EGAIN__BASE_URL", format!("http://{upstream}")),
        ("EGAIN__TOKEN", "token".to_owned()),
        ("EGAIN__CONTENT_HOSTS", upstream.to_string()),
        ("EGAIN__ALLOW_HTTP_CONTENT_URLS", "true".to_owned()),
        ("EGAIN__RATE", "10000".to_owned()),
        ("EGAIN__BURST", "100000".to_owned()),
        ("AUTH__MODE", "none".to_owned()),
        ("SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("SERVER__ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
    ];
    Settings::from_sources(
        None,
        given.map(|(key, value)| (format!("ASSET_GATEWAY_{key}"), value)),
    )
    .unwrap()
}

fn start_upstream() -> SocketAddr {
    let listener: TcpListener = server::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let addr = listener.local_addr().unwrap();
    let file = Bytes::from(noise(10 * MIB));
    let service = service_fn(move |request| {
        let file = file.clone();
        async move { Ok::<_, Infallible>(answer(request, addr, &file).await) }
    });
    let never = CancellationToken::new();
    tokio::spawn(server::serve(
        listener,
        server::ListenerConfig::default(),
        service,
        ShutdownTokens::new(never.clone(), never),
    ));
    addr
}

/// An asset's id is its size: `GET /storage/4096` gives 4096 bytes.
async fn answer(
    request: Request<Incoming>,
    addr: SocketAddr,
    file: &Bytes,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let last = head.uri.path().rsplit('/').next().unwrap_or_default();
    match (head.method, head.uri.path().starts_with("/storage/")) {
        (Method::POST, true) => {
            discard(body).await;
            status(StatusCode::CREATED, Bytes::new())
        }
        (Method::GET, true) => {
            let mut response = status(StatusCode::OK, file.slice(..last.parse::<usize>().unwrap()));
            response
                .headers_mut()
                .insert(ETAG, "\"same\"".parse().unwrap());
            response
        }
        (method, _) => {
            discard(body).await;
            let id = if method == Method::POST { "new" } else { last };
            let asset = json!({
                "id": id,
                "name": "file.bin",
                "contentType": "application/octet-stream",
                "size": last.parse::<u64>().ok(),
                "contentUrl": format!("http://{addr}/storage/{id}"),
                "contentUrlExpiry": "9999-12-31T23:59:59Z",
            });
            let mut response = status(StatusCode::OK, asset.to_string().into());
            response
                .headers_mut()
                .insert(CONTENT_TYPE, "application/json".parse().unwrap());
            response
        }
    }
}

async fn discard(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

fn status(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}
