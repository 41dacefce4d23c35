//! The real program, where every fault quotes secrets at it. What comes out is searched as in every
//! test: see [`crate::support::secret_canary`].

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::binary::{Running, owned, program, run, settings};
use crate::support::client::{Client, RequestBuilder};
use crate::support::gateway::{noise, receipt};
use crate::support::secret_canary::{entry, is_marked, key, search};

const SECRET: &str = "sandbox-secret-that-was-changed";
const TOKEN: &str = "sandbox-token-that-nobody-may-see";

/// Everything, also what libraries say below the gateway.
const FINEST: &str = "trace,hyper=trace,hyper_util=trace,h2=trace,reqwest=trace,rustls=trace,\
                      tokio=trace,hyper::proto=trace";

struct Witnessed {
    gateway: Running,
    base: String,
    admin: String,
    client: Client,
    /// What was answered where no secret has a place.
    answers: String,
}

impl Witnessed {
    async fn start(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox, &["serve"], &[]).await
    }

    async fn start_with(sandbox: &Sandbox, arguments: &[&str], more: &[(&str, &str)]) -> Self {
        let mut variables = settings(sandbox);
        variables.extend(owned(&[("LOG__FILTER", FINEST)]));
        variables.extend(owned(more));
        let gateway = Running::start(program(arguments, &variables));
        let (addr, admin) = gateway.listens().await;
        let client = Client::with(|builder| builder);
        let (base, admin) = (
            format!("http://{addr}/v1/assets"),
            format!("http://{admin}"),
        );
        Self {
            gateway,
            base,
            admin,
            client,
            answers: String::new(),
        }
    }

    async fn upload(&self) -> reqwest::Response {
        self.client
            .post(format!("{}?channel=sms&name=a.bin", self.base))
            .body(noise(1000, 1))
            .send()
            .await
            .unwrap()
    }

    async fn note(&mut self, request: RequestBuilder) -> StatusCode {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        search("an answer", &text);
        self.answers += &text;
        status
    }
}

#[tokio::test]
async fn no_secret_comes_out_whatever_happens() {
    let sandbox = Sandbox::start(SandboxConfig {
        client_secret: SECRET.into(),
        ..SandboxConfig::default()
    })
    .unwrap();
    let mut witnessed = Witnessed::start(&sandbox).await;
    let stored = receipt(witnessed.upload().await).await;
    let asset = format!("{}/{}", witnessed.base, stored["id"].as_str().unwrap());
    let metadata: Value = witnessed
        .client
        .get(&asset)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let url = metadata["contentUrl"].as_str().unwrap().to_owned();
    let signature = url
        .split_once('?')
        .unwrap()
        .1
        .rsplit('.')
        .next()
        .unwrap()
        .to_owned();
    assert!(is_marked(&url) && signature.len() > 20, "{url}");

    let client = witnessed.client.clone();
    let content = || client.get(format!("{asset}/content"));
    assert_eq!(
        content().send().await.unwrap().bytes().await.unwrap().len(),
        1000
    );
    let quoting = format!("<Error>{url}</Error>");
    for fault in [
        Fault::at(SandboxOperation::Download)
            .status(StatusCode::FORBIDDEN)
            .body(quoting.clone())
            .times(2),
        Fault::at(SandboxOperation::Download)
            .status(StatusCode::BAD_REQUEST)
            .body(quoting.clone())
            .once(),
        Fault::at(SandboxOperation::Download).close().once(),
    ] {
        sandbox.fault(fault);
        assert_eq!(witnessed.note(content()).await, StatusCode::BAD_GATEWAY);
    }
    sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .status(StatusCode::FORBIDDEN)
            .body(quoting)
            .times(2),
    );
    let failed = witnessed.upload().await;
    assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);

    // A sign-in that quotes the secret, in clear and as it was sent, and a token that eGain refuses
    // and quotes.
    let said = [
        format!("no client with the secret {SECRET}"),
        format!("client_secret%3d{}", SECRET.replace('-', "%2d")),
    ];
    for said in said {
        let quoting = json!({"error": "invalid_client", "error_description": said});
        sandbox.fault(
            Fault::at(SandboxOperation::Token)
                .status(StatusCode::UNAUTHORIZED)
                .body(quoting),
        );
        let (answers, log) = told_by_another(&sandbox).await;
        assert!(
            !answers.contains("invalid_client") && log.contains("invalid_client"),
            "only the log has it: {answers}"
        );
        assert!(
            log.contains("with the secret [hidden]")
                != log.contains("upstream_message\":\"[hidden]\""),
            "{log}"
        );
        sandbox.reset();
    }
    sandbox.fault(
        Fault::at(SandboxOperation::Token)
            .status(StatusCode::OK)
            .body(json!({"access_token": TOKEN}))
            .once(),
    );
    let quoting = json!({"code": "403-197", "developerMessage": format!("{TOKEN} lacks a scope")});
    sandbox.fault(
        Fault::at(SandboxOperation::GetAsset)
            .status(StatusCode::FORBIDDEN)
            .body(quoting)
            .once(),
    );
    assert!(
        told_by_another(&sandbox)
            .await
            .0
            .contains("[hidden] lacks a scope")
    );
    for path in ["metrics", "readyz", "orphans"] {
        witnessed
            .note(client.get(format!("{}/{path}", witnessed.admin)))
            .await;
    }
    witnessed.gateway.signal("TERM");
    assert_eq!(witnessed.gateway.ending().await.code(), Some(0));

    let log = witnessed.gateway.said();
    assert!(
        log.contains("\"target\":\"hyper") && log.contains("\"level\":\"TRACE\""),
        "libraries were heard, too"
    );
    assert!(
        !log.contains(&signature) && !witnessed.answers.contains(&signature),
        "nor the last part of a JWT on its own"
    );
}

