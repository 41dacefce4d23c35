//! What a channel takes, by direction.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::Response;

use crate::support::gateway::{TestGateway, form, noise, problem, receipt};

const RULES: &str = include_str!("../../../deploy/policy.example.toml");
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

async fn upload(gateway: &TestGateway, query: &str, file: Vec<u8>) -> Response {
    gateway
        .post(&format!("/v1/assets?{query}"))
        .body(file)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_channel_limits_types_to_the_customer_only() {
    let gateway = TestGateway::builder().file(RULES).start().await;
    let refused = upload(
        &gateway,
        "channel=whatsapp&sender=egain_agent&name=a.txt",
        b"hello".to_vec(),
    )
    .await;
    assert_eq!(
        problem(refused).await,
        (
            415,
            "type-not-allowed".into(),
            "caller".into(),
            "policy".into(),
            false
        )
    );
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
    receipt(
        upload(
            &gateway,
            "channel=whatsapp&sender=egain_agent&name=a.png",
            PNG.to_vec(),
        )
        .await,
    )
    .await;
    receipt(
        upload(
            &gateway,
            "channel=whatsapp&sender=customer&name=a.txt",
            b"hello".to_vec(),
        )
        .await,
    )
    .await;
    receipt(
        upload(
            &gateway,
            "channel=sms&sender=egain_agent&name=a.txt",
            b"hello".to_vec(),
        )
        .await,
    )
    .await;
}

#[tokio::test]
async fn a_channels_size_holds_on_every_rung() {
    let gateway = TestGateway::builder()
        .file(RULES)
        .settings(&[("limits.look_ahead", "1KiB")])
        .start()
        .await;
    let query = "channel=custom.example&name=a.bin";
    receipt(upload(&gateway, query, noise(12_345, 1)).await).await;
    let too_large = (
        413,
        "too-large".into(),
        "caller".into(),
        "policy".into(),
        false,
    );
    assert_eq!(
        problem(upload(&gateway, query, noise(12_346, 1)).await).await,
        too_large
    );
    for _ in 0..2 {
        let (content_type, body) = form(
            &[("channel", "custom.example")],
            "a.bin",
            &noise(12_346, 1),
            "",
        );
        let request = gateway
            .post("/v1/assets")
            .header("content-type", content_type)
            .body(body);
        assert_eq!(problem(request.send().await.unwrap()).await, too_large);
    }
    assert_eq!(gateway.left_upstream(1).await, 1);
}

#[tokio::test]
async fn report_only_violations_are_counted_and_pass() {
    let gateway = TestGateway::builder()
        .file(RULES)
        .settings(&[("policy.report_only", "true")])
        .start()
        .await;
    receipt(
        upload(
            &gateway,
            "channel=custom.example&name=a.bin",
            noise(20_000, 1),
        )
        .await,
    )
    .await;
    receipt(
        upload(
            &gateway,
            "channel=whatsapp&sender=egain_bot&name=a.txt",
            b"hello".to_vec(),
        )
        .await,
    )
    .await;
    assert_eq!(
        gateway
            .metric("rejected_total{code=\"would_reject\"}")
            .await,
        2.0
    );
}

#[tokio::test]
async fn only_channels_of_the_settings_become_labels() {
    let gateway = TestGateway::builder().file(RULES).start().await;
    receipt(upload(&gateway, "channel=whatsapp&name=a.bin", noise(100, 1)).await).await;
    receipt(upload(&gateway, "channel=made_up&name=a.bin", noise(10, 1)).await).await;
    assert_eq!(
        gateway
            .metric("transfer_bytes_total{channel=\"whatsapp\",direction=\"upload\"}")
            .await,
        100.0
    );
    assert_eq!(
        gateway
            .metric("transfer_bytes_total{channel=\"other\",direction=\"upload\"}")
            .await,
        10.0
    );
}

#[tokio::test]
async fn no_spelling_of_a_channel_passes_its_rules_by() {
    let gateway = TestGateway::builder()
        .file("[policy.channels.whatsapp]\nmax_size = \"1KiB\"\nallow = [\"image/png\"]\n")
        .start()
        .await;
    for same in ["whatsapp", "WhatsApp", "WHATSAPP"] {
        let refused = upload(
            &gateway,
            &format!("channel={same}&name=a.bin"),
            noise(2000, 1),
        )
        .await;
        assert!(matches!(problem(refused).await.0, 413 | 415), "{same}");
    }
    for none in [
        "whatsapp%20",
        "%20whatsapp",
        "whatsapp%C2%A0",
        "%EF%BB%BFwhatsapp",
        "whats%C2%ADapp",
        "what%D1%95app",
        "a/b",
    ] {
        let refused = upload(
            &gateway,
            &format!("channel={none}&name=a.bin"),
            noise(2000, 1),
        )
        .await;
        assert_eq!(
            problem(refused).await,
            (
                400,
                "invalid-field".into(),
                "caller".into(),
                "admit".into(),
                false
            ),
            "{none}"
        );
        let (content_type, body) = form(
            &[("channel", &none.replace("%20", " "))],
            "a.bin",
            &noise(2000, 1),
            "",
        );
        let refused = gateway
            .post("/v1/assets")
            .header("content-type", content_type)
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(
            problem(refused).await.1,
            "invalid-field",
            "{none} in a form"
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
    let stored = receipt(upload(&gateway, "channel=WhatsApp&name=a.png", PNG.to_vec()).await).await;
    assert_eq!(
        stored["channel"], "WhatsApp",
        "eGain gets what the caller wrote"
    );
    assert!(
        gateway
            .metric("transfer_bytes_total{channel=\"whatsapp\",direction=\"upload\"}")
            .await
            > 0.0
    );
}

#[tokio::test]
async fn unknown_channels_are_refused_if_the_policy_says() {
    let entry = crate::support::secret_canary::entry;
    let file =
        entry("any", "") + &entry("bound", "channels = [\"line\"]") + "[policy.channels.sms]\n";
    let gateway = TestGateway::builder()
        .file(&file)
        .settings(&[("auth.mode", "keys"), ("policy.unknown_channels", "refuse")])
        .start()
        .await;
    let send = |id: &'static str, query: &str| {
        gateway
            .post(&format!("/v1/assets?name=a.txt&{query}"))
            .by(id)
            .body("hello")
            .send()
    };
    for (id, query) in [
        ("any", "channel=sms"),
        ("any", "channel=Line"),
        ("bound", ""),
        ("bound", "channel=LINE"),
    ] {
        receipt(send(id, query).await.unwrap()).await;
    }
    let calls = gateway.sandbox.stats().calls(SandboxOperation::CreateAsset);
    let refused = send("any", "channel=fax").await.unwrap();
    assert_eq!(
        problem(refused).await,
        (
            400,
            "invalid-field".into(),
            "caller".into(),
            "policy".into(),
            false
        )
    );
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        calls
    );
}

#[tokio::test]
async fn a_kind_of_media_has_limits_of_its_own() {
    let rules = "[policy.channels.whatsapp.outbound]\nmax_size = \"4KiB\"\n\
                 [policy.channels.whatsapp.outbound.image]\nmax_size = \"1KiB\"\n";
    let gateway = TestGateway::builder().file(rules).start().await;
    let query = "channel=whatsapp&sender=custom_bot";
    let picture = |size: usize| [PNG, &vec![0; size - PNG.len()]].concat();
    receipt(upload(&gateway, &format!("{query}&name=a.png"), picture(1024)).await).await;
    let too_large = (
        413,
        "too-large".into(),
        "caller".into(),
        "policy".into(),
        false,
    );
    assert_eq!(
        problem(upload(&gateway, &format!("{query}&name=a.png"), picture(1025)).await).await,
        too_large
    );
    assert_eq!(
        problem(upload(&gateway, &format!("{query}&name=a.txt"), picture(1025)).await).await,
        too_large,
        "by its bytes"
    );
    receipt(upload(&gateway, &format!("{query}&name=a.bin"), noise(4096, 1)).await).await;
    assert_eq!(
        problem(upload(&gateway, &format!("{query}&name=a.bin"), noise(4097, 1)).await).await,
        too_large
    );
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        2
    );
}

#[tokio::test]
async fn the_providers_published_limits_are_settings() {
    let gateway = TestGateway::builder()
        .file(include_str!(
            "../../../deploy/policy.providers.example.toml"
        ))
        .start()
        .await;
    let gif = b"GIF89a\x01\0\x01\0\0\0\0;".to_vec();
    let refused = upload(
        &gateway,
        "channel=custom.line&sender=egain_agent&name=a.gif",
        gif,
    )
    .await;
    assert_eq!(problem(refused).await.0, 415);
    receipt(
        upload(
            &gateway,
            "channel=custom.line&sender=egain_agent&name=a.png",
            PNG.to_vec(),
        )
        .await,
    )
    .await;
}
