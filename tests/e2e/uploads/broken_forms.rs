//! Forms that can't be read: refused, whatever of them came first, and nothing is kept.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use crate::support::gateway::{TestGateway, form, noise, receipt};
use crate::support::refusal::Refusal;

const FORM: &str = "multipart/form-data; boundary=x";
const FILE: &str = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n";

async fn send(
    gateway: &TestGateway,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> Response {
    gateway
        .post("/v1/assets?channel=sms")
        .header(CONTENT_TYPE, content_type)
        .body(body)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_form_that_cant_be_read_costs_no_call() {
    let gateway = TestGateway::start().await;
    let whole = format!("{FILE}\r\ntext\r\n--x--\r\n");
    let many = "--x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nv\r\n".repeat(10_000);
    let head = |filler: &str| format!("{FILE}{filler}\r\ntext\r\n--x--\r\n");
    for (what, content_type, body) in [
        ("no boundary", "multipart/form-data", whole.clone()),
        (
            "another boundary",
            "multipart/form-data; boundary=y",
            whole.clone(),
        ),
        (
            "a boundary that is none",
            "multipart/form-data; boundary=\"\"",
            whole.clone(),
        ),
        ("no end", FORM, format!("{FILE}\r\ntext")),
        ("half an end", FORM, format!("{FILE}\r\ntext\r\n--x")),
        ("an end before the file", FORM, FILE.to_owned()),
        (
            "a preamble without an end to its line",
            FORM,
            format!("hello{whole}"),
        ),
        (
            "a preamble of 2 KiB",
            FORM,
            format!("{}\r\n{whole}", "y".repeat(2048)),
        ),
        (
            "two boundaries",
            "multipart/form-data; boundary=x; boundary=x",
            whole.clone(),
        ),
        (
            "a form made of forms",
            FORM,
            whole.replace(
                "\r\n\r\n",
                "\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n",
            ),
        ),
        (
            "a head too large",
            FORM,
            head(&format!("X-Filler: {}\r\n", "y".repeat(20_000))),
        ),
        (
            "a head of too many lines",
            FORM,
            head(&"X: y\r\n".repeat(70)),
        ),
        ("a head that is none", FORM, head("no colon\r\n")),
        ("10,000 parts", FORM, format!("{many}{whole}")),
        (
            "something behind the end on its line",
            FORM,
            format!("{FILE}\r\ntext\r\n--x--more\r\n"),
        ),
    ] {
        let refusal = Refusal::of(send(&gateway, content_type, body).await).await;
        assert_eq!(
            refusal.told(),
            (400, "malformed-multipart", "caller", "read"),
            "{what}"
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn a_form_that_cant_be_read_is_told_why() {
    let gateway = TestGateway::start().await;
    let whole = format!("{FILE}Content-Type: text/plain\r\n\r\ntext\r\n--x--\r\n");
    for (body, why) in [
        (whole.replace("\r\n", "\n"), "bare line feeds"),
        (
            whole.replace("\r\nContent-Type", "\nContent-Type"),
            "bare line feeds",
        ),
        (
            whole.replace("a.bin", "5\" screen.bin"),
            "quote within a name",
        ),
        (
            whole.replace("--x", "--y"),
            "doesn't begin with the boundary",
        ),
    ] {
        let refusal = Refusal::of(send(&gateway, FORM, body).await).await;
        assert_eq!(
            refusal.told(),
            (400, "malformed-multipart", "caller", "read"),
            "{why}"
        );
        assert!(refusal.detail.contains(why), "{}", refusal.detail);
    }
}

#[tokio::test]
async fn forms_without_file_or_with_large_fields_are_refused() {
    let gateway = TestGateway::start().await;
    for body in [
        "--x--\r\n",
        "--x\r\nContent-Disposition: form-data; name=\"channel\"\r\n\r\nsms\r\n--x--\r\n",
    ] {
        let refusal = Refusal::of(send(&gateway, FORM, body).await).await;
        assert_eq!(refusal.told(), (400, "missing-field", "caller", "read"));
        assert!(refusal.detail.contains("file"), "{}", refusal.detail);
    }
    let field = |name: &str, value: String| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file = format!("{FILE}\r\ntext\r\n--x--\r\n");
    let long = send(
        &gateway,
        FORM,
        format!("{}{file}", field("name", "n".repeat(2000))),
    )
    .await;
    assert_eq!(Refusal::of(long).await.kind(), (400, "invalid-field"));
    let bulky = send(
        &gateway,
        FORM,
        format!("{}{file}", field("note", "n".repeat(1_200_000))),
    )
    .await;
    assert_eq!(Refusal::of(bulky).await.kind(), (413, "too-large"));
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
    let unknown = send(
        &gateway,
        FORM,
        format!("{}{file}", field("note", "n".repeat(500_000))),
    )
    .await;
    receipt(unknown).await;
}

#[tokio::test]
async fn a_large_form_that_breaks_midway_leaves_nothing() {
    let gateway = TestGateway::start().await;
    let file = noise(200_000, 1);
    let (content_type, body) = form(&[("size", "200000")], "a.bin", &file, "");
    let end = body.len() - 8;
    for broken in [
        body[..end].to_vec(),
        [&body[..body.len() - 2], b"junk\r\n"].concat(),
    ] {
        let refusal = Refusal::of(send(&gateway, &content_type, broken).await).await;
        assert_eq!(
            refusal.told(),
            (400, "malformed-multipart", "caller", "read")
        );
    }
    assert_eq!(gateway.left_upstream(0).await, 0);
    assert!(
        gateway.sandbox.stats().bytes_received > 0,
        "it had begun to stream"
    );
}

#[tokio::test]
async fn a_file_resembling_its_boundary_is_stored_whole() {
    let gateway = TestGateway::start().await;
    let near = b"\r\n--xy\r\n--x-\r\n--\r\n-x\r\r\n--".repeat(20_000);
    let body = [format!("{FILE}\r\n").as_bytes(), &near, b"\r\n--x--\r\n"].concat();
    let stored = receipt(send(&gateway, FORM, body).await).await;
    assert!(gateway.stored(stored["id"].as_str().unwrap()) == near);
}