/// What another gateway answers to one request, and what it logs meanwhile.
async fn told_by_another(sandbox: &Sandbox) -> (String, String) {
    let mut witnessed = Witnessed::start(sandbox).await;
    let request = witnessed
        .client
        .get(format!("{}/unknown-1", witnessed.base));
    assert_eq!(witnessed.note(request).await, StatusCode::BAD_GATEWAY);
    witnessed.gateway.signal("TERM");
    witnessed.gateway.ending().await;
    (witnessed.answers, witnessed.gateway.said())
}

/// Faults of every kind that an operation can have, each quoting what it shouldn't. Nobody quotes a
/// token that nobody has sent.
fn faults(at: SandboxOperation, token: &str) -> Vec<Fault> {
    let url = "https://storage.example.com/x?signature=1234567890";
    let text = format!("<p>{token} {SECRET} <a href='{url}'>{url}</a>");
    let json = json!({
        "code": "400-143",
        "developerMessage": format!("{token} at {url}"),
        "error": "x",
        "error_description": text,
    });
    let fault = || Fault::at(at);
    let status = |status| fault().status(status).body(json.clone());
    vec![
        status(StatusCode::UNAUTHORIZED).times(2),
        status(StatusCode::FORBIDDEN).times(2),
        status(StatusCode::BAD_REQUEST).once(),
        status(StatusCode::CONFLICT).once(),
        status(StatusCode::OK).once(),
        fault()
            .status(StatusCode::INTERNAL_SERVER_ERROR)
            .body(text.clone())
            .times(3),
        fault().status(StatusCode::OK).body(text).once(),
        fault().field("contentUrl", url).once(),
        fault().field("id", "../x").once(),
        fault().cut_after(100).once(),
        fault().close().once(),
        fault().stall().once(),
    ]
}

/// A token that is good and that this test knows, too.
async fn known_token(sandbox: &Sandbox) -> String {
    let credentials = [
        ("client_id", sandbox.client_id()),
        ("client_secret", SECRET),
    ];
    let grant = [
        ("grant_type", "client_credentials"),
        ("scope", "https://api.egain.cloud/auth/.default"),
    ];
    let form = credentials.iter().chain(&grant).collect::<Vec<_>>();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer: Value = client
        .post(sandbox.token_url())
        .form(&form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = answer["access_token"].as_str().unwrap().to_owned();
    assert!(is_marked(&token), "it can be searched for");
    token
}

/// Settings with two callers.
fn callers() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let entries = [
        entry("an-operator", "role = \"operator\""),
        entry("a-reader", "role = \"reader\""),
    ];
    std::fs::write(file.path(), entries.concat()).unwrap();
    file
}

