//! No secret ever comes out: not in a log of the finest grain, not in an error, not in a metric.

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::Config;
use asset_gateway::sandbox::faults::{Fault, Operation};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::binary::{Running, owned, program, settings};
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
        let mut variables = settings(sandbox);
        variables.extend(owned(&[("LOG__FILTER", FINEST)]));
        let gateway = Running::start(program(&["serve"], &variables));
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
