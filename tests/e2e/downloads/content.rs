//! `GET|HEAD /v1/assets/{id}/content`: the bytes, and what is said of them.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED, LOCATION, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use reqwest::{Method, Response, StatusCode};

use crate::downloads::metadata::max_age;
use crate::support::fake_storage::Storage;
use crate::support::gateway::{TestGateway, noise, receipt};

/// The path of a new asset's bytes.
pub(crate) async fn stored(gateway: &TestGateway, name: &str, bytes: Vec<u8>) -> String {
    let receipt = gateway.upload(name, bytes).await;
    format!("/v1/assets/{}/content", receipt["id"].as_str().unwrap())
}

fn text<'r>(answer: &'r Response, name: &str) -> &'r str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn bytes_come_with_headers_that_prevent_execution() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "photo.bin", noise(1000, 1)).await;
    let answer = gateway.get(&path).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    for (name, value) in [
        (CONTENT_TYPE, "application/octet-stream"),
        (CONTENT_LENGTH, "1000"),
        (CONTENT_DISPOSITION, "attachment; filename=\"photo.bin\""),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (CACHE_CONTROL, "private, immutable, max-age=3600"),
        (ACCEPT_RANGES, "bytes"),
    ] {
        assert_eq!(text(&answer, name.as_str()), value, "{name}");
    }
    assert!(
        text(&answer, ETAG.as_str()).starts_with('"')
            && !text(&answer, LAST_MODIFIED.as_str()).is_empty()
    );
    assert!(answer.bytes().await.unwrap() == noise(1000, 1));
}

#[tokio::test]
async fn only_inert_types_are_inline_and_names_keep_letters() {
    let gateway = TestGateway::start().await;
    let png =
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89".to_vec();
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".to_vec();
    let html = b"<!DOCTYPE html><html><script>alert(1)</script></html>".to_vec();
    for (name, bytes, disposition) in [
        (
            "Gr%C3%BC%C3%9Fe.png",
            png,
            "inline; filename=\"Gr__e.png\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.png",
        ),
        ("drawing.svg", svg, "attachment; filename=\"drawing.svg\""),
        ("page.html", html, "attachment; filename=\"page.html\""),
    ] {
        let path = stored(&gateway, name, bytes).await;
        let whole = gateway.get(&path).send().await.unwrap();
        assert_eq!(text(&whole, CONTENT_DISPOSITION.as_str()), disposition);
        let head = gateway
            .client
            .head(gateway.url(&path))
            .send()
            .await
            .unwrap();
        assert_eq!(text(&head, CONTENT_DISPOSITION.as_str()), disposition);
    }
}

