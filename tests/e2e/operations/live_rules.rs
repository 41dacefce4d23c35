//! What an account's channel lets be attached holds for every caller that is bound to the account.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use futures_util::future::join_all;
use http::StatusCode;
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::gateway::{TestGateway, problem, receipt};
use crate::support::secret_canary::entry;

const ACCOUNT: &str = "7d9a3f52-0000-4000-8000-0000000000aa";
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

/// A gateway with a caller that is bound to an account of a channel of this type.
async fn gateway(kind: &str, settings: &[(&str, &str)]) -> TestGateway {
    let keys = entry("bound", &format!("account = \"{ACCOUNT}\"")) + &entry("free", "");
    let gateway = TestGateway::builder()
        .file(&keys)
        .settings(&[&[("auth.mode", "keys")], settings].concat())
        .start()
        .await;
    let channel = channel(&gateway, kind);
    gateway.sandbox.put_account(
        json!({"id": ACCOUNT, "name": "a", "active": true, "channel": {"id": channel["id"]}}),
    );
    gateway
}

fn channel(gateway: &TestGateway, kind: &str) -> Value {
    gateway
        .sandbox
        .channels()
        .into_iter()
        .find(|channel| channel["type"] == kind)
        .unwrap()
}

async fn upload(gateway: &TestGateway, query: &str, file: Vec<u8>) -> Response {
    gateway
        .post(&format!("/v1/assets?{query}"))
        .by("bound")
        .body(file)
        .send()
        .await
        .unwrap()
}

