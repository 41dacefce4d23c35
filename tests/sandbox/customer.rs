//! A customer of the stand-in, who knows how to ask for things properly.

use asset_gateway::sandbox::{Sandbox, config::SandboxConfig};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::{Value, json};

pub(crate) const SCOPE: &str = "https://api.egain.cloud/auth/.default";

pub(crate) struct Customer {
    pub sandbox: Sandbox,
    pub client: Client,
    pub token: String,
}

impl Customer {
    pub(crate) async fn new() -> Self {
        Self::of(SandboxConfig::default()).await
    }

    pub(crate) async fn of(config: SandboxConfig) -> Self {
        let sandbox = Sandbox::start(config).unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let mut customer = Self {
            sandbox,
            client,
            token: String::new(),
        };
        let answer = customer.ask_token(&[("scope", SCOPE)]).await;
        customer.token = json(answer).await["access_token"]
            .as_str()
            .unwrap()
            .to_owned();
        customer
    }

    /// Asks for a token with the right client and `more`.
    pub(crate) async fn ask_token(&self, more: &[(&str, &str)]) -> Response {
        let (id, secret) = (self.sandbox.client_id(), self.sandbox.client_secret());
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
        ];
        form.extend(more);
        self.client
            .post(self.sandbox.token_url())
            .form(&form)
            .send()
            .await
            .unwrap()
    }

    pub(crate) fn api(&self, path: &str) -> Url {
        format!("{}{path}", self.sandbox.base_url())
            .parse()
            .unwrap()
    }

    pub(crate) async fn declare(&self, body: Value) -> Response {
        self.client
            .post(self.api("/assets"))
            .bearer_auth(&self.token)
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    /// The id and the upload URL of a new asset.
    pub(crate) async fn create(&self, name: &str, size: usize) -> (String, Url) {
        let answer = json(self.declare(declaration(name, size)).await).await;
        (
            text(&answer, "id"),
            text(&answer, "contentUrl").parse().unwrap(),
        )
    }

    pub(crate) async fn get(&self, id: &str) -> Response {
        self.client
            .get(self.api(&format!("/assets/{id}")))
            .bearer_auth(&self.token)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn delete(&self, id: &str) -> Response {
        self.client
            .delete(self.api(&format!("/assets/{id}")))
            .bearer_auth(&self.token)
            .send()
            .await
            .unwrap()
    }

    /// An upload as it should be, of a text.
    pub(crate) fn upload(&self, url: &Url, content: &str) -> RequestBuilder {
        self.client
            .post(url.clone())
            .header("content-type", "text/plain")
            .body(content.to_owned())
    }

    /// The id and the download URL of an asset with this content.
    pub(crate) async fn store(&self, content: &str) -> (String, Url) {
        let (id, url) = self.create("note.txt", content.len()).await;
        assert_eq!(
            self.upload(&url, content).send().await.unwrap().status(),
            201
        );
        let asset = json(self.get(&id).await).await;
        (id, text(&asset, "contentUrl").parse().unwrap())
    }
}

pub(crate) fn declaration(name: &str, size: usize) -> Value {
    json!({"channel": {"type": "sms"}, "sender": {"type": "customer"}, "name": name, "size": size})
}

pub(crate) async fn json(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {value}"))
        .to_owned()
}

/// The status and eGain's code of a refusal.
pub(crate) async fn refusal(response: Response) -> (u16, String) {
    (
        response.status().as_u16(),
        text(&json(response).await, "code"),
    )
}
