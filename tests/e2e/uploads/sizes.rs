//! What is too large is refused on every rung, as early as that rung knows.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::header::CONTENT_TYPE;

use crate::support::gateway::{TestGateway, form, noise, receipt};
use crate::support::raw_client::{Wire, by_hand, in_chunks};
use crate::support::refusal::Refusal;

const MOST: usize = 300_000;

async fn small_gateway() -> TestGateway {
    TestGateway::builder()
        .settings(&[("limits.max_asset_size", &MOST.to_string())])
        .start()
        .await
}

#[tokio::test]
async fn an_excessive_declared_length_is_refused_before_the_body() {
    let gateway = small_gateway().await;
    let too_much = MOST + 1;
    for (query, lines) in [
        ("channel=sms", format!("Content-Length: {too_much}\r\n")),
        (
            &format!("channel=sms&size={too_much}"),
            "Transfer-Encoding: chunked\r\n".to_owned(),
        ),
        // No form needs a megabyte beside its file.
        (
            "channel=sms",
            format!(
                "Content-Length: {}\r\nContent-Type: multipart/form-data; boundary=x\r\n",
                MOST + 1_100_000
            ),
        ),
    ] {
        let mut wire = Wire::to(gateway.addr).await;
        wire.send_head(query, &lines).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 413, "{lines}{}", answer.body);
        assert!(
            answer.body.contains("\"too-large\"") && answer.body.contains(&MOST.to_string()),
            "{}",
            answer.body
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn a_forms_size_is_refused_before_its_file() {
    let gateway = small_gateway().await;
    let (content_type, body) = form(
        &[("channel", "sms"), ("size", &(MOST + 1).to_string())],
        "a.bin",
        b"FILE",
        "",
    );
    let file_start = body.windows(4).position(|four| four == b"FILE").unwrap();
    let mut wire = Wire::to(gateway.addr).await;
    let lines = format!(
        "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
        body.len() + MOST + 1
    );
    wire.send_head("", &lines).await;
    wire.send(&body[..file_start]).await;
    assert_eq!(wire.answer().await.status, 413);
}

#[tokio::test]
async fn an_oversized_derived_form_is_refused_as_too_large() {
    let gateway = small_gateway().await;
    let send = async |size: usize| {
        let (content_type, body) = form(&[("channel", "sms")], "a.bin", &noise(size, 1), "");
        gateway
            .post("/v1/assets")
            .header(CONTENT_TYPE, content_type)
            .body(body)
            .send()
            .await
            .unwrap()
    };
    receipt(send(1000).await).await;
    assert_eq!(receipt(send(MOST).await).await["lengthSource"], "derived");
    let refusal = Refusal::of(send(MOST + 1).await).await;
    assert_eq!(refusal.told(), (413, "too-large", "caller", "policy"));
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        2
    );
}

#[tokio::test]
async fn an_unknown_length_is_refused_once_too_large() {
    let gateway = small_gateway().await;
    let (mut body_writer, answer) = by_hand(gateway.post("/v1/assets?channel=sms"));
    body_writer.write(noise(MOST + 1, 2)).await;
    let refusal = Refusal::of(answer.await.unwrap().unwrap()).await;
    assert_eq!(refusal.told(), (413, "too-large", "caller", "policy"));
    assert!(gateway.counts("spool_bytes", 0.0).await);
    let largest = in_chunks(gateway.post("/v1/assets?channel=sms"), &noise(MOST, 3)).await;
    assert_eq!(receipt(largest).await["size"], MOST);
}

#[tokio::test]
async fn a_limit_below_the_look_ahead_holds_too() {
    let gateway = TestGateway::builder()
        .settings(&[("limits.max_asset_size", "1000")])
        .start()
        .await;
    let refusal =
        Refusal::of(in_chunks(gateway.post("/v1/assets?channel=sms"), &noise(1001, 4)).await).await;
    assert_eq!(refusal.kind(), (413, "too-large"));
    let fits = in_chunks(gateway.post("/v1/assets?channel=sms"), &noise(1000, 4)).await;
    assert_eq!(receipt(fits).await["lengthSource"], "lookahead");
}