async fn refusal(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

fn creations(gateway: &TestGateway) -> u64 {
    gateway.sandbox.stats().calls(SandboxOperation::CreateAsset)
}

#[tokio::test]
async fn an_accounts_channel_refuses_uploads_without_a_call() {
    let gateway = gateway("whatsapp", &[]).await;
    let (status, told) = refusal(
        upload(
            &gateway,
            "sender=egain_agent&name=a.txt",
            b"a text".to_vec(),
        )
        .await,
    )
    .await;
    assert_eq!(
        (status, &told["code"], &told["stage"]),
        (415, &json!("type-not-allowed"), &json!("policy"))
    );
    let allowed = json!(["jpeg", "jpg", "pdf", "png"]);
    assert_eq!(
        told["limit"],
        json!({"source": "egain-channel", "max_size": 5_242_880, "allowed": allowed})
    );
    let large = [PNG, &vec![0; 5_242_880]].concat();
    let (status, told) =
        refusal(upload(&gateway, "sender=egain_agent&name=a.png", large).await).await;
    assert_eq!(
        (status, &told["limit"]["source"], &told["limit"]["max_size"]),
        (413, &json!("egain-channel"), &json!(5_242_880))
    );
    assert_eq!(creations(&gateway), 0);
    // The name agrees with the bytes before it is compared: a picture is one, whatever it was
    // called.
    let stored =
        receipt(upload(&gateway, "sender=egain_agent&name=scan.txt", PNG.to_vec()).await).await;
    assert_eq!(
        (&stored["name"], &stored["channel"]),
        (&json!("scan.png"), &json!("whatsapp"))
    );
    receipt(
        upload(
            &gateway,
            "name=a.txt",
            b"from the customer all is allowed".to_vec(),
        )
        .await,
    )
    .await;
}

#[tokio::test]
async fn a_channel_that_contradicts_its_account_is_refused() {
    let gateway = gateway("sms_twilio", &[]).await;
    let refused =
        problem(upload(&gateway, "channel=whatsapp&name=a.txt", b"a".to_vec()).await).await;
    assert_eq!(
        refused,
        (
            400,
            "conflicting-field".into(),
            "caller".into(),
            "admit".into(),
            false
        )
    );
    let own = upload(&gateway, "channel=SMS_twilio&name=a.txt", b"a".to_vec()).await;
    assert_eq!(receipt(own).await["channel"], "SMS_twilio");
    let free = gateway
        .post("/v1/assets?channel=whatsapp&sender=egain_bot&name=a.txt")
        .by("free")
        .body("a")
        .send()
        .await
        .unwrap();
    assert_eq!(
        receipt(free).await["channel"],
        "whatsapp",
        "a caller without an account isn't bound"
    );
}

#[tokio::test]
async fn blocked_types_and_the_documented_size_hold_inbound() {
    let gateway = gateway("custom.teams", &[("policy.deny", "application/x-nothing")]).await;
    let (status, told) =
        refusal(upload(&gateway, "name=run.bat", b"@echo off\r\ndir\r\n".to_vec()).await).await;
    assert_eq!(
        (status, &told["limit"]["source"]),
        (415, &json!("egain-channel")),
        "{told}"
    );
    let (status, told) = refusal(upload(&gateway, "name=a.bin", vec![0xAA; 12_346]).await).await;
    assert_eq!(status, 413);
    assert!(
        told["detail"]
            .as_str()
            .unwrap()
            .contains("sample of eGain's documentation"),
        "{told}"
    );
    receipt(upload(&gateway, "name=a.bin", vec![0xAA; 12_345]).await).await;
}

#[tokio::test]
async fn a_channel_that_takes_no_attachments_takes_none() {
    let gateway = gateway("whatsapp", &[]).await;
    let mut channel = channel(&gateway, "whatsapp");
    channel["restrictions"] = json!({"inbound": {"features": ["typing_events"]}});
    gateway.sandbox.put_channel(channel);
    for query in ["name=a.png", "sender=custom_bot&name=a.png"] {
        let (status, told) = refusal(upload(&gateway, query, PNG.to_vec()).await).await;
        assert_eq!(
            (status, &told["code"], &told["limit"]["allowed"]),
            (403, &json!("forbidden"), &json!([])),
            "{query}"
        );
    }
    assert_eq!(creations(&gateway), 0);
}

#[tokio::test]
async fn a_changed_rule_applies_in_time_without_delaying_uploads() {
    let gateway = gateway("whatsapp", &[("egain.rules_ttl", "200ms")]).await;
    receipt(upload(&gateway, "sender=custom_bot&name=a.png", PNG.to_vec()).await).await;
    let mut channel = channel(&gateway, "whatsapp");
    channel["restrictions"]["outbound"]["attachmentPolicy"]["extensions"] = json!(["pdf"]);
    gateway.sandbox.put_channel(channel);
    let mut last = 0;
    for _ in 0..100 {
        last = upload(&gateway, "sender=custom_bot&name=a.png", PNG.to_vec())
            .await
            .status()
            .as_u16();
        if last == 415 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(last, 415);
    // A refresh that hangs holds up nobody.
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::GetAccount).stall());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(
        upload(&gateway, "sender=custom_bot&name=a.png", PNG.to_vec())
            .await
            .status(),
        415
    );
}

#[tokio::test]
async fn rules_survive_an_outage_and_unknown_ones_arent_guessed() {
    let gateway = gateway("whatsapp", &[("egain.rules_ttl", "100ms")]).await;
    receipt(upload(&gateway, "sender=custom_bot&name=a.png", PNG.to_vec()).await).await;
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::GetAccount).status(StatusCode::SERVICE_UNAVAILABLE));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    receipt(upload(&gateway, "sender=custom_bot&name=a.png", PNG.to_vec()).await).await;
    assert_eq!(
        upload(&gateway, "sender=custom_bot&name=a.txt", b"a".to_vec())
            .await
            .status(),
        415
    );
    assert!(
        gateway.metric("rules_age_seconds").await >= 1.0,
        "their age is told"
    );
    let other = self::gateway("whatsapp", &[]).await;
    other
        .sandbox
        .fault(Fault::at(SandboxOperation::GetAccount).status(StatusCode::SERVICE_UNAVAILABLE));
    let unseen = upload(&other, "sender=custom_bot&name=a.png", PNG.to_vec()).await;
    assert!(unseen.headers().contains_key("retry-after"));
    assert_eq!(
        problem(unseen).await,
        (
            503,
            "upstream-unavailable".into(),
            "egain".into(),
            "policy".into(),
            true
        )
    );
    assert_eq!(creations(&other), 0);
}

