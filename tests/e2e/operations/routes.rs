//! What is a route and what isn't, and what every answer carries.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::{Method, StatusCode, Version};
use serde_json::Value;

use crate::support::client::Client;
use crate::support::gateway::{TestGateway, noise, problem};
use crate::support::raw_client::{Wire, ask};

#[tokio::test]
async fn a_malformed_id_is_not_found_without_a_call() {
    let gateway = TestGateway::start().await;
    let long = "a".repeat(256);
    for id in [
        "..",
        ".",
        "%2e%2e",
        "..%2f..%2fetc",
        "a%2Fb",
        "a%00",
        "%C3%A9",
        "a%20b",
        "a;b",
        "a\\b",
        "",
        &long,
    ] {
        for line in [
            format!("GET /v1/assets/{id}"),
            format!("GET /v1/assets/{id}/content"),
            format!("DELETE /v1/assets/{id}"),
        ] {
            let answer = ask(gateway.addr, &line, "").await;
            assert!(
                answer.starts_with("HTTP/1.1 404 ") && answer.contains("\"code\":\"not-found\""),
                "{line}: {answer}"
            );
        }
    }
    let stats = gateway.sandbox.stats();
    assert_eq!(
        (
            stats.calls(SandboxOperation::GetAsset),
            stats.calls(SandboxOperation::DeleteAsset)
        ),
        (0, 0)
    );
    ask(
        gateway.addr,
        &format!("GET /v1/assets/{}", "a".repeat(255)),
        "",
    )
    .await;
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::GetAsset),
        1,
        "this one could be"
    );
}

#[tokio::test]
async fn another_method_is_told_which_ones_there_are() {
    let gateway = TestGateway::start().await;
    for (method, path, allow) in [
        (Method::GET, "/v1/assets", "POST"),
        (Method::PUT, "/v1/assets/a", "GET, HEAD, DELETE"),
        (Method::POST, "/v1/assets/a", "GET, HEAD, DELETE"),
        (Method::DELETE, "/v1/assets/a/content", "GET, HEAD"),
        (Method::OPTIONS, "/v1/assets/a/content", "GET, HEAD"),
    ] {
        let answer = gateway
            .client
            .request(method.clone(), gateway.url(path))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.headers()["allow"], allow, "{method} {path}");
        assert_eq!(
            problem(answer).await,
            (
                405,
                "method-not-allowed".into(),
                "caller".into(),
                "admit".into(),
                false
            )
        );
    }
}

#[tokio::test]
async fn what_is_no_route_isnt_found() {
    let gateway = TestGateway::start().await;
    for path in [
        "/",
        "/v1",
        "/v1/assets/",
        "/v2/assets/a",
        "/v1/assets/a/",
        "/v1/assets/a/content/",
        "/V1/assets/a",
    ] {
        let answer = gateway.get(path).send().await.unwrap();
        assert_eq!(
            problem(answer).await,
            (
                404,
                "not-found".into(),
                "caller".into(),
                "admit".into(),
                false
            ),
            "{path}"
        );
    }
}

#[tokio::test]
async fn headers_up_to_sixteen_kib_pass_in_both_protocols() {
    let gateway = TestGateway::start().await;
    let http2 = Client::with(|builder| builder.http2_prior_knowledge());
    for (client, version) in [
        (&gateway.client, Version::HTTP_11),
        (&http2, Version::HTTP_2),
    ] {
        for (length, expected) in [(15_000, 404), (17_000, 431), (40_000, 431)] {
            let request = client
                .get(gateway.url("/v1/assets/unknown"))
                .header("x-long", "a".repeat(length));
            let answer = request.send().await.unwrap();
            assert_eq!(
                (answer.version(), answer.status().as_u16()),
                (version, expected),
                "{length} bytes"
            );
            let code = if expected == 431 {
                "headers-too-large"
            } else {
                "not-found"
            };
            assert_eq!(problem(answer).await.1, code);
        }
    }
    let line = format!("GET /v1/assets/{}", "a".repeat(17_000));
    assert!(
        ask(gateway.addr, &line, "")
            .await
            .contains("headers-too-large"),
        "the target counts, too"
    );
    let narrow = TestGateway::builder()
        .settings(&[("server.read_buffer", "16KiB")])
        .start()
        .await;
    let answer = narrow
        .get("/v1/assets/unknown")
        .header("x-long", "a".repeat(30_000))
        .send()
        .await
        .unwrap();
    assert_eq!(
        problem(answer).await.1,
        "headers-too-large",
        "also where the least is read ahead"
    );
}

#[tokio::test]
async fn every_response_and_problem_has_the_request_id() {
    let gateway = TestGateway::start().await;
    let id = gateway.upload("a.bin", noise(10, 1)).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let paths = [
        format!("/v1/assets/{id}"),
        format!("/v1/assets/{id}/content"),
        "/nowhere".into(),
        "/v1/assets/unknown".into(),
    ];
    for path in &paths {
        let kept = gateway
            .get(path)
            .header("x-request-id", "mine-1.2_3")
            .send()
            .await
            .unwrap();
        assert_eq!(kept.headers()["x-request-id"], "mine-1.2_3");
        for bad in ["", "no spaces", "a\"b", &"a".repeat(129)] {
            let replaced = gateway
                .get(path)
                .header("x-request-id", bad)
                .send()
                .await
                .unwrap();
            let name = replaced.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned();
            assert_eq!(name.len(), 36, "{bad}");
            if replaced.status() == StatusCode::NOT_FOUND {
                assert_eq!(replaced.json::<Value>().await.unwrap()["requestId"], name);
            }
        }
    }
    let deleted = gateway
        .client
        .delete(gateway.url(&paths[0]))
        .send()
        .await
        .unwrap();
    assert!(deleted.headers().contains_key("x-request-id"));
}

#[tokio::test]
async fn a_problem_is_a_whole_document() {
    let gateway = TestGateway::start().await;
    let text = gateway
        .get("/v1/assets/unknown")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    for field in [
        "type",
        "title",
        "status",
        "detail",
        "code",
        "requestId",
        "blame",
        "stage",
        "retryable",
    ] {
        assert!(!document[field].is_null(), "{field}");
    }
    assert_eq!(document["upstream"]["code"], "404-101");
}

#[tokio::test]
async fn a_problem_says_what_to_do_before_anything_else() {
    let gateway = TestGateway::start().await;
    let refused = [
        gateway.get("/v1/assets/unknown"),
        gateway.get("/nowhere"),
        gateway.post("/v1/assets"),
        gateway.post("/v1/assets/x"),
    ];
    for request in refused {
        let text = request.send().await.unwrap().text().await.unwrap();
        let at = |member: &str| text.find(&format!("\"{member}\":")).unwrap();
        let order = ["title", "detail", "status", "code", "type", "requestId"].map(at);
        assert!(order.is_sorted() && order[0] == 1, "{text}");
    }
}

#[tokio::test]
async fn a_request_that_others_might_read_otherwise_is_refused() {
    let gateway = TestGateway::start().await;
    for headers in [
        "host: a\r\nhost: b\r\n",
        "",
        "host: a\r\ntransfer-encoding: gzip, chunked\r\n",
    ] {
        let mut wire = Wire::to(gateway.addr).await;
        wire.send(format!("GET /v1/assets/unknown HTTP/1.1\r\n{headers}\r\n"))
            .await;
        let head = wire.head().await;
        assert!(
            head.starts_with("http/1.1 400 ") && head.contains("problem+json"),
            "{headers}: {head}"
        );
    }
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::GetAsset), 0);
}