impl Witnessed {
    /// Requests of every kind.
    async fn ask_for_everything(&mut self) {
        let receipt = self
            .client
            .post(format!("{}?channel=sms", self.base))
            .by("an-operator")
            .body(noise(1000, 2))
            .send()
            .await;
        let receipt = receipt.unwrap();
        let location = receipt.headers().get("location").map(|path| {
            path.to_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        });
        self.answers += &receipt.text().await.unwrap();
        let asset = format!("{}/{}", self.base, location.as_deref().unwrap_or("unknown"));
        let client = self.client.clone();
        let large = client
            .post(format!("{}?channel=sms&name=b.bin", self.base))
            .by("an-operator")
            .body(noise(300_000, 3));
        let content = client.get(format!("{asset}/content")).by("a-reader");
        let metadata = client
            .get(&asset)
            .header("cache-control", "no-cache")
            .by("a-reader");
        let (large, content, metadata) =
            tokio::join!(large.send(), content.send(), metadata.send());
        for answer in [large, content, metadata].map(Result::unwrap) {
            // A file has whatever is in it, and metadata have the one URL that is given out.
            if !answer.status().is_success() {
                self.answers += &answer.text().await.unwrap();
            }
        }
        self.note(client.delete(&asset).by("an-operator")).await;
    }

    /// Keys that don't fit, in every place that a caller may put one.
    async fn ask_with_wrong_keys(&mut self) {
        let client = self.client.clone();
        let (good, wrong) = (key("an-operator"), key("nobody"));
        for value in [
            format!("Bearer {wrong}"),
            format!("Basic {good}"),
            good.clone(),
            format!("Bearer  {good} {good}"),
        ] {
            let upload = client
                .post(format!("{}?channel=sms", self.base))
                .header("authorization", value)
                .body("text");
            assert_eq!(self.note(upload).await, StatusCode::UNAUTHORIZED);
        }
        let upload = client
            .post(format!("{}?channel=sms", self.base))
            .by("a-reader")
            .body("text");
        assert_eq!(self.note(upload).await, StatusCode::FORBIDDEN);
        let long = client
            .get(&self.base)
            .by("an-operator")
            .header("x-long", "a".repeat(17_000));
        assert_eq!(self.note(long).await.as_u16(), 431);
        let elsewhere = client.get(format!("{}/a%20b", self.base)).by("an-operator");
        assert_eq!(self.note(elsewhere).await, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn no_fault_leaks_a_key_token_or_signature() {
    let sandbox = Sandbox::start(SandboxConfig {
        client_secret: SECRET.into(),
        ..SandboxConfig::default()
    })
    .unwrap();
    let file = callers();
    let soon = "200ms";
    let more = [
        ("AUTH__MODE", "keys"),
        ("EGAIN__REQUEST_TIMEOUT", soon),
        ("EGAIN__TRANSFER_IDLE_TIMEOUT", soon),
        ("EGAIN__BUDGET_WAIT", soon),
        ("SERVER__SHUTDOWN_GRACE", soon),
    ];
    let arguments = ["serve", "--config", file.path().to_str().unwrap()];
    let token = known_token(&sandbox).await;
    let mut met = 0;
    for fault in faults(SandboxOperation::Token, "") {
        sandbox.fault(fault);
        let mut witnessed = Witnessed::start_with(&sandbox, &arguments, &more).await;
        witnessed.ask_for_everything().await;
        met += sandbox.stats().operations[&SandboxOperation::Token].faulted;
        sandbox.reset();
    }
    assert!(met >= 12, "{met} sign-ins met a fault");
    sandbox.fault(Fault::at(SandboxOperation::Token).field("access_token", token.clone()));
    let mut witnessed = Witnessed::start_with(&sandbox, &arguments, &more).await;
    witnessed.ask_with_wrong_keys().await;
    for at in &SandboxOperation::ALL[1..] {
        for fault in faults(*at, &token) {
            sandbox.fault(fault);
            witnessed.ask_for_everything().await;
            met += sandbox.stats().operations[at].faulted;
            sandbox.reset();
        }
    }
    assert!(met > 60, "{met} faults were met");
    let client = witnessed.client.clone();
    for path in ["metrics", "readyz", "livez", "orphans"] {
        witnessed
            .note(client.get(format!("{}/{path}", witnessed.admin)))
            .await;
    }
    witnessed.gateway.signal("TERM");
    witnessed.gateway.ending().await;
    let mut variables = settings(&sandbox);
    variables.extend(owned(&more));
    let (_, out, err) = run(
        &["config", "--config", file.path().to_str().unwrap()],
        &variables,
    );
    assert!(out.contains("[hidden]"), "{out}{err}");

    let log = witnessed.gateway.said();
    assert!(
        log.contains("an-operator") && log.contains("a-reader"),
        "callers are known by their ids"
    );
    search("the settings", &out);
    assert!(
        witnessed
            .answers
            .contains("[hidden] at https://storage.example.com/x?[hidden]"),
        "it was quoted"
    );
}
