//! The ladder of lengths: every rung says which it was, and every rung stores the same bytes.

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use asset_gateway::sandbox::faults::SandboxOperation;

use crate::support::client::RequestBuilder;
use crate::support::gateway::{TestGateway, form, noise, receipt};
use crate::support::raw_client::in_chunks;
use crate::support::refusal::Refusal;

/// Beyond the look-ahead of 64 KiB.
const LARGE: usize = 200_000;

/// The rung that a stored file was on, once its bytes were compared.
async fn rung(gateway: &TestGateway, response: Response, file: &[u8]) -> String {
    let receipt = receipt(response).await;
    assert_eq!(receipt["size"], file.len());
    assert!(
        gateway.stored(receipt["id"].as_str().unwrap()) == file,
        "the bytes are the same"
    );
    receipt["lengthSource"].as_str().unwrap().to_owned()
}

fn with_form(
    gateway: &TestGateway,
    query: &str,
    (content_type, body): (String, Vec<u8>),
) -> RequestBuilder {
    gateway
        .post(&format!("/v1/assets?{query}"))
        .header(CONTENT_TYPE, content_type)
        .body(body)
}

/// A form whose file's part tells its own length.
fn measured_form(file: &[u8], length: usize) -> (String, Vec<u8>) {
    let boundary = "xyz";
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let body = [
        head.as_bytes(),
        file,
        format!("\r\n--{boundary}--\r\n").as_bytes(),
    ]
    .concat();
    (format!("multipart/form-data; boundary={boundary}"), body)
}

#[tokio::test]
async fn a_length_declared_in_any_way_is_believed() {
    let gateway = TestGateway::start().await;
    let file = noise(LARGE, 1);
    let size = LARGE.to_string();
    let post = |query: &str| gateway.post(&format!("/v1/assets?channel=sms{query}"));
    let raw = post("").body(file.clone()).send().await.unwrap();
    let query = in_chunks(post(&format!("&size={size}")), &file).await;
    let field = with_form(
        &gateway,
        "",
        form(&[("channel", "sms"), ("size", &size)], "a.bin", &file, ""),
    );
    let form_and_query = with_form(
        &gateway,
        &format!("channel=sms&size={size}"),
        form(&[], "a.bin", &file, ""),
    );
    let part = with_form(&gateway, "channel=sms", measured_form(&file, LARGE));
    for response in [
        raw,
        query,
        field.send().await.unwrap(),
        form_and_query.send().await.unwrap(),
        part.send().await.unwrap(),
    ] {
        assert_eq!(rung(&gateway, response, &file).await, "declared");
    }
}

#[tokio::test]
async fn a_file_within_the_look_ahead_needs_no_declaration() {
    let gateway = TestGateway::start().await;
    for size in [1, 65_535, 65_536] {
        let file = noise(size, 2);
        let raw = in_chunks(gateway.post("/v1/assets?channel=sms"), &file).await;
        assert_eq!(rung(&gateway, raw, &file).await, "lookahead", "{size} raw");
        let form = with_form(&gateway, "channel=sms", form(&[], "a.bin", &file, ""))
            .send()
            .await
            .unwrap();
        assert_eq!(
            rung(&gateway, form, &file).await,
            "lookahead",
            "{size} in a form"
        );
    }
}

#[tokio::test]
async fn a_form_of_unknown_framing_is_spooled_then_derived() {
    let gateway = TestGateway::start().await;
    let file = noise(LARGE, 3);
    let send = async |agent: &'static str| {
        let request = with_form(&gateway, "channel=sms", form(&[], "a.bin", &file, ""));
        rung(
            &gateway,
            request.header("user-agent", agent).send().await.unwrap(),
            &file,
        )
        .await
    };
    assert_eq!(send("one/1.0").await, "spooled");
    assert_eq!(send("one/1.0").await, "derived");
    assert_eq!(
        send("other/1.0").await,
        "spooled",
        "what is known of one client says nothing of another"
    );
    assert_eq!(
        gateway
            .metric("uploads_total{length_source=\"spooled\",outcome=\"stored\"}")
            .await,
        2.0
    );
    assert_eq!(
        gateway
            .metric("uploads_total{length_source=\"derived\",outcome=\"stored\"}")
            .await,
        1.0
    );
}

#[tokio::test]
async fn a_chunked_form_has_no_derived_length() {
    let gateway = TestGateway::start().await;
    let file = noise(LARGE, 4);
    let (content_type, body) = form(&[("channel", "sms")], "a.bin", &file, "");
    for _ in 0..2 {
        let response = in_chunks(
            gateway
                .post("/v1/assets")
                .header(CONTENT_TYPE, &content_type),
            &body,
        )
        .await;
        assert_eq!(rung(&gateway, response, &file).await, "spooled");
    }
}

