//! Storage gives less, more or something else than was asked for: never a clean end, and storage's
//! fault.

use reqwest::header::{HeaderName, IF_MATCH, RANGE};
use reqwest::{Response, StatusCode};

use crate::downloads::content::stored;
use crate::support::fake_storage::Storage;
use crate::support::gateway::{TestGateway, noise, problem};

const FILE: &str = "0123456789";
const FAILED: &str =
    "transfer_failures_total{blame=\"storage\",direction=\"download\",stage=\"fetch\"}";
const SUCCEEDED: &str = "transfer_duration_seconds_count{direction=\"download\"}";

/// A gateway whose only asset has ten bytes, in a storage that gives this answer and closes.
async fn shelf(answer: &str) -> (TestGateway, String) {
    let gateway = Storage::that_says_and_closes(vec![answer.into()])
        .await
        .gateway_that_knows_sizes()
        .await;
    let path = stored(&gateway, "a.bin", noise(FILE.len(), 5)).await;
    (gateway, path)
}

async fn get(gateway: &TestGateway, path: &str, headers: &[(HeaderName, &str)]) -> Response {
    headers
        .iter()
        .fold(gateway.get(path), |request, (name, value)| {
            request.header(name, *value)
        })
        .send()
        .await
        .unwrap()
}

/// Told before anything was given.
async fn is_refused(answer: &str, headers: &[(HeaderName, &str)]) {
    let (gateway, path) = shelf(answer).await;
    let told = problem(get(&gateway, &path, headers).await).await;
    assert_eq!(
        told,
        (
            502,
            "upstream-error".into(),
            "storage".into(),
            "fetch".into(),
            true
        ),
        "{answer}"
    );
    assert_eq!(
        (
            gateway.metric(FAILED).await,
            gateway.metric(SUCCEEDED).await
        ),
        (1.0, 0.0),
        "{answer}"
    );
}

#[tokio::test]
async fn another_length_than_the_files_is_refused() {
    for length in [0, 3, 9, 11] {
        let body = &"0123456789a"[..length];
        is_refused(
            &format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"),
            &[],
        )
        .await;
    }
    let page = "<html><form>Sign in</form></html>";
    let length = page.len();
    is_refused(
        &format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\r\n{page}"
        ),
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_wrong_size_without_length_never_looks_complete() {
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n012345678",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789a",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n012\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\na\r\n\
         0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n4\r\n0123\r\n\
         0\r\n\r\n",
    ] {
        let (gateway, path) = shelf(answer).await;
        let got = get(&gateway, &path, &[]).await;
        assert_eq!(problem(got).await.0, 502, "{answer}");
        assert!(gateway.counts(FAILED, 1.0).await, "{answer}");
        assert_eq!(gateway.metric(SUCCEEDED).await, 0.0, "{answer}");
    }
}

#[tokio::test]
async fn a_short_large_body_without_length_is_cut() {
    let large = [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(),
        noise(100_000, 5),
    ]
    .concat();
    let gateway = Storage::that_says_and_closes(vec![large])
        .await
        .gateway_that_knows_sizes()
        .await;
    let path = stored(&gateway, "a.bin", noise(100_001, 5)).await;
    let got = get(&gateway, &path, &[]).await;
    assert_eq!(
        (got.status(), got.content_length()),
        (StatusCode::OK, Some(100_001))
    );
    assert!(got.bytes().await.is_err());
    assert!(gateway.counts(FAILED, 1.0).await);
}

