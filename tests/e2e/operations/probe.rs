//! `POST /v1/probe` and the command that uses it; `tests/ingress` has real proxies in between.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::Response;
use serde_json::Value;
use tokio::time::sleep;

use super::callers::keys;
use crate::support::binary::{Running, owned, program, run, settings};
use crate::support::gateway::{TestGateway, noise, problem};
use crate::support::raw_client::{Wire, ask, by_hand};
use crate::support::secret_canary::key;

const PROBE: &str = "/v1/probe";

async fn with(settings: &[(&str, &str)]) -> TestGateway {
    TestGateway::builder().settings(settings).start().await
}

async fn code(response: Response) -> (u16, String) {
    let (status, code, ..) = problem(response).await;
    (status, code)
}

#[tokio::test]
async fn pieces_of_a_body_are_reported_as_they_arrived() {
    let gateway = TestGateway::start().await;
    let (mut body, response) = by_hand(gateway.post(PROBE).header("via", "1.1 ingress"));
    for size in [1000, 2000] {
        body.write(noise(size, 1)).await;
        sleep(Duration::from_millis(300)).await;
    }
    body.end();
    let report: Value = response.await.unwrap().unwrap().json().await.unwrap();
    let sizes: Vec<_> = report["body"]["pieces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|piece| piece["bytes"].as_u64().unwrap())
        .collect();
    assert_eq!(sizes, [1000, 2000], "{report}");
    let ms = |nth: usize| report["body"]["pieces"][nth]["ms"].as_u64().unwrap();
    assert!((250..2000).contains(&(ms(1) - ms(0))), "{report}");
    assert_eq!(
        (&report["httpVersion"], &report["via"]),
        (&"HTTP/1.1".into(), &"1.1 ingress".into())
    );
    assert_eq!(report["transferEncoding"], "chunked");
    assert_eq!(report["service"], "asset-gateway");
}

#[tokio::test]
async fn http_1_0_is_reported_as_what_it_is() {
    let gateway = TestGateway::start().await;
    let response = ask(gateway.addr, "POST /v1/probe", "content-length: 0\r\n").await;
    assert!(response.contains("\"httpVersion\":\"HTTP/1.1\""));
    let mut wire = Wire::to(gateway.addr).await;
    wire.send("POST /v1/probe HTTP/1.0\r\ncontent-length: 0\r\n\r\n")
        .await;
    let response = String::from_utf8(wire.rest().await).unwrap();
    assert!(
        response.contains("\"httpVersion\":\"HTTP/1.0\""),
        "{response}"
    );
}

#[tokio::test]
async fn a_response_comes_line_by_line() {
    let gateway = TestGateway::start().await;
    let url = format!("{PROBE}?delay_ms=300&lines=2&interval_ms=300");
    let began = Instant::now();
    let mut response = gateway.post(&url).send().await.unwrap();
    let mut came = vec![began.elapsed()];
    let mut text = String::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        came.push(began.elapsed());
    }
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[1..],
        ["{\"line\":1}", "{\"line\":2,\"last\":true}"],
        "{text}"
    );
    let waits = |from: usize, to: usize| came[to].saturating_sub(came[from]).as_millis() >= 250;
    assert!(came[0].as_millis() >= 300, "its head waits: {came:?}");
    assert!(waits(1, 2) && waits(2, 3), "{came:?}");
}

#[tokio::test]
async fn a_probe_is_open_to_readers_and_calls_nobody() {
    let gateway = TestGateway::builder()
        .file(&keys())
        .settings(&[("auth.mode", "keys")])
        .start()
        .await;
    let response = gateway.post(PROBE).by("reader").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let response = gateway.post(PROBE).send().await.unwrap();
    assert_eq!(code(response).await, (401, "unauthenticated".to_owned()));
    let response = gateway.post(PROBE).by("slow").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let response = gateway.post(PROBE).by("slow").send().await.unwrap();
    assert_eq!(code(response).await, (429, "rate-limited".to_owned()));
    let stats = gateway.sandbox.stats();
    let calls = [
        SandboxOperation::CreateAsset,
        SandboxOperation::GetAsset,
        SandboxOperation::ListAccounts,
    ];
    assert!(calls.into_iter().all(|call| stats.calls(call) == 0));
}

#[tokio::test]
async fn a_probe_holds_a_permit_for_one_upload() {
    let gateway = with(&[("server.max_uploads", "1")]).await;
    let late = gateway.post("/v1/probe?delay_ms=60000").send();
    let late = tokio::spawn(late);
    let busy = || async {
        let response = gateway.post(PROBE).send().await.unwrap();
        response.status() == 503
    };
    let began = Instant::now();
    while !busy().await {
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    late.abort();
    while busy().await {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "a client that disconnects gives it back"
        );
    }
}