#[tokio::test]
async fn a_large_chunked_raw_file_is_always_spooled() {
    let gateway = TestGateway::start().await;
    let file = noise(LARGE, 5);
    for _ in 0..2 {
        let response = in_chunks(gateway.post("/v1/assets?channel=sms"), &file).await;
        assert_eq!(rung(&gateway, response, &file).await, "spooled");
    }
}

#[tokio::test]
async fn without_a_spool_a_length_must_be_known() {
    let gateway = TestGateway::builder()
        .settings(&[("limits.spool_memory", "0"), ("limits.spool_total", "0")])
        .start()
        .await;
    let file = noise(LARGE, 6);
    let raw = in_chunks(gateway.post("/v1/assets?channel=sms"), &file).await;
    let form_of = |file: &[u8]| with_form(&gateway, "channel=sms", form(&[], "a.bin", file, ""));
    for response in [raw, form_of(&file).send().await.unwrap()] {
        let refusal = Refusal::of(response).await;
        assert_eq!(refusal.told(), (411, "length-required", "caller", "read"));
        assert!(
            refusal.detail.contains("Content-Length") && refusal.detail.contains("size"),
            "{}",
            refusal.detail
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
    let small = noise(1000, 7);
    assert_eq!(
        rung(&gateway, form_of(&small).send().await.unwrap(), &small).await,
        "lookahead"
    );
    assert_eq!(
        rung(&gateway, form_of(&file).send().await.unwrap(), &file).await,
        "derived"
    );
    let declared = in_chunks(
        gateway.post(&format!("/v1/assets?channel=sms&size={LARGE}")),
        &file,
    )
    .await;
    assert_eq!(rung(&gateway, declared, &file).await, "declared");
}

/// A form whose file comes first, and then these fields.
fn file_first(file: &[u8], fields: &[(&str, &str)]) -> (String, Vec<u8>) {
    let field = |(name, value): &(&str, &str)| {
        format!("--BOUNDARY\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    form(
        &[],
        "a.bin",
        file,
        &fields.iter().map(field).collect::<String>(),
    )
}

#[tokio::test]
async fn a_channel_after_a_file_in_memory_is_read() {
    let gateway = TestGateway::start().await;
    for (size, source) in [
        (1000, "lookahead"),
        (65_536, "lookahead"),
        (65_537, "spooled"),
        (256 * 1024, "spooled"),
    ] {
        let file = noise(size, 8);
        for chunked in [false, true] {
            let (content_type, body) =
                file_first(&file, &[("channel", "whatsapp"), ("sender", "egain_bot")]);
            let request = gateway
                .post("/v1/assets")
                .header(CONTENT_TYPE, content_type);
            let response = if chunked {
                in_chunks(request, &body).await
            } else {
                request.body(body).send().await.unwrap()
            };
            let receipt = receipt(response).await;
            assert_eq!(
                (&receipt["channel"], &receipt["sender"]),
                (&"whatsapp".into(), &"egain_bot".into())
            );
            assert_eq!(
                (&receipt["size"], &receipt["lengthSource"]),
                (&size.into(), &source.into())
            );
            assert!(gateway.stored(receipt["id"].as_str().unwrap()) == file);
        }
    }
    assert!(gateway.counts("spool_bytes", 0.0).await);
    let larger = with_form(
        &gateway,
        "",
        file_first(&noise(256 * 1024 + 1, 9), &[("channel", "sms")]),
    )
    .send()
    .await
    .unwrap();
    assert_eq!(
        Refusal::of(larger).await.told(),
        (400, "missing-field", "caller", "read")
    );
}

#[tokio::test]
async fn fields_after_the_file_count_as_if_before_it() {
    let gateway = TestGateway::start().await;
    let file = noise(100_000, 10);
    let send = async |fields: &[(&str, &str)]| {
        with_form(&gateway, "", file_first(&file, fields))
            .send()
            .await
            .unwrap()
    };
    let stored = receipt(
        send(&[
            ("channel", "sms"),
            ("name", "other.bin"),
            ("size", "100000"),
            ("sha256", "1"),
        ])
        .await,
    )
    .await;
    assert_eq!(
        (&stored["name"], stored["sha256"].as_str().map(str::len)),
        (&"other.bin".into(), Some(64))
    );
    let digest = "0".repeat(64);
    for (fields, kind) in [
        (
            &[("channel", "sms"), ("size", "99999")][..],
            (400, "length-mismatch"),
        ),
        (
            &[("channel", "sms"), ("sha256", &digest)],
            (400, "digest-mismatch"),
        ),
        (
            &[("channel", "sms"), ("channel", "whatsapp")],
            (400, "conflicting-field"),
        ),
        (&[("caption", "no channel")], (400, "missing-field")),
    ] {
        assert_eq!(
            Refusal::of(send(fields).await).await.kind(),
            kind,
            "{fields:?}"
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        1
    );
}
