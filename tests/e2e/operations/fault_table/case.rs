//! One fault, from the request to what is left of it.

use std::fmt::Display;

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::support::gateway::{TestGateway, eventually, noise};
use crate::support::refusal::Refusal;

/// Lies in the look-ahead whole.
pub(super) const SMALL: usize = 20_000;
/// Streams.
pub(super) const LARGE: usize = 1_000_000;

/// A line of the table, before it has happened.
pub(super) struct Row {
    fault: String,
    request: &'static str,
    seen: LocalBoxFuture<'static, Seen>,
}

impl Row {
    pub(super) fn new(
        fault: impl Display,
        request: &'static str,
        seen: impl Future<Output = Seen> + 'static,
    ) -> Self {
        Self {
            fault: fault.to_string(),
            request,
            seen: seen.boxed_local(),
        }
    }

    pub(super) async fn line(self) -> String {
        let Seen {
            status,
            told,
            calls,
            left,
        } = self.seen.await;
        format!(
            "| {} | {} | {status} | {told} | {calls} | {left} |\n",
            self.fault, self.request
        )
    }
}

/// What became of a request.
pub(super) struct Seen {
    status: String,
    /// Code, blame, stage, retryable.
    told: String,
    calls: u64,
    left: String,
}

/// A gateway in which something is about to happen.
pub(super) struct FaultCase {
    pub gateway: TestGateway,
    calls: u64,
    assets: usize,
}

impl FaultCase {
    /// From here on calls and assets count.
    pub(super) fn of(gateway: TestGateway) -> Self {
        let (calls, assets) = (calls(&gateway), gateway.sandbox.assets().len());
        Self {
            gateway,
            calls,
            assets,
        }
    }

    /// With these settings and faults.
    pub(super) async fn with(
        settings: &[(&str, &str)],
        faults: impl IntoIterator<Item = Fault>,
    ) -> Self {
        let gateway = TestGateway::builder().settings(settings).start().await;
        faults
            .into_iter()
            .for_each(|fault| gateway.sandbox.fault(fault));
        Self::of(gateway)
    }

    /// Whatever came back: of an upload as of a download, which have nothing in common but this
    /// file.
    pub(super) async fn answered(&self, response: Response, file: &[u8]) -> Seen {
        match response.status() {
            StatusCode::CREATED => {
                let receipt: Value = response.json().await.unwrap();
                let path = self.gateway.sandbox.file(receipt["id"].as_str().unwrap());
                assert!(
                    path.is_some_and(|path| std::fs::read(path).unwrap() == file),
                    "201 is for a whole file"
                );
                self.ended("201", "– | – | – | –", 1).await
            }
            status if status.is_success() => match response.bytes().await {
                Ok(bytes) => {
                    assert!(bytes == file, "what ends well is whole");
                    self.ended(status.as_str(), "– | – | – | –", 0).await
                }
                Err(_) => {
                    self.ended(format!("{}, then cut", status.as_str()), "– | – | – | –", 0)
                        .await
                }
            },
            _ => {
                let refusal = Refusal::of(response).await;
                let Refusal {
                    code,
                    blame,
                    stage,
                    retryable,
                    ..
                } = &refusal;
                self.ended(refusal.status, told(code, blame, stage, *retryable), 0)
                    .await
            }
        }
    }

    /// An answer that was read by hand.
    pub(super) async fn told(&self, document: &str) -> Seen {
        let document: Value = serde_json::from_str(document).unwrap();
        let text = |key: &str| document[key].as_str().unwrap();
        let told = told(
            text("code"),
            text("blame"),
            text("stage"),
            document["retryable"].as_bool().unwrap(),
        );
        self.ended(&document["status"], told, 0).await
    }

    /// With so many assets that are meant to be there.
    pub(super) async fn ended(
        &self,
        status: impl Display,
        told: impl Into<String>,
        kept: usize,
    ) -> Seen {
        let expected = self.assets + kept;
        eventually(|| self.gateway.sandbox.assets().len() == expected).await;
        let more = self.gateway.sandbox.assets().len().saturating_sub(expected);
        let left = match (more, kept) {
            (0, 0) => "nothing".to_owned(),
            (0, _) => "the file, whole".to_owned(),
            (more, _) => format!("{more} asset that can't be named"),
        };
        Seen {
            status: status.to_string(),
            told: told.into(),
            calls: calls(&self.gateway) - self.calls,
            left,
        }
    }

    /// Waits for what is told of a caller that isn't there any more.
    pub(super) async fn caller_left(&self, direction: &str, stage: &str) -> Seen {
        let failures = format!(
            "transfer_failures_total{{blame=\"caller\",direction=\"{direction}\",\
             stage=\"{stage}\"}}"
        );
        assert!(self.gateway.counts(&failures, 1.0).await, "{failures}");
        self.ended(
            "499, logged",
            format!("`caller-left` | caller | {stage} | –"),
            0,
        )
        .await
    }
}

fn told(code: &str, blame: &str, stage: &str, retryable: bool) -> String {
    format!(
        "`{code}` | {blame} | {stage} | {}",
        if retryable { "yes" } else { "no" }
    )
}

fn calls(gateway: &TestGateway) -> u64 {
    let stats = gateway.sandbox.stats();
    stats.calls(SandboxOperation::CreateAsset) + stats.calls(SandboxOperation::GetAsset)
}

/// An upload of so many bytes, where this goes wrong.
pub(super) async fn upload(
    size: usize,
    settings: &[(&str, &str)],
    faults: impl IntoIterator<Item = Fault>,
) -> Seen {
    upload_in(FaultCase::with(settings, faults).await, size).await
}

/// The same after so many other uploads.
pub(super) async fn upload_after(
    others: usize,
    size: usize,
    faults: impl IntoIterator<Item = Fault>,
) -> Seen {
    let gateway = TestGateway::start().await;
    faults
        .into_iter()
        .for_each(|fault| gateway.sandbox.fault(fault));
    for _ in 0..others {
        gateway
            .post("/v1/assets?channel=sms")
            .body("text")
            .send()
            .await
            .unwrap();
    }
    upload_in(FaultCase::of(gateway), size).await
}

/// The same with eGain and storage of this character.
pub(super) async fn upload_at(sandbox: SandboxConfig, size: usize) -> Seen {
    upload_in(
        FaultCase::of(TestGateway::builder().sandbox(sandbox).start().await),
        size,
    )
    .await
}

async fn upload_in(case: FaultCase, size: usize) -> Seen {
    let file = noise(size, 1);
    let response = case
        .gateway
        .post("/v1/assets?channel=sms&name=a.bin")
        .body(file.clone())
        .send()
        .await
        .unwrap();
    case.answered(response, &file).await
}
