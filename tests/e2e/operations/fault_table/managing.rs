//! What operators get wrong with accounts, and what an account's rules refuse.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::case::{FaultCase, Row};
use crate::support::gateway::TestGateway;
use crate::support::secret_canary::entry;

const ACCOUNT: &str = "7d9a3f52-0000-4000-8000-0000000000aa";
const WHATSAPP: &str = "00000000-0000-4000-8000-000000000002";
/// How wide eGain's own limit on a channel is in its documents.
const LARGEST: usize = 5_242_880;

pub(super) fn rows() -> Vec<Row> {
    vec![
        account(
            "an account with three wrong fields",
            json!({"name": "", "channel": {"id": "1"}}),
        ),
        account(
            "an account that names a channel which eGain doesn't know",
            with(json!("00000000-0000-4000-8000-00000000dead")),
        ),
        account("a body that is no object", json!([1])),
        Row::new(
            "another version than `If-Match` means",
            "replace an account",
            async {
                let gateway = gateway().await;
                let request = gateway
                    .client
                    .request(Method::PUT, gateway.url(&format!("/v1/accounts/{ACCOUNT}")))
                    .by("operator");
                let request = request
                    .header("if-match", "\"another\"")
                    .header("content-type", "application/json")
                    .body("{}");
                told(gateway, request).await
            },
        ),
        Row::new("an id that eGain doesn't know", "show an account", async {
            let gateway = gateway().await;
            let request = gateway.get("/v1/accounts/nothing").by("operator");
            told(gateway, request).await
        }),
        Row::new("a caller that is no operator", "list accounts", async {
            let gateway = gateway().await;
            let request = gateway.get("/v1/accounts").by("bound");
            told(gateway, request).await
        }),
        Row::new("eGain responds 500", "list accounts", async {
            let gateway = gateway().await;
            gateway.sandbox.fault(
                Fault::at(SandboxOperation::ListAccounts).status(StatusCode::INTERNAL_SERVER_ERROR),
            );
            let request = gateway.get("/v1/accounts").by("operator");
            told(gateway, request).await
        }),
        upload(
            "a type that the channel of the caller's account doesn't take",
            "a.txt",
            b"a text".to_vec(),
            |_| {},
        ),
        upload(
            "a file that is larger than the channel takes",
            "a.bin",
            vec![0xAA; LARGEST + 1],
            |_| {},
        ),
        upload(
            "the caller's account is inactive",
            "a.png",
            b"a".to_vec(),
            |gateway| put_account(gateway, false),
        ),
        upload(
            "the caller's account was never seen, and eGain is down",
            "a.png",
            b"a".to_vec(),
            |gateway| {
                gateway.sandbox.fault(
                    Fault::at(SandboxOperation::GetAccount).status(StatusCode::SERVICE_UNAVAILABLE),
                );
            },
        ),
    ]
}

/// An account that is right but for its channel.
fn with(channel: Value) -> Value {
    let chat = json!({"orchestration": {"id": WHATSAPP}, "entryPoint": {"id": "1"}});
    json!({
        "name": "a",
        "address": "14155550100",
        "channel": {"id": channel},
        "chatConfigurations": chat,
    })
}

async fn gateway() -> TestGateway {
    let keys = entry("bound", &format!("account = \"{ACCOUNT}\""))
        + &entry("operator", "role = \"operator\"");
    let gateway = TestGateway::builder()
        .file(&keys)
        .settings(&[("auth.mode", "keys")])
        .start()
        .await;
    put_account(&gateway, true);
    gateway
}

fn put_account(gateway: &TestGateway, active: bool) {
    gateway.sandbox.put_account(
        json!({"id": ACCOUNT, "name": "a", "active": active, "channel": {"id": WHATSAPP}}),
    );
}

async fn told(
    gateway: TestGateway,
    request: crate::support::client::RequestBuilder,
) -> super::case::Seen {
    let case = FaultCase::of(gateway);
    let response = request.send().await.unwrap();
    case.answered(response, &[]).await
}

fn account(what: &'static str, document: Value) -> Row {
    Row::new(what, "create an account", async move {
        let gateway = gateway().await;
        let request = gateway
            .post("/v1/accounts")
            .by("operator")
            .header("content-type", "application/json");
        told(gateway, request.body(document.to_string())).await
    })
}

fn upload(
    what: &'static str,
    name: &'static str,
    file: Vec<u8>,
    prepare: impl Fn(&TestGateway) + 'static,
) -> Row {
    Row::new(what, "upload", async move {
        let gateway = gateway().await;
        prepare(&gateway);
        let request = gateway
            .post(&format!("/v1/assets?sender=egain_agent&name={name}"))
            .by("bound");
        told(gateway, request.body(file)).await
    })
}
