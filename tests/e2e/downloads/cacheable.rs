//! An id's bytes never change: what a caller has already is neither asked for nor sent again.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::header::{
    CACHE_CONTROL, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use reqwest::{Method, Response, StatusCode};

use crate::downloads::content::stored;
use crate::support::fake_storage::Storage;
use crate::support::gateway::{TestGateway, problem};

const FILE: &[u8] = b"0123456789";

struct Shelf {
    gateway: TestGateway,
    path: String,
}

impl Shelf {
    async fn open() -> Self {
        Self::of(TestGateway::start().await).await
    }

    async fn of(gateway: TestGateway) -> Self {
        let path = stored(&gateway, "digits.txt", FILE.to_vec()).await;
        Self { gateway, path }
    }

    /// Storage has no validator of its own that is any good.
    async fn weak() -> Self {
        let shelf = Self::open().await;
        shelf.gateway.sandbox.fault(
            Fault::at(SandboxOperation::Download)
                .header(ETAG, HeaderValue::from_static("W/\"weak\"")),
        );
        shelf
    }

    async fn send(&self, method: Method, headers: &[(HeaderName, &str)]) -> Response {
        let request = self
            .gateway
            .client
            .request(method, self.gateway.url(&self.path));
        headers
            .iter()
            .fold(request, |request, (name, value)| {
                request.header(name, *value)
            })
            .send()
            .await
            .unwrap()
    }

    async fn get(&self, headers: &[(HeaderName, &str)]) -> Response {
        self.send(Method::GET, headers).await
    }

    fn own_tag(&self) -> String {
        format!("\"{}-10\"", self.path.split('/').nth(3).unwrap())
    }

    /// Calls of eGain and requests to storage.
    fn asked(&self) -> (u64, u64) {
        let stats = self.gateway.sandbox.stats();
        (
            stats.calls(SandboxOperation::GetAsset),
            stats.calls(SandboxOperation::Download),
        )
    }
}

fn validators(answer: &Response) -> [Option<HeaderValue>; 2] {
    [ETAG, LAST_MODIFIED].map(|name| answer.headers().get(name).cloned())
}

#[tokio::test]
async fn bytes_are_cacheable_for_the_configured_time() {
    for (setting, said) in [
        ("1h", "private, immutable, max-age=3600"),
        ("10m", "private, immutable, max-age=600"),
        ("8760h", "private, immutable, max-age=31536000"),
        ("0s", "private, no-cache"),
    ] {
        let shelf = Shelf::of(
            TestGateway::builder()
                .settings(&[("download.max_age", setting)])
                .start()
                .await,
        )
        .await;
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(shelf.send(method, &[]).await.headers()[CACHE_CONTROL], said);
        }
        let part = shelf.get(&[(RANGE, "bytes=0-3")]).await;
        assert_eq!(
            (part.status(), &part.headers()[CACHE_CONTROL]),
            (StatusCode::PARTIAL_CONTENT, &said.parse().unwrap())
        );
    }
}

#[tokio::test]
async fn get_and_head_have_equal_validators_in_any_order() {
    for methods in [[Method::GET, Method::HEAD], [Method::HEAD, Method::GET]] {
        for shelf in [Shelf::open().await, Shelf::weak().await] {
            let mut seen = Vec::new();
            for method in methods.iter().chain(&methods) {
                let answer = shelf.send(method.clone(), &[]).await;
                assert_eq!(
                    (answer.status(), &answer.headers()[CONTENT_LENGTH]),
                    (StatusCode::OK, &10.into())
                );
                seen.push(answer.headers()[ETAG].clone());
            }
            assert!(
                seen.iter().all(|tag| *tag == seen[0]) && seen[0].as_bytes().starts_with(b"\""),
                "{methods:?}: {seen:?}"
            );
        }
    }
    let shelf = Shelf::open().await;
    let whole = validators(&shelf.get(&[]).await);
    assert!(whole.iter().all(Option::is_some));
    assert_eq!(validators(&shelf.send(Method::HEAD, &[]).await), whole);
    assert_eq!(validators(&shelf.get(&[(RANGE, "bytes=2-4")]).await), whole);
}

#[tokio::test]
async fn storages_strong_validator_is_passed_on_and_another_replaced() {
    let shelf = Shelf::open().await;
    assert_ne!(shelf.get(&[]).await.headers()[ETAG], shelf.own_tag());
    let shelf = Shelf::weak().await;
    assert_eq!(shelf.get(&[]).await.headers()[ETAG], shelf.own_tag());
    let shelf = Shelf::open().await;
    shelf
        .gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Download).no_etag());
    assert_eq!(shelf.get(&[]).await.headers()[ETAG], shelf.own_tag());
}

