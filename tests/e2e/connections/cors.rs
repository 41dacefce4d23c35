//! Web pages that call, as browsers tell of them.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::header::{CONTENT_TYPE, HeaderMap, VARY};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::operations::callers::keys;
use crate::support::client::RequestBuilder;
use crate::support::gateway::{TestGateway, form, problem, receipt};

const PAGE: &str = "https://app.example.com";
const UPLOAD: &str = "/v1/assets?channel=sms&name=a.txt";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

fn with(request: RequestBuilder, headers: &[(&str, &str)]) -> RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    })
}

/// What `fetch(url, {method: "POST", body: form})` sends without asking first.
fn simple_form(gateway: &TestGateway) -> RequestBuilder {
    let (content_type, body) = form(&[("channel", "sms")], "a.txt", b"text", "");
    gateway
        .post("/v1/assets")
        .header(CONTENT_TYPE, content_type)
        .body(body)
}

async fn preflight(gateway: &TestGateway, path: &str, origin: &str) -> Response {
    let asked = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    with(
        gateway.client.request(Method::OPTIONS, gateway.url(path)),
        &asked,
    )
    .send()
    .await
    .unwrap()
}

fn told<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_foreign_page_stores_and_reads_nothing() {
    let gateway = TestGateway::builder()
        .settings(&[("server.cors_origins", PAGE)])
        .start()
        .await;
    let stored = gateway.upload("a.txt", b"text".to_vec()).await;
    let content = format!("/v1/assets/{}/content", stored["id"].as_str().unwrap());
    let calls = gateway.sandbox.stats().calls(SandboxOperation::CreateAsset);
    for page in [
        &[("origin", "https://evil.example.com")][..],
        &[("origin", "null")],
        &[
            ("origin", "http://127.0.0.1:1"),
            ("sec-fetch-site", "same-site"),
        ],
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
        ],
    ] {
        for request in [
            simple_form(&gateway),
            gateway.post(UPLOAD).body("text"),
            gateway.get(&content),
        ] {
            let refused = with(request, page).send().await.unwrap();
            assert_eq!(refused.headers().get(ALLOW_ORIGIN), None);
            assert_eq!(
                problem(refused).await,
                (
                    403,
                    "forbidden".into(),
                    "caller".into(),
                    "admit".into(),
                    false
                ),
                "{page:?}"
            );
        }
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        calls
    );
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::GetAsset), 0);
}

#[tokio::test]
async fn programs_and_the_gateways_own_pages_call_as_before() {
    let gateway = TestGateway::start().await;
    let own = format!("http://{}", gateway.addr);
    for page in [
        &[][..],
        &[("origin", own.as_str())],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
    ] {
        let answer = with(simple_form(&gateway), page).send().await.unwrap();
        assert!(
            !answer.headers().contains_key(ALLOW_ORIGIN) && !answer.headers().contains_key(VARY)
        );
        receipt(answer).await;
    }
    assert_eq!(
        preflight(&gateway, "/v1/assets", &own).await.status(),
        StatusCode::METHOD_NOT_ALLOWED,
        "nobody asks that"
    );
}

#[tokio::test]
async fn a_trusted_proxys_scheme_decides_the_pages_own_origin() {
    let gateway = TestGateway::builder()
        .settings(&[("server.trusted_proxies", "127.0.0.1")])
        .start()
        .await;
    let own = format!("https://{}", gateway.addr);
    let ask = |proto| {
        with(
            simple_form(&gateway),
            &[("origin", &own), ("x-forwarded-proto", proto)],
        )
        .send()
    };
    receipt(ask("https").await.unwrap()).await;
    assert_eq!(ask("http").await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_link_elsewhere_opens_a_file_but_stores_none() {
    let gateway = TestGateway::start().await;
    let stored = gateway.upload("a.txt", b"text".to_vec()).await;
    let content = format!("/v1/assets/{}/content", stored["id"].as_str().unwrap());
    let followed = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    assert_eq!(
        with(gateway.get(&content), &followed)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "text"
    );
    assert_eq!(
        with(simple_form(&gateway), &followed)
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::FORBIDDEN,
        "a form that is sent"
    );
    let framed = [followed[0], followed[1], ("sec-fetch-dest", "iframe")];
    assert_eq!(
        with(gateway.get(&content), &framed)
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_listed_page_preflights_without_key_and_reads_responses() {
    let gateway = TestGateway::builder()
        .file(&keys())
        .settings(&[("auth.mode", "keys"), ("server.cors_origins", PAGE)])
        .start()
        .await;
    let asked = preflight(&gateway, UPLOAD, PAGE).await;
    assert_eq!(asked.status(), StatusCode::NO_CONTENT);
    let headers = asked.headers();
    assert_eq!(
        (
            told(headers, ALLOW_ORIGIN),
            told(headers, "access-control-allow-methods")
        ),
        (Some(PAGE), Some("POST"))
    );
    assert!(
        told(headers, "access-control-allow-headers")
            .unwrap()
            .split(", ")
            .any(|name| name == "authorization")
    );
    let methods = |answer: &Response| {
        told(answer.headers(), "access-control-allow-methods")
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        methods(&preflight(&gateway, "/v1/assets/a1", PAGE).await),
        "GET, HEAD, DELETE"
    );
    for (id, status) in [("adapter", 201), ("nobody", 401), ("reader", 403)] {
        let answer = gateway
            .post(UPLOAD)
            .by(id)
            .header("origin", PAGE)
            .body("text")
            .send()
            .await
            .unwrap();
        assert_eq!(
            (
                answer.status().as_u16(),
                told(answer.headers(), ALLOW_ORIGIN)
            ),
            (status, Some(PAGE)),
            "{id}"
        );
        assert_eq!(told(answer.headers(), "vary"), Some("origin"));
        let exposed = told(answer.headers(), "access-control-expose-headers").unwrap();
        for name in [
            "location",
            "x-request-id",
            "retry-after",
            "server-timing",
            "content-range",
            "etag",
        ] {
            assert!(exposed.split(", ").any(|exposed| exposed == name), "{name}");
        }
    }
    let refused = preflight(&gateway, UPLOAD, "https://evil.example.com").await;
    assert!(
        refused.status() == StatusCode::FORBIDDEN && !refused.headers().contains_key(ALLOW_ORIGIN)
    );
    let plain = gateway
        .get("/v1/assets/unknown")
        .by("reader")
        .send()
        .await
        .unwrap();
    assert_eq!(
        told(plain.headers(), "vary"),
        Some("origin"),
        "a cache keeps nothing that another page may not have"
    );
}

#[tokio::test]
async fn every_page_may_call_where_all_are_listed() {
    let gateway = TestGateway::builder()
        .settings(&[("server.cors_origins", "*")])
        .start()
        .await;
    for page in ["null", "https://evil.example.com"] {
        let answer = simple_form(&gateway)
            .header("origin", page)
            .send()
            .await
            .unwrap();
        assert_eq!(told(answer.headers(), ALLOW_ORIGIN), Some("*"));
        let receipt: Value = receipt(answer).await;
        assert_eq!(receipt["channel"], "sms");
    }
}
