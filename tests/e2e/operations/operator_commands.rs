//! `accounts` and `channels` from outside, and what shells and terminals know of the commands.

use std::fs;
use std::path::Path;
use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use serde_json::{Value, json};

use crate::support::binary::{owned, program};
use crate::support::gateway::{TestGateway, eventually};
use crate::support::secret_canary::search;

/// Holds a mark of the secrets that all that comes out is searched for.
const SECRET: &str = "agw_auth-token-of-an-account";

async fn run(gateway: &TestGateway, arguments: &[&str]) -> (i32, String, String) {
    let mut command = program(arguments, &owned(&[("URL", &gateway.url(""))]));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    search("what a command printed", &out);
    search("what a command said", &err);
    (output.status.code().unwrap(), out, err)
}

/// The command line that creates an account, less its end.
fn create(folder: &Path) -> Vec<String> {
    let file = folder.join("token");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let secret = format!("authToken={}", file.display());
    let words = [
        "accounts",
        "create",
        "--channel",
        "sms_twilio",
        "--name",
        "Support",
        "--orchestration",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "--entry-point",
        "1001",
        "--attribute",
        "accountSid=AC1",
        "--secret",
        &secret,
    ];
    words.map(str::to_owned).to_vec()
}

async fn created(gateway: &TestGateway, more: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let line = create(folder.path());
    let line: Vec<&str> = line
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    run(gateway, &line).await
}

#[tokio::test]
async fn an_account_is_created_changed_and_deleted_by_command() {
    let gateway = TestGateway::start().await;
    let (code, dry, err) = created(&gateway, &["--address", "+14155550100", "--dry-run"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(dry.contains("\"isSet\": true"), "{dry}");
    assert_eq!(
        gateway
            .sandbox
            .stats()
            .calls(SandboxOperation::CreateAccount),
        0
    );
    let (code, id, err) = created(&gateway, &["--address", "+14155550100"]).await;
    assert_eq!(code, 0, "{err}");
    let id = id.trim();
    let (_, list, _) = run(&gateway, &["accounts", "list"]).await;
    assert_eq!(list, format!("{id}\tSupport\t+14155550100\tactive\n"));
    let update = ["accounts", "update", id, "--chat-timeout", "300"];
    let line = "chatConfigurations.timeout: 240 -> 300\n";
    let (code, dry, err) = run(&gateway, &[&update[..], &["--dry-run"]].concat()).await;
    assert_eq!((code, dry.as_str()), (0, line), "{err}");
    assert_eq!(
        gateway
            .sandbox
            .stats()
            .calls(SandboxOperation::ReplaceAccount),
        0
    );
    let (code, changed, err) = run(&gateway, &update).await;
    assert_eq!((code, changed.as_str()), (0, line), "{err}");
    let (_, none, said) = run(&gateway, &update).await;
    assert_eq!((none.as_str(), said.as_str()), ("", "nothing to change\n"));
    let (_, shown, _) = run(&gateway, &["accounts", "show", id, "--json"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["chatConfigurations"]["timeout"], 300);
    assert_eq!(
        shown["attributes"][1],
        json!({"name": "authToken", "isSet": true})
    );
    let (code, deleted, _) = run(&gateway, &["accounts", "delete", id]).await;
    assert_eq!((code, deleted), (0, format!("{id}\tdeleted\n")));
    assert_eq!(run(&gateway, &["accounts", "show", id]).await.0, 3);
}

#[tokio::test]
async fn all_mistakes_of_an_account_are_reported_without_it() {
    let gateway = TestGateway::start().await;
    for more in [&["--dry-run"][..], &[]] {
        let wrong = ["--address", "4155550100", "--chat-timeout", "2"];
        let (code, _, said) = created(&gateway, &[&wrong[..], more].concat()).await;
        assert_eq!(code, 3, "{said}");
        assert!(
            said.contains("+ and up to 15 digits for Twilio SMS"),
            "{said}"
        );
        assert!(
            said.contains("chatConfigurations.timeout: 3 to 10080, is 2"),
            "{said}"
        );
    }
    assert_eq!(
        gateway
            .sandbox
            .stats()
            .calls(SandboxOperation::CreateAccount),
        0
    );
}

#[tokio::test]
async fn an_account_that_changed_meanwhile_is_not_overwritten() {
    let gateway = TestGateway::start().await;
    let (_, id, _) = created(&gateway, &["--address", "+14155550100"]).await;
    let id = id.trim().to_owned();
    let read = Fault::at(SandboxOperation::GetAccount);
    gateway.sandbox.fault(read.clone().once());
    gateway
        .sandbox
        .fault(read.delay(Duration::from_secs(2)).once());
    let update = ["accounts", "update", &id, "--name", "Mine"];
    let (updated, ()) = tokio::join!(run(&gateway, &update), async {
        let calls = || gateway.sandbox.stats().calls(SandboxOperation::GetAccount);
        assert!(eventually(|| calls() == 2).await);
        let document = json!({"id": id, "name": "Theirs", "modified": {"date": "now"}});
        gateway.sandbox.put_account(document);
    });
    let (code, _, said) = updated;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("the account was changed meanwhile"), "{said}");
    assert_eq!(
        gateway
            .sandbox
            .stats()
            .calls(SandboxOperation::ReplaceAccount),
        0
    );
}

#[tokio::test]
async fn channels_are_listed_and_shown() {
    let gateway = TestGateway::start().await;
    let (code, list, _) = run(&gateway, &["channels", "list"]).await;
    assert_eq!(
        (code, list.lines().count()),
        (0, gateway.sandbox.channels().len())
    );
    let line = list
        .lines()
        .find(|line| line.ends_with("\twhatsapp"))
        .unwrap();
    let id = line.split('\t').next().unwrap();
    let (_, shown, _) = run(&gateway, &["channels", "show", id, "--json"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&shown).unwrap()["type"],
        "whatsapp"
    );
    let page = [
        "channels",
        "list",
        "--page-size",
        "1",
        "--page",
        "2",
        "--json",
    ];
    let (_, page, _) = run(&gateway, &page).await;
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["channel"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn shells_and_man_know_every_command() {
    let gateway = TestGateway::start().await;
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = run(&gateway, &["completions", shell]).await;
        assert_eq!(code, 0);
        for word in ["put", "probe-ingress", "idempotency-key", "dry-run"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    let (_, all, _) = run(&gateway, &["man"]).await;
    assert!(
        all.contains(".TH asset-gateway 1") && all.contains("asset\\-gateway\\-put(1)"),
        "{all}"
    );
    let (_, page, _) = run(&gateway, &["man", "accounts", "create"]).await;
    assert!(
        page.contains(".TH asset-gateway-accounts-create 1"),
        "{page}"
    );
    assert!(page.contains("Exit codes: 0 done"), "{page}");
    assert_eq!(run(&gateway, &["man", "nothing"]).await.0, 2);
}
