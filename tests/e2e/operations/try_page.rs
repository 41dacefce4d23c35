//! The try-it page: what `dev` serves beside the API, and `serve` never does.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use reqwest::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, ORIGIN,
};
use serde_json::{Value, json};

use crate::support::binary::{Running, program};
use crate::support::client::Client;
use crate::support::gateway::{TestGateway, noise, receipt};

/// What the page asks for beside its files.
const DATA: [&str; 2] = ["/_try/metrics", "/_try/sandbox"];
const FAULTS: &str = "/_try/faults";

/// `dev` on free ports.
struct DevProgram {
    base: String,
    client: Client,
    _running: Running,
}

impl DevProgram {
    async fn start() -> Self {
        let free = "127.0.0.1:0";
        let running = Running::start(program(
            &[
                "dev",
                "--listen",
                free,
                "--admin-listen",
                free,
                "--sandbox-listen",
                free,
            ],
            &[],
        ));
        let base = running
            .line(|line| {
                let address = line.strip_prefix("gateway ")?.split_whitespace().next()?;
                Some(address.to_owned())
            })
            .await;
        running
            .line(|line| line.starts_with("Ctrl-C").then_some(()))
            .await;
        Self {
            base,
            client: Client::with(|builder| builder),
            _running: running,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn text(&self, path: &str) -> String {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.text().await.unwrap()
    }

    async fn seen(&self) -> Value {
        serde_json::from_str(&self.text("/_try/sandbox").await).unwrap()
    }

    /// The page and all files that it refers to, or that these do.
    async fn files(&self) -> BTreeSet<String> {
        let (mut known, mut open) = (BTreeSet::new(), vec!["/".to_owned()]);
        while let Some(path) = open.pop() {
            if known.insert(path.clone()) {
                open.extend(referred(&self.text(&path).await));
            }
        }
        known
    }
}

/// What a text refers to: `"/_try/…"` in the page, and `"./…"` in an import.
fn referred(text: &str) -> Vec<String> {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted
        .filter_map(|text| match text.strip_prefix("./") {
            Some(name) => Some(format!("/_try/{name}")),
            None => text.starts_with("/_try/").then(|| text.to_owned()),
        })
        .filter(|path| path.ends_with(".js") || path.ends_with(".css") || path.ends_with(".svg"))
        .collect()
}

#[tokio::test]
async fn each_page_file_has_type_policy_and_validator() {
    let dev = DevProgram::start().await;
    let files = dev.files().await;
    assert!(files.len() > 10, "{files:?}");
    for path in files {
        let response = dev.client.get(dev.url(&path)).send().await.unwrap();
        let headers = response.headers().clone();
        let header = |name| headers[name].to_str().unwrap().to_owned();
        let expected = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(header(CONTENT_TYPE), expected, "{path}");
        assert_eq!(header(CACHE_CONTROL), "no-cache", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = header(CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        let again = dev
            .client
            .get(dev.url(&path))
            .header(IF_NONE_MATCH, header(ETAG))
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert!(again.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_page_has_no_inline_script_or_style() {
    let dev = DevProgram::start().await;
    let page = dev.text("/").await;
    assert!(!page.contains("<style") && !page.contains(" style="));
    for script in page.split("<script").skip(1) {
        assert!(script.contains("src=") && script.contains("></script>"));
    }
    for path in dev.files().await {
        let text = dev.text(&path).await;
        assert!(
            !text.contains("innerHTML") && !text.contains("eval("),
            "{path}"
        );
        assert!(!text.contains("https://"), "{path} needs the internet");
    }
}

#[tokio::test]
async fn serve_has_nothing_of_the_page() {
    let gateway = TestGateway::start().await;
    for path in ["/", "/_try/app.js", "/_try/style.css"]
        .into_iter()
        .chain(DATA)
    {
        let response = gateway.get(path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let set = gateway.post(FAULTS).body(r#"{"at": "upload"}"#).send();
    assert_eq!(set.await.unwrap().status(), StatusCode::NOT_FOUND);
    assert!(gateway.sandbox.stats().faults.is_empty());
}

#[tokio::test]
async fn a_fault_set_by_the_page_is_met() {
    let dev = DevProgram::start().await;
    let rejected = json!({"at": "create_asset", "times": 1, "status": 400,
        "body": {"code": "400-765", "developerMessage": "no"}});
    let set = dev.client.post(dev.url(FAULTS)).body(rejected.to_string());
    assert_eq!(set.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(dev.seen().await["faults"], json!([rejected]));
    let upload = || {
        dev.client
            .post(dev.url("/v1/assets?channel=sms&name=a.bin"))
            .body(noise(1000, 1))
            .send()
    };
    let refused = upload().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let stored = receipt(upload().await.unwrap()).await;
    let seen = dev.seen().await;
    assert_eq!(seen["faults"], json!([]));
    let calls = seen["recent"].as_array().unwrap();
    let [.., met, created, sent] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(
        (&met["status"], &met["faulted"]),
        (&json!(400), &json!(true))
    );
    for (call, operation) in [(created, "create_asset"), (sent, "upload")] {
        assert_eq!(call["operation"], operation);
        assert_eq!(
            (&call["id"], &call["faulted"]),
            (&stored["id"], &json!(false))
        );
    }
}

#[tokio::test]
async fn faults_are_cleared_without_forgetting_assets() {
    let dev = DevProgram::start().await;
    let set = dev
        .client
        .post(dev.url(FAULTS))
        .body(r#"[{"at": "upload", "status": 403}]"#);
    assert_eq!(set.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let clear = dev.client.delete(dev.url(FAULTS)).send().await.unwrap();
    assert_eq!(clear.status(), StatusCode::NO_CONTENT);
    let seen = dev.seen().await;
    assert_eq!(seen["faults"], json!([]));
    assert!(!seen["assets"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_malformed_fault_is_refused_by_its_name() {
    let dev = DevProgram::start().await;
    for (body, said) in [(r#"{"at": "uplaod"}"#, "uplaod"), ("{", "EOF")] {
        let refused = dev.client.post(dev.url(FAULTS)).body(body).send().await;
        let refused = refused.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let problem: Value = refused.json().await.unwrap();
        assert!(
            problem["detail"].as_str().unwrap().contains(said),
            "{problem}"
        );
    }
    let long = dev.client.post(dev.url(FAULTS)).body(vec![b' '; 70_000]);
    let refused = long.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn other_pages_read_no_metrics_and_set_no_faults() {
    let dev = DevProgram::start().await;
    let foreign = |request: crate::support::client::RequestBuilder| {
        request.header(ORIGIN, "https://evil.test").send()
    };
    for path in DATA {
        let refused = foreign(dev.client.get(dev.url(path))).await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let set = foreign(dev.client.post(dev.url(FAULTS)).body(r#"{"at": "upload"}"#));
    assert_eq!(set.await.unwrap().status(), StatusCode::FORBIDDEN);
    assert!(
        dev.text("/_try/metrics")
            .await
            .contains("asset_gateway_build_info")
    );
    assert_eq!(dev.seen().await["faults"], json!([]));
}
