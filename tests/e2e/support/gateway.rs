//! A gateway and its upstream, both real, on loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use asset_gateway::app::{self, ShutdownOutcome};
use asset_gateway::config::Settings;
use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::oddities::ResponseOddity;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::client::{Client, RequestBuilder};
use crate::support::secret_canary;

/// A gateway in front of a stand-in for eGain.
pub(crate) struct TestGateway {
    pub sandbox: Sandbox,
    pub addr: SocketAddr,
    pub admin: SocketAddr,
    pub client: Client,
    stop: CancellationToken,
    abort: CancellationToken,
    running: JoinHandle<ShutdownOutcome>,
}

impl TestGateway {
    /// Starts a gateway with default settings and a high call rate.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    /// A gateway that differs from the default.
    pub(crate) fn builder<'a>() -> TestGatewayBuilder<'a> {
        TestGatewayBuilder::default()
    }

    async fn build(
        sandbox: SandboxConfig,
        file: Option<&Path>,
        oddities: &[ResponseOddity],
        settings: &[(&str, &str)],
    ) -> Self {
        secret_canary::watch();
        let sandbox = Sandbox::start(sandbox).expect("loopback has free ports");
        sandbox.odd(oddities.iter().copied());
        assert!(
            secret_canary::is_marked(sandbox.client_secret()),
            "its secret can be searched for"
        );
        let given = [
            ("egain.base_url", sandbox.base_url().to_string()),
            ("egain.token_url", sandbox.token_url().to_string()),
            ("egain.client_id", sandbox.client_id().to_owned()),
            ("egain.client_secret", sandbox.client_secret().to_owned()),
            ("egain.content_hosts", sandbox.addr().to_string()),
            ("egain.allow_http_content_urls", "true".to_owned()),
            ("egain.rate", "1000".to_owned()),
            ("egain.burst", "1000".to_owned()),
            ("auth.mode", "none".to_owned()),
            ("server.listen", "127.0.0.1:0".to_owned()),
            ("server.admin_listen", "127.0.0.1:0".to_owned()),
            ("server.drain_delay", "0s".to_owned()),
            ("server.shutdown_grace", "5s".to_owned()),
        ];
        // An empty value takes one of these away.
        let usual = given
            .iter()
            .filter(|(usual, _)| settings.iter().all(|(key, _)| key != usual));
        let all = usual
            .map(|(key, value)| (*key, value.as_str()))
            .chain(settings.iter().copied());
        let settings =
            Settings::from_sources(file, all.map(variable)).expect("the settings are in order");
        let bound = app::bind(&settings).expect("the gateway starts");
        let (addr, admin) = (bound.addr().unwrap(), bound.admin_addr().unwrap());
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let running = tokio::spawn(bound.run(
            stop.clone().cancelled_owned(),
            abort.clone().cancelled_owned(),
        ));
        let client = Client::with(|builder| builder);
        Self {
            sandbox,
            addr,
            admin,
            client,
            stop,
            abort,
            running,
        }
    }

    /// A URL of the data listener.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// Uploads a file whose length is declared, and returns its receipt.
    pub(crate) async fn upload(&self, name: &str, bytes: Vec<u8>) -> Value {
        let response = self
            .post(&format!("/v1/assets?channel=sms&name={name}"))
            .body(bytes)
            .send()
            .await
            .unwrap();
        receipt(response).await
    }

