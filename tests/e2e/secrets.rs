//! No secret ever comes out: not in a log of the finest grain, not in an error, not in a metric.

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::Config;
use asset_gateway::sandbox::faults::{Fault, Operation};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::binary::{Running, owned, program, run, settings};
use crate::house::{noise, receipt};

const SECRET: &str = "the-secret-of-the-client-1234";
const TOKEN: &str = "an-access-token-that-nobody-may-see";

/// Everything, also what libraries say below the gateway.
const FINEST: &str = "trace,hyper=trace,hyper_util=trace,h2=trace,reqwest=trace,rustls=trace,tokio=trace,hyper::proto=trace";

struct Witnessed {
    gateway: Running,
    base: String,
    admin: String,
    client: Client,
    /// All that was answered where no secret has a place.
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
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let (base, admin) = (format!("http://{addr}/v1/assets"), format!("http://{admin}"));
        Self { gateway, base, admin, client, answers: String::new() }
    }

    async fn upload(&self) -> reqwest::Response {
        self.client.post(format!("{}?channel=sms&name=a.bin", self.base)).body(noise(1000, 1)).send().await.unwrap()
    }

    async fn note(&mut self, request: reqwest::RequestBuilder) -> StatusCode {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        self.answers += &format!("{headers:?}\n{}\n", answer.text().await.unwrap());
        status
    }
}

#[tokio::test]
async fn no_secret_comes_out_whatever_happens() {
    let sandbox = Sandbox::start(Config { client_secret: SECRET.into(), ..Config::default() }).unwrap();
    let mut witnessed = Witnessed::start(&sandbox).await;
    let stored = receipt(witnessed.upload().await).await;
    let asset = format!("{}/{}", witnessed.base, stored["id"].as_str().unwrap());
    let metadata: Value = witnessed.client.get(&asset).send().await.unwrap().json().await.unwrap();
    let url = metadata["contentUrl"].as_str().unwrap().to_owned();
    let signature = url.split_once('?').unwrap().1.rsplit('.').next().unwrap().to_owned();
    assert!(signature.len() > 20, "{url}");

    let client = witnessed.client.clone();
    let content = || client.get(format!("{asset}/content"));
    assert_eq!(content().send().await.unwrap().bytes().await.unwrap().len(), 1000);
    let quoting = format!("<Error>{url}</Error>");
    for fault in [
        Fault::at(Operation::Download).status(StatusCode::FORBIDDEN).body(quoting.clone()).times(2),
        Fault::at(Operation::Download).status(StatusCode::BAD_REQUEST).body(quoting.clone()).once(),
        Fault::at(Operation::Download).close().once(),
    ] {
        sandbox.fault(fault);
        assert_eq!(witnessed.note(content()).await, StatusCode::BAD_GATEWAY);
    }
    sandbox.fault(Fault::at(Operation::Upload).status(StatusCode::FORBIDDEN).body(quoting).times(2));
    let failed = witnessed.upload().await;
    assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);
    witnessed.answers += &failed.text().await.unwrap();

    // A token that eGain refuses and quotes, and a sign-in that does the same with the secret.
    sandbox.fault(Fault::at(Operation::Token).status(StatusCode::OK).body(json!({"access_token": TOKEN})).once());
    let quoting = json!({"error": "invalid_client", "error_description": format!("no client with the secret {SECRET}")});
    sandbox.fault(Fault::at(Operation::Token).status(StatusCode::UNAUTHORIZED).body(quoting));
    let quoting = json!({"code": "403-197", "developerMessage": format!("{TOKEN} lacks a scope")});
    sandbox.fault(Fault::at(Operation::GetAsset).status(StatusCode::UNAUTHORIZED).once());
    sandbox.fault(Fault::at(Operation::GetAsset).status(StatusCode::FORBIDDEN).body(quoting).once());
    for id in ["unknown-1", "unknown-2"] {
        let request = witnessed.client.get(format!("{}/{id}", witnessed.base));
        assert_eq!(witnessed.note(request).await, StatusCode::BAD_GATEWAY);
    }
    for path in ["metrics", "readyz", "orphans"] {
        witnessed.note(client.get(format!("{}/{path}", witnessed.admin))).await;
    }
    witnessed.gateway.signal("TERM");
    assert_eq!(witnessed.gateway.ending().await.code(), Some(0));

    let log = witnessed.gateway.said();
    assert!(log.contains("\"target\":\"hyper") && log.contains("\"level\":\"TRACE\""), "libraries were heard, too");
    for secret in [SECRET, TOKEN, &signature, url.split_once('?').unwrap().1] {
        for (place, text) in [("the log", &log), ("an answer", &witnessed.answers)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in {place}: {}", line.unwrap_or_default());
        }
    }
    assert!(!log.contains("signature="), "nor any other signature");
    assert!(witnessed.answers.contains("[hidden] lacks a scope") && witnessed.answers.contains("with the secret [hidden]"));
}