#[tokio::test]
async fn a_missing_or_inactive_account_refuses_with_its_reason() {
    let gateway = gateway("whatsapp", &[("egain.rules_ttl", "100ms")]).await;
    receipt(upload(&gateway, "sender=custom_bot&name=a.png", PNG.to_vec()).await).await;
    let id = channel(&gateway, "whatsapp")["id"].clone();
    let refused = async |word: &str| {
        for _ in 0..100 {
            let answer = upload(&gateway, "sender=custom_bot&name=a.png", PNG.to_vec()).await;
            if answer.status() == 403 {
                let told: Value = answer.json().await.unwrap();
                if told["detail"].as_str().unwrap().contains(word) {
                    return true;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    };
    gateway
        .sandbox
        .put_account(json!({"id": ACCOUNT, "active": false, "channel": {"id": id}}));
    assert!(refused("account is inactive").await);
    let mut closed = channel(&gateway, "whatsapp");
    closed["active"] = json!(false);
    gateway
        .sandbox
        .put_account(json!({"id": ACCOUNT, "active": true, "channel": {"id": id}}));
    gateway.sandbox.put_channel(closed);
    assert!(refused("channel of this caller's account is inactive").await);
    gateway.sandbox.remove_account(ACCOUNT);
    assert!(refused("doesn't exist at eGain any more").await);
}

#[tokio::test]
async fn an_accounts_callers_share_one_fetch_a_period() {
    let gateway = gateway("whatsapp", &[]).await;
    let uploads = (0..60).map(|_| upload(&gateway, "sender=custom_bot&name=a.png", PNG.to_vec()));
    for answer in join_all(uploads).await {
        assert_eq!(answer.status(), 201);
    }
    let stats = gateway.sandbox.stats();
    assert_eq!(
        (
            stats.calls(SandboxOperation::GetAccount),
            stats.calls(SandboxOperation::GetChannel)
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn limits_are_readable_before_an_upload() {
    let rules = [("policy.report_only", "false")];
    let gateway = gateway("whatsapp", &rules).await;
    let told: Value = gateway
        .get("/v1/limits?sender=egain_agent")
        .by("bound")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&told["channel"], &told["attachments"]),
        (&json!("whatsapp"), &json!(true))
    );
    assert_eq!(
        told["kinds"]["image"],
        json!({"maxSize": 5_242_880, "source": "egain-channel"})
    );
    assert_eq!(
        told["allowedExtensions"],
        json!(["jpeg", "jpg", "pdf", "png"])
    );
    let told: Value = gateway
        .get("/v1/limits?channel=sms")
        .by("free")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        told["kinds"]["video"],
        json!({"maxSize": 10_485_760, "source": "egain-maximum"})
    );
    let wrong = gateway.get("/v1/limits").by("free").send().await.unwrap();
    assert_eq!(problem(wrong).await.1, "missing-field");
    let file = "[policy.channels.sms]\nmax_size = \"1MiB\"\n[policy.channels.sms.image]\n\
                max_size = \"1KiB\"\nallow = [\"image/png\"]\n";
    let gateway = TestGateway::builder().file(file).start().await;
    let told: Value = gateway
        .get("/v1/limits?channel=sms")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        told["kinds"]["image"],
        json!({"maxSize": 1024, "source": "setting", "allowedTypes": ["image/png"]})
    );
    assert_eq!(
        told["kinds"]["audio"],
        json!({"maxSize": 1 << 20, "source": "setting"})
    );
}
