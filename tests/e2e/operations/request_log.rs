//! Every line of the log that belongs to a request can be found by the id that its caller was
//! answered.

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::{Response, StatusCode};
use serde_json::{Map, Value};

use crate::support::binary::{Running, owned, program, settings};
use crate::support::client::{Client, RequestBuilder};
use crate::support::gateway::{noise, receipt};

struct Logged {
    sandbox: Sandbox,
    gateway: Running,
    base: String,
    client: Client,
}

impl Logged {
    async fn start(more: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
        let mut variables = settings(&sandbox);
        variables.extend(owned(more));
        let gateway = Running::start(program(&["serve"], &variables));
        let base = format!("http://{}/v1/assets", gateway.listens().await.0);
        Self {
            sandbox,
            gateway,
            base,
            client: Client::with(|builder| builder),
        }
    }

    async fn upload(
        &self,
        id: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        let request = self
            .client
            .post(format!("{}?channel=sms&name=a.bin", self.base))
            .header("x-request-id", id);
        with(request).body(noise(100_000, 1)).send().await.unwrap()
    }

    async fn get(&self, id: &str, path: &str) -> Response {
        self.client
            .get(format!("{}{path}", self.base))
            .header("x-request-id", id)
            .send()
            .await
            .unwrap()
    }

    /// The line with this message that belongs to this request.
    async fn line(&self, id: &str, message: &str) -> Map<String, Value> {
        let find = |line: &str| {
            let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
            assert_eq!(
                serde_json::to_string(&fields).unwrap().len(),
                line.len(),
                "each name once: {line}"
            );
            (fields["message"] == message && fields.get("request_id") == Some(&id.into()))
                .then_some(fields)
        };
        self.gateway.line(find).await
    }
}

/// What happened to a file on its way, whoever works on it.
const RETRY: &str = "retrying upload with a new signed URL";
const BROKEN: &str = "resuming interrupted download";
const LEFT: &str = "orphaned asset was not deleted";

#[tokio::test]
async fn a_retry_in_its_own_task_logs_its_request() {
    let logged = Logged::start(&[]).await;
    for (id, key) in [("without-a-key", None), ("with-a-key", Some("k1"))] {
        logged.sandbox.fault(
            Fault::at(SandboxOperation::Upload)
                .status(StatusCode::FORBIDDEN)
                .once(),
        );
        let stored = receipt(
            logged
                .upload(id, |request| {
                    key.into_iter().fold(request, |request, key| {
                        request.header("idempotency-key", key)
                    })
                })
                .await,
        )
        .await;
        let line = logged.line(id, RETRY).await;
        assert_eq!(
            (&line["route"], &line["caller"]),
            (&"/v1/assets".into(), &"anyone".into()),
            "{id}"
        );
        let access = logged.line(id, "request completed").await;
        assert_eq!(
            (&access["asset"], &access["status"]),
            (&stored["id"], &201.into()),
            "{id}"
        );
        assert_eq!(
            (&access["route"], &access["caller"]),
            (&"/v1/assets".into(), &"anyone".into())
        );
    }
}

#[tokio::test]
async fn a_resumed_stream_logs_its_request_and_asset() {
    let logged = Logged::start(&[]).await;
    let stored = receipt(logged.upload("stored", |request| request).await).await;
    let id = stored["id"].as_str().unwrap();
    logged.sandbox.fault(
        Fault::at(SandboxOperation::Download)
            .cut_after(50_000)
            .once(),
    );
    let bytes = logged
        .get("fetched", &format!("/{id}/content"))
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(bytes.len(), 100_000);
    let line = logged.line("fetched", BROKEN).await;
    assert_eq!(
        (&line["asset"], &line["route"]),
        (&stored["id"], &"/v1/assets/{id}/content".into())
    );
    logged.line("fetched", "request completed").await;
}

#[tokio::test]
async fn an_orphan_names_the_request_that_left_it() {
    let logged = Logged::start(&[]).await;
    logged
        .sandbox
        .fault(Fault::at(SandboxOperation::DeleteAsset).status(StatusCode::CONFLICT));
    for (id, key) in [("left-an-asset", None), ("left-another", Some("k1"))] {
        logged.sandbox.fault(
            Fault::at(SandboxOperation::Upload)
                .status(StatusCode::FORBIDDEN)
                .times(2),
        );
        let failed = logged
            .upload(id, |request| {
                key.into_iter().fold(request, |request, key| {
                    request.header("idempotency-key", key)
                })
            })
            .await;
        assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);
        let line = logged.line(id, LEFT).await;
        let asset = line["asset"].as_str().unwrap().to_owned();
        assert!(
            logged.sandbox.assets().iter().any(|left| left.id == asset),
            "{asset}"
        );
        assert_eq!(
            (&line["route"], &line["reason"]),
            (&"/v1/assets".into(), &"conflict".into())
        );
    }
}

#[tokio::test]
async fn a_spool_that_breaks_names_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap().to_owned();
    let logged = Logged::start(&[
        ("LIMITS__SPOOL_MEMORY", "1KiB"),
        ("LIMITS__SPOOL_DIR", &dir),
    ])
    .await;
    folder.close().unwrap();
    let request = logged
        .client
        .post(format!("{}?channel=sms&name=a.bin", logged.base))
        .header("x-request-id", "spooled");
    let failed = crate::support::raw_client::in_chunks(request, &noise(300_000, 1)).await;
    assert!(failed.status().is_server_error());
    assert_eq!(
        logged.line("spooled", "the spool can't be written").await["level"],
        "ERROR"
    );
}

#[tokio::test]
async fn a_strict_filter_hides_no_requests_id() {
    let logged = Logged::start(&[(
        "LOG__FILTER",
        "info,asset_gateway=warn,asset_gateway::cli=info",
    )])
    .await;
    logged.sandbox.fault(
        Fault::at(SandboxOperation::GetAsset)
            .status(StatusCode::FORBIDDEN)
            .once(),
    );
    assert_eq!(
        logged.get("failed", "/a1").await.status(),
        StatusCode::BAD_GATEWAY
    );
    let line = logged.line("failed", "request completed").await;
    assert_eq!(
        (&line["level"], &line["asset"]),
        (&"WARN".into(), &"a1".into())
    );
}