#[tokio::test]
async fn the_browsers_own_viewers_may_work_and_nothing_else() {
    let gateway = TestGateway::start().await;
    let png =
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89".to_vec();
    let wav = [
        b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0".as_slice(),
        b"\x02\0\x10\0data\x08\0\0\0",
        &[0; 8],
    ]
    .concat();
    let nothing = "sandbox; default-src 'none'";
    for (name, bytes, shown, policy) in [
        (
            "a.png",
            png,
            "inline",
            "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'",
        ),
        (
            "a.wav",
            wav,
            "inline",
            "sandbox allow-same-origin; default-src 'none'; media-src 'self'",
        ),
        ("a.txt", b"plain".to_vec(), "inline", nothing),
        (
            "a.html",
            b"<!DOCTYPE html><html></html>".to_vec(),
            "attachment",
            nothing,
        ),
        (
            "a.svg",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec(),
            "attachment",
            nothing,
        ),
        ("a.pdf", b"%PDF-1.4\n".to_vec(), "attachment", nothing),
    ] {
        let path = stored(&gateway, name, bytes).await;
        for method in [Method::GET, Method::HEAD] {
            let answer = gateway
                .client
                .request(method, gateway.url(&path))
                .send()
                .await
                .unwrap();
            assert_eq!(
                text(&answer, CONTENT_SECURITY_POLICY.as_str()),
                policy,
                "{name}"
            );
            assert!(
                text(&answer, CONTENT_DISPOSITION.as_str()).starts_with(shown),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn a_detected_charset_is_in_the_content_type() {
    let gateway = TestGateway::start().await;
    let latin_1 = b"Gr\xfc\xdfe\n".to_vec();
    let long = "\u{4f60}\u{597d}".repeat(200_000);
    for (name, bytes, told) in [
        (
            "a.txt",
            "Gr\u{fc}\u{df}e\n".as_bytes().to_vec(),
            "text/plain; charset=utf-8",
        ),
        (
            "a.txt",
            "\u{feff}Gr\u{fc}\u{df}e\n".as_bytes().to_vec(),
            "text/plain; charset=utf-8",
        ),
        (
            "a.txt",
            long.as_bytes().to_vec(),
            "text/plain; charset=utf-8",
        ),
        (
            "a.csv",
            "a;b\n\u{e4};\u{f6}\n".as_bytes().to_vec(),
            "text/csv; charset=utf-8",
        ),
        ("a.txt", latin_1, "text/plain"),
        (
            "a.html",
            "<!DOCTYPE html><html>\u{e4}</html>".as_bytes().to_vec(),
            "text/html; charset=utf-8",
        ),
    ] {
        let path = stored(&gateway, name, bytes.clone()).await;
        let answer = gateway.get(&path).send().await.unwrap();
        assert_eq!(text(&answer, "content-type"), told);
        assert_eq!(answer.content_length(), Some(bytes.len() as u64));
        assert!(answer.bytes().await.unwrap() == bytes);
        let head = gateway
            .client
            .head(gateway.url(&path))
            .send()
            .await
            .unwrap();
        assert_eq!(
            text(&head, "content-type"),
            told,
            "also where only the head is asked for"
        );
    }
}

#[tokio::test]
async fn a_declared_charset_comes_back_with_the_text() {
    let gateway = TestGateway::start().await;
    for (name, declared, bytes, told) in [
        (
            "a.txt",
            "text/plain; charset=iso-8859-1",
            &b"Gr\xfc\xdfe\n"[..],
            "text/plain; charset=iso-8859-1",
        ),
        (
            "a.csv",
            "text/csv;charset=\"windows-1252\"",
            b"\x80;\xfc;\xdf",
            "text/csv; charset=windows-1252",
        ),
        (
            "a.md",
            "text/markdown; charset=Shift_JIS",
            b"\x83\x65\x83\x58\x83\x67",
            "text/markdown; charset=shift_jis",
        ),
    ] {
        let path = format!("/v1/assets?channel=sms&name={name}");
        let upload = gateway.post(&path).header(CONTENT_TYPE, declared);
        let receipt = receipt(upload.body(bytes.to_vec()).send().await.unwrap()).await;
        let path = format!("/v1/assets/{}/content", receipt["id"].as_str().unwrap());
        // A part tells it as well, and whatever comes after it.
        let part = gateway.get(&path).header(RANGE, "bytes=1-2").send().await;
        let part = part.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        let whole = gateway.get(&path).send().await.unwrap();
        let head = gateway.client.head(gateway.url(&path)).send().await;
        for answer in [part, whole, head.unwrap()] {
            assert_eq!(text(&answer, "content-type"), told);
        }
    }
}

#[tokio::test]
async fn a_head_request_needs_only_metadata() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.txt", b"0123456789".to_vec()).await;
    let head = gateway
        .client
        .head(gateway.url(&path))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            head.status(),
            text(&head, "content-length"),
            text(&head, "content-type")
        ),
        (StatusCode::OK, "10", "text/plain")
    );
    assert_eq!(text(&head, X_CONTENT_TYPE_OPTIONS.as_str()), "nosniff");
    assert!(head.bytes().await.unwrap().is_empty());
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::Download), 0);
    let counted =
        "http_requests_total{method=\"HEAD\",route=\"/v1/assets/{id}/content\",status=\"200\"}";
    assert_eq!(gateway.metric(counted).await, 1.0);
}

