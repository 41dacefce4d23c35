//! The real program, whose log goes where nobody takes it: a pipe that isn't read, a reader that
//! was stopped, a full disk.

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::telemetry::logging;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::binary::{owned, program, settings};
use crate::support::client::Client;
use crate::support::gateway::{eventually, noise, receipt};
use crate::support::raw_client::Wire;

/// Far more lines than a pipe and the queue before it hold.
const MANY: usize = 10_000;

/// Ends its process with the test.
struct Process(Child);

impl Process {
    fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args([&format!("-{name}"), &self.0.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    async fn ends_within(&mut self, time: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < time, "it doesn't end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _already_ended = self.0.kill();
        let _status = self.0.wait();
    }
}

struct Gateway {
    process: Process,
    addr: SocketAddr,
    admin: SocketAddr,
    client: Client,
}

impl Gateway {
    /// On ports that were free a moment ago, as its log can't be asked for them.
    async fn start(sandbox: &Sandbox, log: impl Into<Stdio>) -> Self {
        let [addr, admin] = [(); 2].map(|()| {
            TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
        });
        let mut variables = settings(sandbox);
        variables.retain(|(key, _)| !key.ends_with("LISTEN"));
        variables.extend(owned(&[
            ("SERVER__LISTEN", &addr.to_string()),
            ("SERVER__ADMIN_LISTEN", &admin.to_string()),
        ]));
        let process = Process(program(&["serve"], &variables).stderr(log).spawn().unwrap());
        let gateway = Self {
            process,
            addr,
            admin,
            client: Client::with(|builder| builder.timeout(Duration::from_secs(10))),
        };
        let began = Instant::now();
        while gateway
            .client
            .get(format!("http://{admin}/livez"))
            .send()
            .await
            .is_err()
        {
            assert!(began.elapsed() < Duration::from_secs(10), "it starts");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gateway
    }

    /// Each of them is a line in the log.
    async fn ask_many_times(&self) {
        let mut wire = Wire::to(self.addr).await;
        for _ in 0..MANY / 100 {
            wire.send("GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100))
                .await;
            for _ in 0..100 {
                assert_eq!(wire.answer().await.status, 404);
            }
        }
    }

    async fn dropped(&self) -> f64 {
        let text = self
            .client
            .get(format!("http://{}/metrics", self.admin))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("asset_gateway_log_lines_dropped_total "));
        line.unwrap().parse().unwrap()
    }

    /// Callers, probes and SIGTERM don't notice that lines are lost, and these are counted.
    async fn goes_on_as_usual(mut self) {
        self.ask_many_times().await;
        let upload = format!("http://{}/v1/assets?channel=sms&name=a.bin", self.addr);
        receipt(
            self.client
                .post(upload)
                .body(noise(1000, 1))
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(
            self.client
                .get(format!("http://{}/livez", self.admin))
                .send()
                .await
                .unwrap()
                .status(),
            StatusCode::OK
        );
        assert!(self.dropped().await > 0.0);
        self.process.signal("TERM");
        assert_eq!(
            self.process
                .ends_within(Duration::from_secs(6))
                .await
                .code(),
            Some(0)
        );
    }
}

fn sandbox() -> Sandbox {
    Sandbox::start(SandboxConfig::default()).unwrap()
}

/// A pipe in which nothing has room.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    let mut filling = writer.try_clone().unwrap();
    // It stays in there, as nobody reads.
    std::thread::spawn(move || filling.write_all(&[b'x'; 1 << 20]));
    std::thread::sleep(Duration::from_millis(100));
    (reader, writer)
}

#[tokio::test]
async fn a_log_pipe_that_nobody_reads_stops_nothing() {
    let sandbox = sandbox();
    let (_unread, writer) = pipe().unwrap();
    Gateway::start(&sandbox, writer)
        .await
        .goes_on_as_usual()
        .await;
}

#[tokio::test]
async fn a_full_disk_behind_the_log_stops_nothing() {
    let sandbox = sandbox();
    let full = File::options().write(true).open("/dev/full").unwrap();
    Gateway::start(&sandbox, full)
        .await
        .goes_on_as_usual()
        .await;
}

#[tokio::test]
async fn a_log_reader_that_left_stops_nothing() {
    let sandbox = sandbox();
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    Gateway::start(&sandbox, writer)
        .await
        .goes_on_as_usual()
        .await;
}

#[tokio::test]
async fn a_stopped_log_reader_gets_the_rest_later() {
    let sandbox = sandbox();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let (reader, writer) = pipe().unwrap();
    let cat = Process(
        Command::new("cat")
            .stdin(reader)
            .stdout(File::create(&file).unwrap())
            .spawn()
            .unwrap(),
    );
    let mut gateway = Gateway::start(&sandbox, writer).await;
    cat.signal("STOP");
    gateway.ask_many_times().await;
    let dropped = gateway.dropped().await;
    assert!(dropped > 0.0);
    cat.signal("CONT");
    // The queue is empty again.
    let lines = || BufReader::new(File::open(&file).unwrap()).lines().count();
    assert!(eventually(|| lines() as f64 >= MANY as f64 - dropped).await);
    gateway.process.signal("TERM");
    assert_eq!(
        gateway
            .process
            .ends_within(Duration::from_secs(6))
            .await
            .code(),
        Some(0)
    );
    let last = || -> Option<Value> {
        serde_json::from_str(
            &BufReader::new(File::open(&file).unwrap())
                .lines()
                .last()?
                .unwrap(),
        )
        .ok()
    };
    assert!(
        eventually(|| last().is_some_and(|line| line["message"] == "stopped")).await,
        "its last line is flushed"
    );
}

#[tokio::test]
async fn a_start_that_fails_ends_though_nobody_reads_why() {
    let (_unread, writer) = full_pipe();
    let mut process = Process(program(&["serve"], &[]).stderr(writer).spawn().unwrap());
    assert_eq!(
        process.ends_within(Duration::from_secs(6)).await.code(),
        Some(1)
    );
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut process = Process(program(&["serve"], &[]).stderr(full).spawn().unwrap());
    assert_eq!(
        process.ends_within(Duration::from_secs(6)).await.code(),
        Some(1)
    );
}

/// Makes a run of this binary within a run panic.
const PANIC: &str = "PANIC_WITH_A_STUCK_LOG";

#[tokio::test]
async fn a_panic_is_logged_and_stops_nothing_else() {
    if std::env::var(PANIC).is_ok() {
        let _log = logging::start(Some(logging::LogFormat::Json), "info").unwrap();
        assert!(
            tokio::spawn(async { panic!("a defect") })
                .await
                .unwrap_err()
                .is_panic()
        );
        return;
    }
    let myself = [
        "--exact",
        "operations::stuck_log::a_panic_is_logged_and_stops_nothing_else",
        "--nocapture",
    ];
    let run = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(myself).env(PANIC, "1").stdout(Stdio::null());
        command
    };
    let (_unread, writer) = full_pipe();
    let mut process = Process(run().stderr(writer).spawn().unwrap());
    assert!(process.ends_within(Duration::from_secs(10)).await.success());
    let said = String::from_utf8(run().stderr(Stdio::piped()).output().unwrap().stderr).unwrap();
    let line: Value = said
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap_or_else(|| panic!("{said}"));
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"ERROR".into(), &"panicked: a defect".into())
    );
    assert!(line["at"].as_str().unwrap().contains("stuck_log.rs"));
}