#[tokio::test]
async fn a_probe_that_sends_nothing_is_given_up() {
    let gateway = with(&[("server.body_idle_timeout", "1s")]).await;
    let (mut body, response) = by_hand(gateway.post(PROBE));
    let began = Instant::now();
    body.write(noise(1000, 1)).await;
    let response = response.await.unwrap().unwrap();
    assert_eq!(code(response).await, (408, "client-too-slow".to_owned()));
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_probe_that_would_take_too_long_is_refused() {
    let gateway = TestGateway::start().await;
    for query in ["delay_ms=120001", "lines=2000", "lines=x", "other=1"] {
        let response = gateway.post(&format!("{PROBE}?{query}")).send().await;
        let refused = (400, "invalid-field".to_owned());
        assert_eq!(code(response.unwrap()).await, refused, "{query}");
    }
}

#[tokio::test]
async fn a_draining_gateway_takes_no_probes() {
    let gateway = with(&[("server.shutdown_grace", "10s")]).await;
    let url = gateway.url("/v1/probe?delay_ms=3000");
    let running = tokio::spawn(gateway.client.post(url).send());
    sleep(Duration::from_millis(200)).await;
    let mut wire = Wire::to(gateway.addr).await;
    wire.send("POST /v1/probe HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n")
        .await;
    gateway.stop();
    sleep(Duration::from_millis(500)).await;
    wire.send("\r\na").await;
    let refused = wire.answer().await;
    assert!(
        refused.status == 503 && refused.body.contains("\"draining\""),
        "{refused:?}"
    );
    assert_eq!(running.await.unwrap().unwrap().status(), 200);
}

/// Uploads 1.5 MiB, with a pause within the file where there is one.
async fn upload(gateway: &TestGateway, through: &'static str, pause: Duration) {
    let file = noise(3 << 19, 1);
    let request = gateway
        .post("/v1/assets?channel=sms&name=a.bin")
        .header("content-length", file.len())
        .header(through, "1.1 ingress");
    let (mut body, response) = by_hand(request);
    let (beginning, rest) = file.split_at(1 << 20);
    body.write(beginning).await;
    sleep(pause).await;
    body.write(rest).await;
    body.end();
    assert_eq!(response.await.unwrap().unwrap().status(), 201);
}

#[tokio::test]
async fn large_proxied_uploads_are_counted_by_how_they_came() {
    let gateway = TestGateway::start().await;
    let gradual = "proxied_bodies_total{arrival=\"gradual\"}";
    let long = Duration::from_secs(1);
    upload(&gateway, "x-other", long).await;
    upload(&gateway, "via", long).await;
    upload(&gateway, "x-forwarded-for", long).await;
    assert!(gateway.counts(gradual, 2.0).await);
    let small = gateway
        .post("/v1/assets?channel=sms&name=a.bin")
        .header("via", "1.1 ingress")
        .body(noise(1000, 1));
    assert_eq!(small.send().await.unwrap().status(), 201);
    // How many came at once depends on how busy this machine is: see `tests/ingress`.
    let at_once = gateway
        .metric("proxied_bodies_total{arrival=\"at_once\"}")
        .await;
    assert_eq!(at_once, 0.0);
}

/// Runs `probe-ingress` for as short as it goes, and returns its exit code and its findings.
async fn probe(url: String, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let arguments: Vec<String> = ["probe-ingress", &url, "--json", "--duration", "1s"]
        .iter()
        .chain(arguments)
        .map(|argument| (*argument).to_owned())
        .collect();
    let variables = owned(variables);
    let (output, out, err) = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&arguments, &variables)
    })
    .await
    .unwrap();
    let shown: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let findings = shown["findings"].as_array().unwrap().clone();
    (output.status.code().unwrap(), findings)
}

#[tokio::test]
async fn probe_ingress_finds_nothing_wrong_without_a_proxy() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let gateway = Running::start(program(&["serve"], &settings(&sandbox)));
    let (addr, _) = gateway.listens().await;
    let (code, findings) = probe(format!("http://{addr}"), &["--size", "1MiB"], &[]).await;
    let kinds: Vec<_> = findings.iter().map(|finding| &finding["kind"]).collect();
    assert_eq!(
        (code, kinds),
        (0, vec![&Value::from("streams")]),
        "{findings:?}"
    );
}

#[tokio::test]
async fn probe_ingress_tells_a_wrong_key_from_no_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    std::fs::write(&file, keys()).unwrap();
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let mut variables = settings(&sandbox);
    variables.retain(|(key, _)| key != "AUTH__MODE");
    variables.extend(owned(&[("AUTH__MODE", "keys")]));
    let serve = ["serve", "--config", file.to_str().unwrap()];
    let gateway = Running::start(program(&serve, &variables));
    let (addr, admin) = gateway.listens().await;
    let found = async |addr: String, variables: &[(&str, &str)]| {
        let (code, findings) = probe(format!("http://{addr}"), &[], variables).await;
        let kind = findings[0]["kind"].as_str().unwrap().to_owned();
        (code, kind)
    };
    let data = addr.to_string();
    assert_eq!(found(data.clone(), &[]).await, (4, "wrong-key".to_owned()));
    let wrong = [("KEY", "wrong")];
    assert_eq!(
        found(data.clone(), &wrong).await,
        (4, "wrong-key".to_owned())
    );
    let reader = key("reader");
    let right = [("KEY", reader.as_str())];
    assert_eq!(found(data, &right).await, (0, "streams".to_owned()));
    let other = found(admin.to_string(), &[]).await;
    assert_eq!(other, (3, "not-a-gateway".to_owned()));
    let nobody = found("127.0.0.1:1".to_owned(), &[]).await;
    assert_eq!(nobody, (3, "not-reachable".to_owned()));
}

#[test]
fn probe_ingress_refuses_what_it_cant_do() {
    for (argument, expected) in [
        (
            "ftp://gateway.example.com",
            "expected a URL with http or https",
        ),
        ("--duration=10m", "expected 1s to 110s"),
        ("--size=1GiB", "expected 1B to 32MiB"),
    ] {
        let (output, out, err) = run(&["probe-ingress", argument], &[]);
        assert_eq!((output.status.code(), out.as_str()), (Some(2), ""));
        assert!(err.contains(expected), "{argument}: {err}");
    }
}
