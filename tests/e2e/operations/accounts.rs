//! The routes of accounts and channels: for operators, typed, and without a word of a secret.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use http::StatusCode;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::gateway::{TestGateway, problem};
use crate::support::secret_canary;

/// Holds a mark of the secrets that all that comes out is searched for.
const SECRET: &str = "agw_auth-token-of-an-account";

/// An account of a channel of this type, as eGain's documents have it.
fn account(gateway: &TestGateway, kind: &str, address: &str) -> Value {
    json!({
        "name": format!("An account of {kind}"),
        "address": address,
        "channel": {"id": channel(gateway, kind)},
        "caseManagement": {"sameCaseDuration": 1440, "copyCustomAttributes": true},
        "chatConfigurations": {
            "timeout": 240, "defaultLanguage": "en-US", "onAgentUnavailability": "off_hours",
            "allowLogoutWithOpenChats": false, "allowQueueTransferOnAgentUnavailability": false,
            "orchestration": {"id": "0f8fad5b-d9cb-469f-a165-70867728950e"},
            "entryPoint": {"id": "1001"},
        },
        "attributes": [
            {"name": "accountSid", "value": "AC1"},
            {"name": "authToken", "value": SECRET},
        ],
    })
}

fn channel(gateway: &TestGateway, kind: &str) -> String {
    let channels = gateway.sandbox.channels();
    channels
        .iter()
        .find(|channel| channel["type"] == kind)
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn send(gateway: &TestGateway, method: Method, path: &str, body: &Value) -> Response {
    let request = gateway
        .client
        .request(method, gateway.url(path))
        .header("content-type", "application/json");
    request.body(body.to_string()).send().await.unwrap()
}

async fn read(gateway: &TestGateway, path: &str) -> Value {
    let text = gateway
        .get(path)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    secret_canary::search("an account", &text);
    serde_json::from_str(&text).unwrap()
}

async fn detail(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    (status, document["detail"].as_str().unwrap().to_owned())
}

const VARIANTS: [(&str, &str); 4] = [
    ("custom.teams", "support@example.com"),
    (
        "google_business_messaging",
        "brands/3f2504e0-4f89-11d3-9a0c-0305e82c3301/agents/9a0b3f25-4f89-11d3-9a0c-0305e82c3301",
    ),
    ("sms_twilio", "+14155550100"),
    ("whatsapp", "14155550100"),
];

#[tokio::test]
async fn every_account_variant_works_without_showing_secrets() {
    let gateway = TestGateway::start().await;
    for (kind, address) in VARIANTS {
        let created = send(
            &gateway,
            Method::POST,
            "/v1/accounts",
            &account(&gateway, kind, address),
        )
        .await;
        assert_eq!(created.status(), 201, "{kind}");
        let path = created.headers()["location"].to_str().unwrap().to_owned();
        let shown = gateway.get(&path).send().await.unwrap();
        let tag = shown.headers()["etag"].clone();
        let mut document: Value = shown.json().await.unwrap();
        assert_eq!(
            document["attributes"][1],
            json!({"name": "authToken", "isSet": true}),
            "{kind}"
        );
        assert_eq!(document["attributes"][0]["value"], "AC1");
        document["description"] = json!("changed");
        let replace = async |tag: &http::HeaderValue| {
            let request = gateway
                .client
                .request(Method::PUT, gateway.url(&path))
                .header("if-match", tag);
            request
                .header("content-type", "application/json")
                .body(document.to_string())
                .send()
                .await
                .unwrap()
        };
        assert_eq!(replace(&tag).await.status(), 204, "{kind}");
        let stale = problem(replace(&tag).await).await;
        assert_eq!(
            stale,
            (
                412,
                "conflict".into(),
                "caller".into(),
                "manage".into(),
                false
            ),
            "{kind}"
        );
        // Without If-Match the document's own lock is eGain's to judge.
        let (status, said) = detail(send(&gateway, Method::PUT, &path, &document).await).await;
        assert_eq!(
            (status, said.contains("read it again")),
            (409, true),
            "{said}"
        );
        let now = read(&gateway, &path).await;
        assert_eq!(
            (&now["description"], &now["attributes"][1]["isSet"]),
            (&json!("changed"), &json!(true))
        );
    }
    let list = read(&gateway, "/v1/accounts").await;
    assert_eq!(list["account"].as_array().unwrap().len(), 4);
    for account in list["account"].as_array().unwrap() {
        let path = format!("/v1/accounts/{}", account["id"].as_str().unwrap());
        assert_eq!(
            gateway
                .client
                .delete(gateway.url(&path))
                .send()
                .await
                .unwrap()
                .status(),
            204
        );
        let (status, said) = detail(gateway.get(&path).send().await.unwrap()).await;
        assert_eq!((status, said.contains("account")), (404, true), "{said}");
    }
}

#[tokio::test]
async fn all_mistakes_are_reported_and_nothing_is_sent() {
    let gateway = TestGateway::start().await;
    let mut document = account(&gateway, "sms_twilio", "4155550100");
    document["chatConfigurations"]["timeout"] = json!(2);
    document["chatConfigurations"]["timeOut"] = json!(2);
    document["attributes"] = json!([{"name": "authToken", "value": SECRET}]);
    let (status, said) =
        detail(send(&gateway, Method::POST, "/v1/accounts", &document).await).await;
    let expected = "address: + and up to 15 digits for Twilio SMS, is \"4155550100\"; \
                    chatConfigurations.timeout: 3 to 10080, is 2; \
                    chatConfigurations.timeOut: unknown: did you mean timeout?; \
                    attributes.accountSid: missing: Twilio SMS needs it";
    let mut told: Vec<_> = said.split("; ").collect();
    let mut awaited: Vec<_> = expected.split("; ").collect();
    told.sort_unstable();
    awaited.sort_unstable();
    assert_eq!((status, told), (400, awaited));
    document["channel"]["id"] = json!("00000000-0000-4000-8000-00000000dead");
    let (status, said) =
        detail(send(&gateway, Method::POST, "/v1/accounts", &document).await).await;
    assert_eq!(
        (
            status,
            said.contains("channel.id: eGain knows no such channel")
        ),
        (400, true),
        "{said}"
    );
    assert_eq!(
        gateway
            .sandbox
            .stats()
            .calls(SandboxOperation::CreateAccount),
        0
    );
}

#[tokio::test]
async fn a_malformed_account_is_refused_without_a_call() {
    let gateway = TestGateway::start().await;
    let post = async |kind: &str, body: &str| {
        let request = gateway.post("/v1/accounts").header("content-type", kind);
        problem(request.body(body.to_owned()).send().await.unwrap()).await
    };
    assert_eq!(
        post("application/json", "{\"name\": ").await.1,
        "bad-request"
    );
    assert_eq!(post("application/json", "[]").await.1, "bad-request");
    assert_eq!(post("text/plain", "{}").await.1, "type-not-allowed");
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(65 * 1024));
    assert_eq!(post("application/json", &long).await.1, "too-large");
    assert_eq!(
        post("application/merge-patch+json", "{}").await.1,
        "invalid-field"
    );
    let calls = gateway.sandbox.stats();
    assert_eq!(
        calls.calls(SandboxOperation::CreateAccount) + calls.calls(SandboxOperation::GetChannel),
        0
    );
}