#[tokio::test]
async fn a_conditional_get_needs_neither_egain_nor_storage() {
    for shelf in [Shelf::open().await, Shelf::weak().await] {
        let first = shelf.get(&[]).await;
        let (tag, asked) = (
            first.headers()[ETAG].to_str().unwrap().to_owned(),
            shelf.asked(),
        );
        let lists = [
            tag.clone(),
            format!("\"other\", {tag}"),
            format!("W/{tag}"),
            shelf.own_tag(),
        ];
        for list in &lists {
            for method in [Method::GET, Method::HEAD] {
                let conditions = [
                    (IF_NONE_MATCH, list.as_str()),
                    (RANGE, "bytes=0-3"),
                    (IF_MODIFIED_SINCE, "Thu, 01 Jan 1970 00:00:00 GMT"),
                ];
                let answer = shelf.send(method, &conditions).await;
                assert_eq!(
                    (answer.status(), validators(&answer)),
                    (StatusCode::NOT_MODIFIED, validators(&first)),
                    "{list}"
                );
                assert_eq!(
                    answer.headers()[CACHE_CONTROL],
                    "private, immutable, max-age=3600"
                );
                assert!(answer.bytes().await.unwrap().is_empty());
            }
        }
        assert_eq!(shelf.asked(), asked);
        let counted =
            "http_requests_total{method=\"GET\",route=\"/v1/assets/{id}/content\",status=\"304\"}";
        assert_eq!(shelf.gateway.metric(counted).await, 4.0);
    }
}

#[tokio::test]
async fn the_own_etag_gives_304_with_an_empty_cache() {
    let shelf = Shelf::open().await;
    let own = shelf.own_tag();
    assert_eq!(
        shelf.get(&[(IF_NONE_MATCH, &own)]).await.status(),
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(shelf.asked(), (0, 0));
    for other in [
        "\"other\"",
        "\"-10\"",
        &own.replace("-10\"", "-x\""),
        &own.replace('"', ""),
    ] {
        assert_eq!(
            shelf
                .get(&[(IF_NONE_MATCH, other)])
                .await
                .bytes()
                .await
                .unwrap(),
            FILE,
            "{other}"
        );
    }
    assert_eq!(
        shelf
            .get(&[(IF_NONE_MATCH, &own.replace("-10", "-11"))])
            .await
            .status(),
        StatusCode::OK,
        "another size is known"
    );
}

#[tokio::test]
async fn a_deleted_asset_is_404_whatever_the_caller_has() {
    let shelf = Shelf::open().await;
    let own = shelf.own_tag();
    let deleted = shelf
        .gateway
        .client
        .delete(shelf.gateway.url(shelf.path.trim_end_matches("/content")))
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(shelf.get(&[]).await).await.0, 404);
    assert_eq!(
        problem(shelf.get(&[(IF_NONE_MATCH, &own)]).await).await.0,
        404
    );
}

#[tokio::test]
async fn the_own_etag_works_without_reaching_storage() {
    let said = |status: &str, range: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\n{range}content-length: {length}\r\nconnection: close\r\n\r\n\
                 {body}"
        )
        .into_bytes()
    };
    let part = || said("206 Part", "content-range: bytes 2-4/10\r\n", "234");
    let whole = || said("200 OK", "", "0123456789");
    let storage =
        Storage::that_says_and_closes(vec![part(), whole(), part(), whole(), whole()]).await;
    let shelf = Shelf::of(storage.gateway_that_knows_sizes().await).await;
    let (own, stale) = (shelf.own_tag(), shelf.own_tag().replace("-10", "-11"));
    let range = (RANGE, "bytes=2-4");
    let got = shelf.get(&[range.clone(), (IF_RANGE, &own)]).await;
    assert_eq!(
        (got.status(), got.text().await.unwrap().as_str()),
        (StatusCode::PARTIAL_CONTENT, "234")
    );
    let got = shelf.get(&[range.clone(), (IF_RANGE, &stale)]).await;
    assert_eq!(
        (got.status(), got.bytes().await.unwrap().as_ref()),
        (StatusCode::OK, FILE)
    );
    let got = shelf
        .get(&[
            range,
            (IF_MATCH, &own),
            (IF_UNMODIFIED_SINCE, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ])
        .await;
    assert_eq!(got.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        shelf.get(&[(IF_MATCH, &own)]).await.status(),
        StatusCode::OK
    );
    for head in storage.heads() {
        assert!(
            !head.contains(&own) && !head.contains("if-match") && !head.contains("if-unmodified"),
            "{head}"
        );
    }
    assert!(
        storage.heads()[0].contains("range: bytes=2-4") && !storage.heads()[0].contains("if-range")
    );
    assert!(
        storage.heads()[1].contains("if-range"),
        "storage says that it isn't the same"
    );
}
