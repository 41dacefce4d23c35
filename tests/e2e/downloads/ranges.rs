//! Parts of files, and conditions: storage decides, the gateway passes on.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Response, StatusCode};

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
        let gateway = TestGateway::start().await;
        let path = stored(&gateway, "digits.txt", FILE.to_vec()).await;
        Self { gateway, path }
    }

    async fn get(&self, headers: &[(HeaderName, &str)]) -> Response {
        let request = headers
            .iter()
            .fold(self.gateway.get(&self.path), |request, (name, value)| {
                request.header(name, *value)
            });
        request.send().await.unwrap()
    }
}

#[tokio::test]
async fn one_range_in_every_form_is_served() {
    let shelf = Shelf::open().await;
    for (range, part, said) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=4-6", "456", "bytes 4-6/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=9-99", "9", "bytes 9-9/10"),
    ] {
        let answer = shelf.get(&[(RANGE, range)]).await;
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(answer.headers()[CONTENT_RANGE], said);
        assert_eq!(answer.headers()[ACCEPT_RANGES], "bytes");
        assert_eq!(answer.text().await.unwrap(), part, "{range}");
    }
}

#[tokio::test]
async fn an_unsatisfiable_range_gets_the_files_size() {
    let answer = Shelf::open().await.get(&[(RANGE, "bytes=10-")]).await;
    assert_eq!(answer.headers()[CONTENT_RANGE], "bytes */10");
    assert_eq!(
        problem(answer).await,
        (
            416,
            "range-not-satisfiable".into(),
            "caller".into(),
            "fetch".into(),
            false
        )
    );
}

#[tokio::test]
async fn a_416_with_a_body_is_no_failed_transfer() {
    let shelf = Shelf::open().await;
    let beyond = Fault::at(SandboxOperation::Download)
        .status(StatusCode::RANGE_NOT_SATISFIABLE)
        .body("<Error>InvalidRange</Error>");
    shelf.gateway.sandbox.fault(beyond);
    assert_eq!(
        problem(shelf.get(&[(RANGE, "bytes=10-")]).await).await.0,
        416
    );
    let failures =
        "transfer_failures_total{blame=\"caller\",direction=\"download\",stage=\"fetch\"}";
    assert_eq!(shelf.gateway.metric(failures).await, 0.0);
}

#[tokio::test]
async fn a_failed_precondition_is_passed_on_without_storages_words() {
    let words = "<Signature>s</Signature>";
    let said = format!(
        "HTTP/1.1 412 No\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n{words}",
        words.len()
    );
    let storage = Storage::that_says(vec![said.into_bytes()]).await;
    let gateway = storage.gateway(&[]).await;
    let path = stored(&gateway, "digits.txt", FILE.to_vec()).await;
    let answer = gateway
        .get(&path)
        .header(IF_MATCH, "\"other\"")
        .send()
        .await
        .unwrap();
    assert!(storage.heads()[0].contains("\r\nif-match: \"other\"\r\n"));
    assert_eq!(
        (answer.status(), answer.text().await.unwrap().as_str()),
        (StatusCode::PRECONDITION_FAILED, "")
    );
}

#[tokio::test]
async fn several_ranges_pass_on_as_multipart_byteranges() {
    let multipart = "multipart/byteranges; boundary=x";
    let body = "--x\r\nContent-Range: bytes 0-0/10\r\n\r\n0\r\n--x\r\n\
                Content-Range: bytes 2-2/10\r\n\r\n2\r\n--x--\r\n";
    let length = body.len();
    let said = format!(
        "HTTP/1.1 206 Partial\r\ncontent-type: {multipart}\r\netag: \"e\"\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    let storage = Storage::that_says(vec![said.into_bytes()]).await;
    let gateway = storage.gateway(&[]).await;
    let path = stored(&gateway, "digits.txt", FILE.to_vec()).await;
    let answer = gateway
        .get(&path)
        .header(RANGE, "bytes=0-0,2-2")
        .send()
        .await
        .unwrap();
    assert!(
        storage.heads()[0].contains("\r\nrange: bytes=0-0,2-2\r\n"),
        "{:?}",
        storage.heads()
    );
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.headers()[CONTENT_TYPE], multipart);
    assert_eq!(
        answer.headers()[CONTENT_DISPOSITION],
        "inline; filename=\"digits.txt\""
    );
    assert_eq!(answer.text().await.unwrap(), body);
}

#[tokio::test]
async fn what_the_caller_has_already_isnt_sent_again() {
    let shelf = Shelf::open().await;
    let first = shelf.get(&[]).await;
    let (etag, modified) = (
        first.headers()[ETAG].to_str().unwrap(),
        first.headers()[LAST_MODIFIED].to_str().unwrap(),
    );
    for condition in [
        (IF_NONE_MATCH, etag),
        (IF_NONE_MATCH, "*"),
        (IF_MODIFIED_SINCE, modified),
    ] {
        let answer = shelf.get(std::slice::from_ref(&condition)).await;
        assert_eq!(
            (answer.status(), answer.headers().get(ETAG)),
            (StatusCode::NOT_MODIFIED, first.headers().get(ETAG))
        );
        assert!(answer.bytes().await.unwrap().is_empty());
    }
    let other = [
        (IF_NONE_MATCH, "\"other\""),
        (IF_MODIFIED_SINCE, "Thu, 01 Jan 1970 00:00:00 GMT"),
    ];
    for condition in other {
        assert_eq!(shelf.get(&[condition]).await.bytes().await.unwrap(), FILE);
    }
    let counted =
        "http_requests_total{method=\"GET\",route=\"/v1/assets/{id}/content\",status=\"304\"}";
    assert_eq!(shelf.gateway.metric(counted).await, 3.0, "nobody has left");
}

#[tokio::test]
async fn if_range_serves_a_part_of_the_same_file() {
    let shelf = Shelf::open().await;
    let etag = shelf.get(&[]).await.headers()[ETAG].clone();
    let same = shelf
        .get(&[(RANGE, "bytes=2-4"), (IF_RANGE, etag.to_str().unwrap())])
        .await;
    assert_eq!(
        (same.status(), same.text().await.unwrap().as_str()),
        (StatusCode::PARTIAL_CONTENT, "234")
    );
    let other = shelf
        .get(&[(RANGE, "bytes=2-4"), (IF_RANGE, "\"other\"")])
        .await;
    assert_eq!(
        (other.status(), other.bytes().await.unwrap().as_ref()),
        (StatusCode::OK, FILE)
    );
}

#[tokio::test]
async fn nothing_else_of_the_caller_reaches_storage() {
    let storage = Storage::that_says(vec![
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nset-cookie: a=b\r\nx-amz-id: 7\r\n\r\nx".to_vec(),
    ])
    .await;
    let gateway = storage.gateway(&[]).await;
    let path = stored(&gateway, "digits.txt", FILE.to_vec()).await;
    let secrets = [
        ("authorization", "Bearer mine"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "1.2.3.4"),
        ("accept-encoding", "gzip"),
    ];
    let request = secrets
        .iter()
        .fold(gateway.get(&path), |request, (name, value)| {
            request.header(*name, *value)
        });
    let answer = request.send().await.unwrap();
    for (name, _) in secrets {
        assert!(
            !storage.heads()[0].contains(&format!("\r\n{name}:")),
            "{:?}",
            storage.heads()
        );
    }
    assert_eq!(
        answer
            .headers()
            .get("set-cookie")
            .or(answer.headers().get("x-amz-id")),
        None::<&HeaderValue>
    );
}
