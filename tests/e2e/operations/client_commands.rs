//! `put`, `get`, `url`, `rm` and `limits` from outside, against a gateway.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use crate::support::binary::{Running, owned, program};
use crate::support::gateway::{TestGateway, eventually, noise};
use crate::support::secret_canary::search;

/// What a command printed, and its exit code.
struct Finished {
    code: i32,
    out: String,
    err: String,
}

impl Finished {
    fn json(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn client(gateway: &TestGateway, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program(arguments, &owned(&[("URL", &gateway.url(""))]));
    command.current_dir(folder);
    command
}

async fn finish(mut command: Command) -> Finished {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let finished = Finished {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    };
    search("what a command said", &finished.err);
    finished
}

async fn run(gateway: &TestGateway, folder: &Path, arguments: &[&str]) -> Finished {
    finish(client(gateway, folder, arguments)).await
}

#[tokio::test]
async fn put_stores_each_file_once_and_prints_it() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let files = [noise(300_000, 1), noise(1, 2), noise(2_000_000, 3)];
    for (name, bytes) in ["a.bin", "b.bin", "c.bin"].iter().zip(&files) {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let arguments = ["put", "--channel", "sms", "a.bin", "b.bin", "c.bin"];
    let first = run(&gateway, folder.path(), &arguments).await;
    assert_eq!((first.code, first.err.as_str()), (0, ""));
    assert_eq!(first.out.lines().count(), 3);
    for line in first.out.lines() {
        let cells: Vec<_> = line.split('\t').collect();
        let at = ["a.bin", "b.bin", "c.bin"]
            .iter()
            .position(|name| *name == cells[1]);
        assert!(gateway.stored(cells[0]) == files[at.unwrap()]);
        assert_eq!(cells[3], files[at.unwrap()].len().to_string());
    }
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    let again = run(&gateway, folder.path(), &arguments).await;
    assert_eq!(again.code, 0);
    for receipt in again.json() {
        assert!(
            first.out.contains(receipt["id"].as_str().unwrap()),
            "stored once"
        );
        assert_eq!(receipt["file"], receipt["name"]);
        assert_eq!(receipt["lengthSource"], "declared");
    }
    assert_eq!(gateway.sandbox.assets().len(), 3);
}

#[tokio::test]
async fn put_reads_standard_input_under_a_name() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(700_000, 1);
    fs::write(folder.path().join("input"), &bytes).unwrap();
    let arguments = ["put", "--channel", "sms", "--name", "x.bin", "--json", "-"];
    let mut command = client(&gateway, folder.path(), &arguments);
    command.stdin(fs::File::open(folder.path().join("input")).unwrap());
    let stored = finish(command).await;
    assert_eq!(stored.code, 0, "{}", stored.err);
    let receipt = &stored.json()[0];
    assert_eq!(receipt["name"], "x.bin");
    assert!(gateway.stored(receipt["id"].as_str().unwrap()) == bytes);
    let nameless = run(&gateway, folder.path(), &["put", "--channel", "sms", "-"]).await;
    assert_eq!(nameless.code, 2);
    assert_eq!(
        nameless.err,
        "standard input has no name: give one with --name\n"
    );
}

#[tokio::test]
async fn put_names_each_bad_file_and_stores_the_others() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &OsStr| folder.path().join(name);
    let odd = [
        &b"a\nb.txt"[..],
        b"gr\xfc\xdfe.txt",
        "Grüße 你.txt".as_bytes(),
    ]
    .map(OsStr::from_bytes);
    for name in odd {
        fs::write(at(name), "text").unwrap();
    }
    fs::write(at(OsStr::new("empty.txt")), "").unwrap();
    fs::create_dir(at(OsStr::new("folder"))).unwrap();
    let mut command = client(&gateway, folder.path(), &["put", "--channel", "sms"]);
    command.args(["gone.txt", "empty.txt", "folder"]).args(odd);
    let finished = finish(command).await;
    assert_eq!(finished.code, 1);
    let mut said: Vec<_> = finished.err.lines().collect();
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "empty.txt: is empty: eGain takes no empty file",
            "folder: is a folder: put sends files",
            "gone.txt: doesn't exist",
        ]
    );
    let mut names: Vec<_> = finished
        .out
        .lines()
        .map(|line| line.split('\t').nth(1).unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["Grüße 你.txt", "ab.txt", "gr\u{fffd}\u{fffd}e.txt"]);
}