#[tokio::test]
async fn a_file_without_length_gets_the_known_one() {
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n012\r\n7\r\n3456789\r\n\
         0\r\n\r\n",
    ] {
        let (gateway, path) = shelf(answer).await;
        let got = get(&gateway, &path, &[]).await;
        assert_eq!(
            (got.status(), got.content_length()),
            (StatusCode::OK, Some(10)),
            "{answer}"
        );
        assert_eq!(got.text().await.unwrap(), FILE, "{answer}");
        assert_eq!(
            (
                gateway.metric(FAILED).await,
                gateway.metric(SUCCEEDED).await
            ),
            (0.0, 1.0),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_unrequested_part_or_status_is_refused() {
    let part = "HTTP/1.1 206 Part\r\ncontent-range: bytes 0-3/10\r\ncontent-length: 4\r\n\r\n0123";
    let several = "HTTP/1.1 206 Part\r\ncontent-type: multipart/byteranges; boundary=x\r\n\
                   content-length: 5\r\n\r\n--x--";
    let unsatisfiable = "HTTP/1.1 416 No\r\ncontent-range: bytes */10\r\ncontent-length: 0\r\n\r\n";
    for answer in [part, several, unsatisfiable] {
        is_refused(answer, &[]).await;
        is_refused(answer, &[(RANGE, "lines=0-3")]).await;
    }
    is_refused(several, &[(RANGE, "bytes=0-3")]).await;
    is_refused(unsatisfiable, &[(RANGE, "bytes=0-3")]).await;
    is_refused("HTTP/1.1 304 Same\r\netag: \"e\"\r\n\r\n", &[]).await;
    is_refused(
        "HTTP/1.1 304 Same\r\netag: \"e\"\r\n\r\n",
        &[(IF_MATCH, "\"e\"")],
    )
    .await;
    is_refused("HTTP/1.1 412 No\r\ncontent-length: 0\r\n\r\n", &[]).await;
}

#[tokio::test]
async fn another_part_than_was_asked_for_is_refused() {
    for (range, length) in [
        ("bytes 0-3/11", 4),
        ("bytes 0-3/9", 4),
        ("bytes 1-3/10", 3),
        ("bytes 0-4/10", 5),
        ("bytes 0-3/10", 3),
        ("bytes 0-18446744073709551615/*", 4),
        ("bytes */10", 4),
        ("pages 0-3/10", 4),
    ] {
        let body = &FILE[..length];
        let answer = format!(
            "HTTP/1.1 206 Part\r\ncontent-range: {range}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        is_refused(&answer, &[(RANGE, "bytes=0-3")]).await;
    }
}

#[tokio::test]
async fn a_part_that_ends_early_is_refused() {
    let (gateway, path) =
        shelf("HTTP/1.0 206 Part\r\ncontent-range: bytes 2-6/10\r\n\r\n234").await;
    assert_eq!(
        problem(get(&gateway, &path, &[(RANGE, "bytes=2-6")]).await)
            .await
            .0,
        502
    );
    assert!(gateway.counts(FAILED, 1.0).await);
}

#[tokio::test]
async fn what_ends_early_goes_on_where_it_stopped() {
    let first = "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"e\"\r\n\r\n01234";
    let rest = "HTTP/1.1 206 Part\r\netag: \"e\"\r\ncontent-range: bytes 5-9/10\r\n\
                content-length: 5\r\n\r\n56789";
    let storage = Storage::that_says_and_closes(vec![first.into(), rest.into()]).await;
    let gateway = storage.gateway_that_knows_sizes().await;
    let path = stored(&gateway, "a.bin", noise(FILE.len(), 5)).await;
    assert_eq!(get(&gateway, &path, &[]).await.text().await.unwrap(), FILE);
    assert!(
        storage.heads()[1].contains("\r\nrange: bytes=5-9\r\n"),
        "{:?}",
        storage.heads()
    );
}

#[tokio::test]
async fn a_storage_giving_one_byte_a_time_is_abandoned() {
    let size = 200;
    let answer = |at: usize| match at {
        0 => format!(
            "HTTP/1.1 200 OK\r\netag: \"e\"\r\n\
            content-length: {size}\r\n\r\nx"
        )
        .into_bytes(),
        _ => format!(
            "HTTP/1.1 206 Part\r\netag: \"e\"\r\ncontent-range: bytes {at}-{}/{size}\r\n\
             content-length: {}\r\n\r\nx",
            size - 1,
            size - at
        )
        .into_bytes(),
    };
    let storage = Storage::that_says_and_closes((0..size).map(answer).collect()).await;
    let gateway = storage.gateway_that_knows_sizes().await;
    let path = stored(&gateway, "a.bin", noise(size, 5)).await;
    assert!(get(&gateway, &path, &[]).await.bytes().await.is_err());
    assert!(
        storage.heads().len() < 100,
        "{} requests",
        storage.heads().len()
    );
}

#[tokio::test]
async fn without_known_size_a_cut_never_looks_complete() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n0123\r\n0\r\n\r\n";
    let gateway = Storage::that_says_and_closes(vec![chunked.into()])
        .await
        .gateway(&[])
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    assert_eq!(
        get(&gateway, &path, &[]).await.text().await.unwrap(),
        "0123",
        "its last chunk says that it is whole"
    );
    let to_the_end = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123";
    let gateway = Storage::that_says_and_closes(vec![to_the_end.into()])
        .await
        .gateway(&[])
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 5)).await;
    assert_eq!(problem(get(&gateway, &path, &[]).await).await.0, 502);
}
