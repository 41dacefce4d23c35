//! What operators get wrong with accounts, and what an account's rules refuse.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::scene::{Row, Scene};
use crate::house::House;
use crate::planted::entry;

const ACCOUNT: &str = "7d9a3f52-0000-4000-8000-0000000000aa";
const WHATSAPP: &str = "00000000-0000-4000-8000-000000000002";
/// How wide eGain's own limit on a channel is in its documents.
const LARGEST: usize = 5_242_880;

pub fn rows() -> Vec<Row> {
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
                let house = house().await;
                let request = house
                    .client
                    .request(Method::PUT, house.url(&format!("/v1/accounts/{ACCOUNT}")))
                    .by("operator");
                let request = request
                    .header("if-match", "\"another\"")
                    .header("content-type", "application/json")
                    .body("{}");
                told(house, request).await
            },
        ),
        Row::new("an id that eGain doesn't know", "show an account", async {
            let house = house().await;
            let request = house.get("/v1/accounts/nothing").by("operator");
            told(house, request).await
        }),
        Row::new("a caller that is no operator", "list accounts", async {
            let house = house().await;
            let request = house.get("/v1/accounts").by("bound");
            told(house, request).await
        }),
        Row::new("eGain answers 500", "list accounts", async {
            let house = house().await;
            house.sandbox.fault(
                Fault::at(SandboxOperation::ListAccounts).status(StatusCode::INTERNAL_SERVER_ERROR),
            );
            let request = house.get("/v1/accounts").by("operator");
            told(house, request).await
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
            |house| put_account(house, false),
        ),
        upload(
            "the caller's account was never seen, and eGain is down",
            "a.png",
            b"a".to_vec(),
            |house| {
                house.sandbox.fault(
                    Fault::at(SandboxOperation::GetAccount).status(StatusCode::SERVICE_UNAVAILABLE),
                );
            },
        ),
    ]
}

/// An account that is right but for its channel.
fn with(channel: Value) -> Value {
    let chat = json!({"orchestration": {"id": WHATSAPP}, "entryPoint": {"id": "1"}});
    json!({"name": "a", "address": "14155550100", "channel": {"id": channel}, "chatConfigurations": chat})
}

async fn house() -> House {
    let keys = entry("bound", &format!("account = \"{ACCOUNT}\""))
        + &entry("operator", "role = \"operator\"");
    let house = House::with_file(&keys, &[("auth.mode", "keys")]).await;
    put_account(&house, true);
    house
}

fn put_account(house: &House, active: bool) {
    house.sandbox.put_account(
        json!({"id": ACCOUNT, "name": "a", "active": active, "channel": {"id": WHATSAPP}}),
    );
}

async fn told(house: House, request: crate::client::RequestBuilder) -> super::scene::Seen {
    let scene = Scene::of(house);
    let response = request.send().await.unwrap();
    scene.answered(response, &[]).await
}

fn account(what: &'static str, document: Value) -> Row {
    Row::new(what, "create an account", async move {
        let house = house().await;
        let request = house
            .post("/v1/accounts")
            .by("operator")
            .header("content-type", "application/json");
        told(house, request.body(document.to_string())).await
    })
}

fn upload(
    what: &'static str,
    name: &'static str,
    file: Vec<u8>,
    prepare: impl Fn(&House) + 'static,
) -> Row {
    Row::new(what, "upload", async move {
        let house = house().await;
        prepare(&house);
        let request = house
            .post(&format!("/v1/assets?sender=egain_agent&name={name}"))
            .by("bound");
        told(house, request.body(file)).await
    })
}