#[tokio::test]
async fn a_head_request_claims_no_length_if_unknown() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.txt", b"0123456789".to_vec()).await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::GetAsset).missing_field("size"));
    let head = gateway
        .client
        .head(gateway.url(&path))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (head.status(), head.headers().get(CONTENT_LENGTH)),
        (StatusCode::OK, None)
    );
    assert_eq!(
        gateway
            .get(&path)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap(),
        "0123456789"
    );
}

#[tokio::test]
async fn an_asset_without_metadata_is_served_safely() {
    let gateway = TestGateway::start().await;
    for field in ["name", "contentType", "size", "id"] {
        let path = stored(&gateway, "a.html", b"<!DOCTYPE html><html></html>".to_vec()).await;
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::GetAsset)
                .missing_field(field)
                .once(),
        );
        let answer = gateway.get(&path).send().await.unwrap();
        assert!(
            text(&answer, "content-disposition").starts_with("attachment"),
            "without {field}"
        );
        assert!(answer.bytes().await.unwrap().starts_with(b"<!DOCTYPE"));
    }
}

#[tokio::test]
async fn a_redirect_follows_the_query_or_the_setting() {
    for (mode, query, redirects) in [
        ("stream", "", false),
        ("stream", "?redirect=1", true),
        ("redirect", "", true),
        ("redirect", "?redirect=0", false),
    ] {
        let gateway = TestGateway::builder()
            .settings(&[("download.mode", mode)])
            .start()
            .await;
        let path = stored(&gateway, "a.txt", b"hello".to_vec()).await;
        let answer = gateway.get(&format!("{path}{query}")).send().await.unwrap();
        assert_eq!(
            answer.status() == StatusCode::TEMPORARY_REDIRECT,
            redirects,
            "{mode} {query}"
        );
        assert_eq!(
            gateway.sandbox.stats().calls(SandboxOperation::Download),
            u64::from(!redirects)
        );
        if redirects {
            assert!(
                max_age(answer.headers()) > 86_000,
                "no longer than the URL lives"
            );
            let target = answer.headers()[LOCATION].to_str().unwrap();
            assert_eq!(
                gateway
                    .client
                    .get(target)
                    .send()
                    .await
                    .unwrap()
                    .text()
                    .await
                    .unwrap(),
                "hello"
            );
        } else {
            assert_eq!(answer.text().await.unwrap(), "hello");
        }
    }
}

#[tokio::test]
async fn an_encoded_object_passes_unchanged() {
    let gateway = TestGateway::start().await;
    // No gzip at all: whoever tries to decode it fails.
    let path = stored(&gateway, "a.bin", noise(5000, 3)).await;
    let gzip = HeaderValue::from_static("gzip");
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Download).header(CONTENT_ENCODING, gzip.clone()));
    let answer = gateway.get(&path).send().await.unwrap();
    assert_eq!(
        (
            answer.headers().get(CONTENT_ENCODING),
            answer.content_length()
        ),
        (Some(&gzip), Some(5000))
    );
    assert!(answer.bytes().await.unwrap() == noise(5000, 3));
}

#[tokio::test]
async fn a_slow_reader_isnt_cut() {
    // More than the sockets on the way hold.
    let file = noise(1024 * 1024, 4).repeat(32);
    let head = format!(
        "HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: {}\r\n\r\n",
        file.len()
    );
    let storage = Storage::that_says(vec![[head.as_bytes(), &file].concat()]).await;
    let gateway = storage
        .gateway(&[("egain.transfer_idle_timeout", "500ms")])
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 4)).await;
    let mut answer = gateway.get(&path).send().await.unwrap();
    let mut bytes = answer.chunk().await.unwrap().unwrap().to_vec();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    while let Some(chunk) = answer.chunk().await.unwrap() {
        bytes.extend(chunk);
    }
    assert!(bytes == file);
    assert_eq!(storage.heads().len(), 1, "it was one stream");
}