const KEY: &str = "agw_the-key-of-an-operator-5678";
const READERS_KEY: &str = "agw_the-key-of-a-reader-1357";
const WRONG_KEY: &str = "agw_a-key-that-nobody-knows-9999";
const SIGNATURE: &str = "a-signature-that-was-planted-2468";

/// Faults of every kind that an operation can have, each quoting what it shouldn't.
fn faults(at: Operation, token: &str) -> Vec<Fault> {
    // Nobody quotes what nobody has sent there.
    let token = if at == Operation::Token { "" } else { token };
    let url = format!("https://storage.example.com/x?signature={SIGNATURE}");
    let text = format!("<p>{token} {SECRET} <a href='{url}'>{url}</a>");
    let json =
        json!({"code": "400-143", "developerMessage": format!("{token} at {url}"), "error": "x", "error_description": text});
    let fault = || Fault::at(at);
    let status = |status| fault().status(status).body(json.clone());
    vec![
        status(StatusCode::UNAUTHORIZED).times(2),
        status(StatusCode::FORBIDDEN).times(2),
        status(StatusCode::BAD_REQUEST).once(),
        status(StatusCode::CONFLICT).once(),
        status(StatusCode::OK).once(),
        fault().status(StatusCode::INTERNAL_SERVER_ERROR).body(text.clone()).times(3),
        fault().status(StatusCode::OK).body(text).once(),
        fault().field("contentUrl", url).once(),
        fault().field("id", "../x").once(),
        fault().cut_after(100).once(),
        fault().close().once(),
        fault().stall().once(),
    ]
}

/// A token that is good and that this test knows, too.
async fn known_token(sandbox: &Sandbox, client: &Client) -> String {
    let credentials = [("client_id", sandbox.client_id()), ("client_secret", SECRET)];
    let grant = [("grant_type", "client_credentials"), ("scope", "https://api.egain.cloud/auth/.default")];
    let form = credentials.iter().chain(&grant).collect::<Vec<_>>();
    let answer: Value = client.post(sandbox.token_url()).form(&form).send().await.unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

/// Settings with two callers.
fn callers() -> tempfile::NamedTempFile {
    use sha2::{Digest, Sha256};
    let entry = |id: &str, key: &str, role: &str| {
        let sum: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[auth.keys]]\nid = \"{id}\"\nsha256 = \"{sum}\"\nrole = \"{role}\"\n")
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), entry("an-operator", KEY, "operator") + &entry("a-reader", READERS_KEY, "reader")).unwrap();
    file
}