    /// The bytes that came back for an asset.
    pub(crate) async fn download(&self, id: &str) -> Vec<u8> {
        let response = self
            .get(&format!("/v1/assets/{id}/content"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap().to_vec()
    }

    /// The bytes that storage holds for an asset.
    pub(crate) fn stored(&self, id: &str) -> Vec<u8> {
        std::fs::read(self.sandbox.file(id).expect("the asset is complete")).unwrap()
    }

    /// A metric's value; labels as they are printed, such as `{direction="upload"}`.
    pub(crate) async fn metric(&self, name_and_labels: &str) -> f64 {
        let text = self
            .client
            .get(format!("http://{}/metrics", self.admin))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        secret_canary::search("a metric", &text);
        let line = text.lines().find_map(|line| {
            line.strip_prefix(&format!("asset_gateway_{name_and_labels} "))
                .map(str::to_owned)
        });
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits up to five seconds until a metric has this value.
    pub(crate) async fn counts(&self, name_and_labels: &str, value: f64) -> bool {
        for _ in 0..250 {
            if self.metric(name_and_labels).await == value {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Waits until nothing is left upstream but what was kept: orphans are deleted in the
    /// background.
    pub(crate) async fn left_upstream(&self, kept: usize) -> usize {
        eventually(|| self.sandbox.assets().len() == kept).await;
        self.sandbox.assets().len()
    }

    /// Tells it to stop; [`Self::ending`] waits for it.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Tells it to stop at once.
    pub(crate) fn abort(&self) {
        self.abort.cancel();
    }

    /// Waits until it has stopped.
    pub(crate) async fn ending(self) -> ShutdownOutcome {
        self.ending_and_sandbox().await.1
    }

    /// Waits until it has stopped, and leaves what it left.
    pub(crate) async fn ending_and_sandbox(self) -> (Sandbox, ShutdownOutcome) {
        (self.sandbox, self.running.await.unwrap())
    }
}

/// What differs from the default gateway.
#[derive(Default)]
pub(crate) struct TestGatewayBuilder<'a> {
    sandbox: SandboxConfig,
    text: Option<&'a str>,
    path: Option<&'a Path>,
    oddities: &'a [ResponseOddity],
    settings: &'a [(&'a str, &'a str)],
}

impl<'a> TestGatewayBuilder<'a> {
    /// The configuration of the eGain sandbox.
    pub(crate) fn sandbox(self, sandbox: SandboxConfig) -> Self {
        Self { sandbox, ..self }
    }

    /// Settings such as `("limits.spool_total", "0")`; an empty value removes a default.
    pub(crate) fn settings(self, settings: &'a [(&'a str, &'a str)]) -> Self {
        Self { settings, ..self }
    }

    /// The text of a settings file, for settings that only a file can have.
    pub(crate) fn file(self, text: &'a str) -> Self {
        Self {
            text: Some(text),
            ..self
        }
    }

    /// A settings file that the test may change later.
    pub(crate) fn file_at(self, path: &'a Path) -> Self {
        Self {
            path: Some(path),
            ..self
        }
    }

    /// Unusual response forms of the sandbox, from the first sign-in on.
    pub(crate) fn oddities(self, oddities: &'a [ResponseOddity]) -> Self {
        Self { oddities, ..self }
    }

    /// Starts the sandbox and the gateway.
    pub(crate) async fn start(self) -> TestGateway {
        let file = self.text.map(|text| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            file
        });
        let path = self.path.or(file.as_ref().map(|file| file.path()));
        TestGateway::build(self.sandbox, path, self.oddities, self.settings).await
    }
}

fn variable((key, value): (&str, &str)) -> (String, String) {
    (
        format!("ASSET_GATEWAY_{}", key.replace('.', "__").to_uppercase()),
        value.to_owned(),
    )
}

/// The JSON of a 201.
pub(crate) async fn receipt(response: Response) -> Value {
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, StatusCode::CREATED, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// What a problem document says, in short: status, code, blame, stage, retryable.
pub(crate) async fn problem(response: Response) -> (u16, String, String, String, bool) {
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert!(response.headers().contains_key("x-request-id"));
    let document: Value = response.json().await.unwrap();
    assert_eq!(document["status"], status);
    assert!(
        document["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty())
    );
    let text = |key: &str| document[key].as_str().unwrap().to_owned();
    (
        status,
        text("code"),
        text("blame"),
        text("stage"),
        document["retryable"].as_bool().unwrap(),
    )
}

/// Waits up to five seconds for something to become true.
pub(crate) async fn eventually(mut test: impl FnMut() -> bool) -> bool {
    for _ in 0..500 {
        if test() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    test()
}

/// So many bytes that are no known type and compress to nothing; the same for the same seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8 | 0x80
    };
    std::iter::repeat_with(&mut next).take(length).collect()
}

/// A form with these parts before its file, as most clients frame it.
pub(crate) fn form(
    fields: &[(&str, &str)],
    file_name: &str,
    file: &[u8],
    after: &str,
) -> (String, Vec<u8>) {
    let boundary = "----------------------------1234567890abcdef";
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .bytes(),
        );
    }
    body.extend(
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; \
                 filename=\"{file_name}\"\r\n\r\n"
        )
        .bytes(),
    );
    body.extend(file);
    body.extend(
        format!(
            "\r\n{}--{boundary}--\r\n",
            after.replace("BOUNDARY", boundary)
        )
        .bytes(),
    );
    (format!("multipart/form-data; boundary={boundary}"), body)
}