#[tokio::test]
async fn non_operators_are_refused_accounts_without_a_call() {
    let keys = ["reader", "adapter", "operator"]
        .map(|role| secret_canary::entry(role, &format!("role = \"{role}\"")))
        .concat();
    let gateway = TestGateway::builder()
        .file(&keys)
        .settings(&[("auth.mode", "keys")])
        .start()
        .await;
    let paths = [
        "/v1/accounts",
        "/v1/accounts/1",
        "/v1/channels",
        "/v1/channels/1",
    ];
    for role in ["reader", "adapter"] {
        for path in paths {
            let refused = gateway.get(path).by(role).send().await.unwrap();
            assert_eq!(problem(refused).await.1, "forbidden", "{role} {path}");
        }
        for (method, path) in [
            (Method::POST, "/v1/accounts"),
            (Method::PUT, "/v1/accounts/1"),
            (Method::DELETE, "/v1/accounts/1"),
        ] {
            let refused = gateway
                .client
                .request(method, gateway.url(path))
                .by(role)
                .body("{}")
                .send()
                .await
                .unwrap();
            assert_eq!(refused.status(), 403, "{role} {path}");
        }
    }
    let calls = gateway.sandbox.stats();
    assert_eq!(
        [
            SandboxOperation::ListAccounts,
            SandboxOperation::GetAccount,
            SandboxOperation::GetChannel
        ]
        .map(|each| calls.calls(each)),
        [0; 3]
    );
    assert_eq!(
        gateway
            .get("/v1/channels")
            .by("operator")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn lists_are_passed_on_page_by_page() {
    let gateway = TestGateway::start().await;
    let page = read(&gateway, "/v1/channels?$pagesize=3&$pagenum=2").await;
    assert_eq!(
        (
            page["channel"].as_array().unwrap().len(),
            &page["paginationInfo"]["count"]
        ),
        (1, &json!(4))
    );
    let one = read(
        &gateway,
        &format!("/v1/channels/{}", channel(&gateway, "whatsapp")),
    )
    .await;
    assert_eq!(one["type"], "whatsapp");
    for query in ["order=name", "$pagesize=all", "$pagenum=-1"] {
        let refused = gateway
            .get(&format!("/v1/accounts?{query}"))
            .send()
            .await
            .unwrap();
        assert_eq!(problem(refused).await.1, "invalid-field", "{query}");
    }
    assert_eq!(
        gateway
            .sandbox
            .stats()
            .calls(SandboxOperation::ListAccounts),
        0
    );
}

#[tokio::test]
async fn egains_failures_are_reported_and_creations_arent_repeated() {
    let gateway = TestGateway::start().await;
    let document = account(&gateway, "whatsapp", "14155550100");
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::CreateAccount)
            .status(StatusCode::INTERNAL_SERVER_ERROR)
            .once(),
    );
    let failed = problem(send(&gateway, Method::POST, "/v1/accounts", &document).await).await;
    assert_eq!(
        failed,
        (
            502,
            "upstream-error".into(),
            "egain".into(),
            "manage".into(),
            true
        )
    );
    assert_eq!(
        gateway
            .sandbox
            .stats()
            .calls(SandboxOperation::CreateAccount),
        1
    );
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::ListAccounts)
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .once(),
    );
    assert_eq!(
        gateway.get("/v1/accounts").send().await.unwrap().status(),
        200,
        "a read may be repeated"
    );
    assert_eq!(
        send(&gateway, Method::POST, "/v1/accounts", &document)
            .await
            .status(),
        201
    );
    let (status, said) =
        detail(send(&gateway, Method::POST, "/v1/accounts", &document).await).await;
    assert_eq!(
        (status, said.contains("name is taken")),
        (409, true),
        "{said}"
    );
}