impl Witnessed {
    /// Requests of every kind.
    async fn ask_for_everything(&mut self) {
        let receipt = self.client.post(format!("{}?channel=sms", self.base)).bearer_auth(KEY).body(noise(1000, 2)).send().await;
        let receipt = receipt.unwrap();
        let location =
            receipt.headers().get("location").map(|path| path.to_str().unwrap().rsplit('/').next().unwrap().to_owned());
        self.answers += &format!("{:?}\n{}\n", receipt.headers().clone(), receipt.text().await.unwrap());
        let asset = format!("{}/{}", self.base, location.as_deref().unwrap_or("unknown"));
        let client = self.client.clone();
        let large = client.post(format!("{}?channel=sms&name=b.bin", self.base)).bearer_auth(KEY).body(noise(300_000, 3));
        let content = client.get(format!("{asset}/content")).bearer_auth(READERS_KEY);
        let metadata = client.get(&asset).header("cache-control", "no-cache").bearer_auth(READERS_KEY);
        let (large, content, metadata) = tokio::join!(large.send(), content.send(), metadata.send());
        for answer in [large, content, metadata].map(Result::unwrap) {
            self.answers += &format!("{:?}\n", answer.headers());
            // A file has whatever is in it, and metadata have the one URL that is given out.
            if !answer.status().is_success() {
                self.answers += &answer.text().await.unwrap();
            }
        }
        self.note(client.delete(&asset).bearer_auth(KEY)).await;
    }

    /// Keys that don't fit, in every place that a caller may put one.
    async fn ask_with_wrong_keys(&mut self) {
        let client = self.client.clone();
        for value in [format!("Bearer {WRONG_KEY}"), format!("Basic {KEY}"), KEY.to_owned(), format!("Bearer  {KEY} {KEY}")] {
            let upload = client.post(format!("{}?channel=sms", self.base)).header("authorization", value).body("text");
            assert_eq!(self.note(upload).await, StatusCode::UNAUTHORIZED);
        }
        let upload = client.post(format!("{}?channel=sms", self.base)).bearer_auth(READERS_KEY).body("text");
        assert_eq!(self.note(upload).await, StatusCode::FORBIDDEN);
        let long = client.get(&self.base).bearer_auth(KEY).header("x-long", "a".repeat(17_000));
        assert_eq!(self.note(long).await.as_u16(), 431);
        let elsewhere = client.get(format!("{}/a%20b", self.base)).bearer_auth(KEY);
        assert_eq!(self.note(elsewhere).await, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn no_key_token_or_signature_comes_out_of_any_fault() {
    let sandbox = Sandbox::start(Config { client_secret: SECRET.into(), ..Config::default() }).unwrap();
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
    let mut witnessed = Witnessed::start_with(&sandbox, &arguments, &more).await;
    let token = known_token(&sandbox, &witnessed.client).await;
    let tell_token = || Fault::at(Operation::Token).field("access_token", token.clone());

    witnessed.ask_with_wrong_keys().await;
    let mut met = 0;
    for at in Operation::ALL {
        for fault in faults(*at, &token) {
            // Whatever was learnt of the last token is over.
            let renew = Fault::at(Operation::CreateAsset).status(StatusCode::UNAUTHORIZED).once();
            [fault, tell_token(), renew].into_iter().for_each(|fault| sandbox.fault(fault));
            witnessed.ask_for_everything().await;
            met += sandbox.stats().operations[at].faulted;
            sandbox.reset();
        }
    }
    assert!(met > 60, "{met} faults were met");
    let client = witnessed.client.clone();
    for path in ["metrics", "readyz", "livez", "orphans"] {
        witnessed.note(client.get(format!("{}/{path}", witnessed.admin))).await;
    }
    witnessed.gateway.signal("TERM");
    witnessed.gateway.ending().await;
    let mut variables = settings(&sandbox);
    variables.extend(owned(&more));
    let (_, out, err) = run(&["config", "--config", file.path().to_str().unwrap()], &variables);
    assert!(out.contains("[hidden]"), "{out}{err}");

    let log = witnessed.gateway.said();
    assert!(log.contains("an-operator") && log.contains("a-reader"), "callers are known by their ids");
    // Every signed URL of the stand-in is a JWT, all of which begin alike.
    for secret in [SECRET, &token, KEY, READERS_KEY, WRONG_KEY, SIGNATURE, "signature=", "eyJ"] {
        for (place, text) in [("the log", &log), ("an answer", &witnessed.answers), ("the settings", &(out.clone() + &err))] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in {place}: {}", line.unwrap_or_default());
        }
    }
    assert!(witnessed.answers.contains("[hidden] at https://storage.example.com/x?[hidden]"), "it was quoted");
}