#[tokio::test]
async fn put_waits_visibly_while_the_gateway_is_busy() {
    let settings = [("egain.budget_wait", "10ms")];
    let gateway = TestGateway::builder().settings(&settings).start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.bin"), noise(1000, 1)).unwrap();
    let busy = || {
        Fault::at(SandboxOperation::CreateAsset)
            .status(StatusCode::TOO_MANY_REQUESTS)
            .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
            .once()
    };
    gateway.sandbox.fault(busy());
    let arguments = ["put", "--channel", "sms", "a.bin", "--wait", "0s", "--json"];
    let impatient = run(&gateway, folder.path(), &arguments).await;
    assert_eq!(impatient.code, 4, "{}", impatient.err);
    let failure = &impatient.json()[0]["error"];
    assert_eq!(
        (&failure["exitCode"], &failure["status"]),
        (&4.into(), &503.into())
    );
    let arguments = ["put", "--channel", "sms", "a.bin", "--wait", "20s"];
    let patient = run(&gateway, folder.path(), &arguments).await;
    assert_eq!(patient.code, 0, "{}", patient.err);
    assert!(patient.err.starts_with("a.bin: "), "{}", patient.err);
    assert!(patient.err.contains("next attempt in "), "{}", patient.err);
}

#[tokio::test]
async fn put_stores_nothing_of_a_file_that_changes() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bin");
    fs::write(&path, noise(10_000_000, 1)).unwrap();
    let slow = Fault::at(SandboxOperation::Upload).delay(Duration::from_secs(2));
    gateway.sandbox.fault(slow);
    let arguments = ["put", "--channel", "sms", "a.bin"];
    let running = tokio::spawn(finish(client(&gateway, folder.path(), &arguments)));
    assert!(eventually(|| !gateway.sandbox.assets().is_empty()).await);
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(9_999_999)
        .unwrap();
    let finished = running.await.unwrap();
    assert_eq!(
        (finished.code, finished.err.as_str()),
        (
            1,
            "a.bin: it changed while it was read: nothing was stored, send it again\n"
        )
    );
    assert_eq!(gateway.left_upstream(0).await, 0);
}

#[tokio::test]
async fn exit_codes_say_who_is_to_act() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "#!/bin/sh\n").unwrap();
    let put = ["put", "--channel", "sms", "a.txt"];
    let refused = run(&gateway, folder.path(), &put).await;
    assert_eq!(refused.code, 3);
    assert!(
        refused.err.contains(" [type-not-allowed, request "),
        "{}",
        refused.err
    );
    fs::write(folder.path().join("large.bin"), noise(12_000_000, 1)).unwrap();
    let large = ["put", "--channel", "sms", "large.bin"];
    let large = run(&gateway, folder.path(), &large).await;
    assert_eq!(large.code, 3);
    assert!(large.err.contains(" [too-large, request "), "{}", large.err);
    let mut nowhere = put.to_vec();
    nowhere.extend(["--url", "http://127.0.0.1:1"]);
    let nowhere = run(&gateway, folder.path(), &nowhere).await;
    assert_eq!(nowhere.code, 5);
    assert!(
        nowhere.err.contains("no connection to the gateway"),
        "{}",
        nowhere.err
    );
    for wrong in [
        &["put", "a.txt"][..],
        &["put", "--channel", "sms", "--name", "x", "a", "b"],
    ] {
        assert_eq!(
            run(&gateway, folder.path(), wrong).await.code,
            2,
            "{wrong:?}"
        );
    }
    for id in ["gone", "../a"] {
        assert_eq!(
            run(&gateway, folder.path(), &["url", id]).await.code,
            3,
            "{id}"
        );
    }
}

