//! Callers that leave, and the caps that their places count against.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use reqwest::header::RETRY_AFTER;
use reqwest::{Body, Response, StatusCode};
use tokio::task::JoinHandle;

use crate::downloads::content::stored;
use crate::support::fake_storage::Storage;
use crate::support::gateway::{TestGateway, eventually, noise, problem};
use crate::support::raw_client::Wire;

/// An upload of `size` bytes whose body is written as the test goes on.
pub(crate) struct SlowUpload {
    body: Sender<Bytes, Infallible>,
    pub answer: JoinHandle<reqwest::Result<Response>>,
}

impl SlowUpload {
    /// Begins, and sends half, and waits until some of it has reached storage.
    pub(crate) async fn begin(gateway: &TestGateway, size: usize) -> Self {
        let (body, channel) = Channel::new(1);
        let request = gateway
            .post(&format!("/v1/assets?channel=sms&name=slow.bin&size={size}"))
            .body(Body::wrap(channel));
        let mut upload = Self {
            body,
            answer: tokio::spawn(request.send()),
        };
        upload.send(noise(size / 2, 1)).await;
        assert!(
            eventually(|| gateway
                .sandbox
                .assets()
                .iter()
                .any(|asset| !asset.complete && asset.received > 0))
            .await,
            "it is under way"
        );
        upload
    }

    pub(crate) async fn send(&mut self, bytes: Vec<u8>) {
        self.body.send_data(bytes.into()).await.unwrap();
    }

    /// Sends the other half, and takes the answer.
    pub(crate) async fn finish(mut self, size: usize) -> reqwest::Result<Response> {
        self.send(noise(size - size / 2, 2)).await;
        drop(self.body);
        self.answer.await.unwrap()
    }
}

const SIZE: usize = 400_000;

async fn content_count(gateway: &TestGateway, status: u16) -> f64 {
    let labels =
        format!("{{method=\"GET\",route=\"/v1/assets/{{id}}/content\",status=\"{status}\"}}");
    gateway
        .metric(&format!("http_requests_total{labels}"))
        .await
}

#[tokio::test]
async fn a_disconnect_midway_is_counted_and_frees_the_permit() {
    let silent = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n01234".to_vec();
    let storage = Storage::that_says(vec![
        silent,
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
    ])
    .await;
    let gateway = storage.gateway(&[("server.max_downloads", "1")]).await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    let mut caller = Wire::to(gateway.addr).await;
    caller
        .send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
        .await;
    assert!(caller.head().await.contains("200 ok"));
    let refused = gateway.get(&path).send().await.unwrap();
    assert!(refused.headers().contains_key(RETRY_AFTER));
    assert_eq!(
        problem(refused).await,
        (
            503,
            "overloaded".into(),
            "gateway".into(),
            "admit".into(),
            true
        )
    );
    drop(caller);
    let (began, mut next) = (Instant::now(), gateway.get(&path).send().await.unwrap());
    while next.status() != StatusCode::OK && began.elapsed() < Duration::from_secs(5) {
        next = gateway.get(&path).send().await.unwrap();
    }
    assert_eq!(next.text().await.unwrap(), "ok");
    assert_eq!(content_count(&gateway, 499).await, 1.0);
    assert_eq!(content_count(&gateway, 200).await, 1.0);
    assert_eq!(
        gateway
            .metric("transfers_in_flight{direction=\"download\"}")
            .await,
        0.0
    );
    let failures =
        "transfer_failures_total{blame=\"caller\",direction=\"download\",stage=\"fetch\"}";
    assert_eq!(gateway.metric(failures).await, 1.0);
}

#[tokio::test]
async fn a_disconnect_before_the_response_frees_the_permit() {
    let gateway = TestGateway::builder()
        .settings(&[("server.max_downloads", "1")])
        .start()
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Download).stall().once());
    let caller = tokio::spawn(gateway.get(&path).send());
    assert!(eventually(|| gateway.sandbox.stats().calls(SandboxOperation::Download) == 1).await);
    caller.abort();
    let (began, mut next) = (Instant::now(), gateway.get(&path).send().await.unwrap());
    while next.status() != StatusCode::OK && began.elapsed() < Duration::from_secs(5) {
        next = gateway.get(&path).send().await.unwrap();
    }
    assert_eq!(next.status(), StatusCode::OK);
    assert_eq!(content_count(&gateway, 499).await, 1.0);
}

#[tokio::test]
async fn only_the_excess_upload_is_refused() {
    let gateway = TestGateway::builder()
        .settings(&[("server.max_uploads", "1")])
        .start()
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    let running = SlowUpload::begin(&gateway, SIZE).await;
    let began = Instant::now();
    let refused = gateway
        .post("/v1/assets?channel=sms&name=b.bin")
        .body(noise(10, 1))
        .send()
        .await
        .unwrap();
    assert!(refused.headers().contains_key(RETRY_AFTER));
    assert_eq!(
        problem(refused).await,
        (
            503,
            "overloaded".into(),
            "gateway".into(),
            "admit".into(),
            true
        )
    );
    assert_eq!(
        gateway.get(&path).send().await.unwrap().status(),
        StatusCode::OK
    );
    for probe in ["livez", "readyz", "metrics"] {
        let answer = gateway
            .client
            .get(format!("http://{}/{probe}", gateway.admin))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{probe}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "nothing queues: {:?}",
        began.elapsed()
    );
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        2,
        "the refused one cost no call"
    );
    assert_eq!(
        running.finish(SIZE).await.unwrap().status(),
        StatusCode::CREATED
    );
    gateway.upload("c.bin", noise(10, 1)).await;
}

#[tokio::test]
async fn metadata_heads_and_redirects_take_no_place() {
    let silent = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n01234".to_vec();
    let gateway = Storage::that_says(vec![silent])
        .await
        .gateway(&[("server.max_downloads", "1")])
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    let _running = gateway.get(&path).send().await.unwrap();
    assert_eq!(
        gateway
            .get(path.trim_end_matches("/content"))
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    assert_eq!(
        gateway
            .client
            .head(gateway.url(&path))
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    let redirected = gateway
        .get(&format!("{path}?redirect=1"))
        .send()
        .await
        .unwrap();
    assert_eq!(redirected.status(), StatusCode::TEMPORARY_REDIRECT);
}