#[tokio::test]
async fn get_takes_the_assets_name_and_overwrites_nothing() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(300_000, 1);
    let id = gateway.upload("a.bin", bytes.clone()).await["id"].to_string();
    let id = id.trim_matches('"');
    let first = run(&gateway, folder.path(), &["get", id]).await;
    assert_eq!(
        (first.code, first.out.as_str()),
        (0, "a.bin\t300000\n"),
        "{}",
        first.err
    );
    let path = folder.path().join("a.bin");
    assert!(fs::read(&path).unwrap() == bytes);
    fs::write(&path, "mine").unwrap();
    let second = run(&gateway, folder.path(), &["get", id]).await;
    assert_eq!(second.code, 1);
    assert_eq!(
        second.err,
        "a.bin: it exists: choose another with -o, or --force\n"
    );
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    let forced = run(&gateway, folder.path(), &["get", id, "--force", "--json"]).await;
    assert_eq!(forced.json()[0]["size"], 300_000);
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no .part is left"
    );
    let mut command = client(&gateway, folder.path(), &["get", id, "-o", "-"]);
    command.stdout(fs::File::create(folder.path().join("out")).unwrap());
    assert_eq!(finish(command).await.code, 0);
    assert!(fs::read(folder.path().join("out")).unwrap() == bytes);
}

#[tokio::test]
async fn get_goes_on_after_a_kill() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(3_000_000, 1);
    let id = gateway.upload("a.bin", bytes.clone()).await["id"].to_string();
    let id = id.trim_matches('"');
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::Download)
            .cut_after(2_000_000)
            .once(),
    );
    gateway
        .sandbox
        .fault(Fault::at(SandboxOperation::Download).stall().once());
    let mut command = client(&gateway, folder.path(), &["get", id]);
    command.stdin(Stdio::null());
    let mut running = Running::start(command);
    let part = folder.path().join("a.bin.part");
    let has_half = || fs::metadata(&part).is_ok_and(|part| part.len() == 2_000_000);
    assert!(eventually(has_half).await);
    running.signal("KILL");
    running.ending().await;
    let resumed = run(&gateway, folder.path(), &["get", id]).await;
    assert_eq!(resumed.code, 0, "{}", resumed.err);
    assert!(fs::read(folder.path().join("a.bin")).unwrap() == bytes);
    let ranges =
        "http_requests_total{method=\"GET\",route=\"/v1/assets/{id}/content\",status=\"206\"}";
    assert_eq!(gateway.metric(ranges).await, 1.0, "only what was missing");
}

#[tokio::test]
async fn get_resumes_a_cut_connection_by_itself() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(3_000_000, 1);
    let id = gateway.upload("a.bin", bytes.clone()).await["id"].to_string();
    let cut = Fault::at(SandboxOperation::Download).no_etag();
    gateway.sandbox.fault(cut.cut_after(1_000_000).times(2));
    let finished = run(&gateway, folder.path(), &["get", id.trim_matches('"')]).await;
    assert_eq!(finished.code, 0, "{}", finished.err);
    assert!(
        finished.err.contains("goes on at byte 1000000"),
        "{}",
        finished.err
    );
    assert!(fs::read(folder.path().join("a.bin")).unwrap() == bytes);
}

#[tokio::test]
async fn url_rm_and_limits_print_what_the_gateway_says() {
    let gateway = TestGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let id = gateway.upload("a.bin", noise(1000, 1)).await["id"].to_string();
    let id = id.trim_matches('"');
    let url = run(&gateway, folder.path(), &["url", id]).await;
    assert!(url.out.starts_with("http://") && url.out.contains("signature="));
    let shown = run(&gateway, folder.path(), &["url", id, "--fresh", "--json"]).await;
    assert_eq!(shown.json()[0]["size"], 1000);
    let limits = run(&gateway, folder.path(), &["limits", "--channel", "sms"]).await;
    assert!(
        limits.out.contains("image\t10485760 bytes\t"),
        "{}",
        limits.out
    );
    let limits = run(
        &gateway,
        folder.path(),
        &["limits", "--channel", "sms", "--json"],
    )
    .await;
    assert_eq!(limits.json()[0]["channel"], "sms");
    let deleted = run(&gateway, folder.path(), &["rm", id, "gone"]).await;
    assert_eq!((deleted.code, deleted.out), (3, format!("{id}\tdeleted\n")));
    assert!(deleted.err.starts_with("gone: "), "{}", deleted.err);
    assert_eq!(gateway.sandbox.assets().len(), 0);
}
