//! The real program, as an operator starts, reads and stops it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use asset_gateway::sandbox::Sandbox;
use parking_lot::Mutex;
use serde_json::Value;

use crate::support::gateway::eventually;
use crate::support::secret_canary::search;

/// The program with this command line and no environment but these variables, without the prefix.
pub(crate) fn program(arguments: &[&str], variables: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asset-gateway"));
    command.args(arguments).env_clear();
    command.envs(
        variables
            .iter()
            .map(|(key, value)| (format!("ASSET_GATEWAY_{key}"), value)),
    );
    command
}

/// Runs it to its end, and gives what it said.
pub(crate) fn run(arguments: &[&str], variables: &[(String, String)]) -> (Output, String, String) {
    let output = program(arguments, variables).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    search("what the program said", &err);
    (output, out, err)
}

pub(crate) fn owned(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// What `serve` needs to use this sandbox, on free ports.
pub(crate) fn settings(sandbox: &Sandbox) -> Vec<(String, String)> {
    let of_sandbox = [
        ("EGAIN__BASE_URL", sandbox.base_url().to_string()),
        ("EGAIN__TOKEN_URL", sandbox.token_url().to_string()),
        ("EGAIN__CLIENT_ID", sandbox.client_id().to_owned()),
        ("EGAIN__CLIENT_SECRET", sandbox.client_secret().to_owned()),
        ("EGAIN__CONTENT_HOSTS", sandbox.addr().to_string()),
        ("EGAIN__ALLOW_HTTP_CONTENT_URLS", "true".to_owned()),
        ("EGAIN__RATE", "1000".to_owned()),
    ];
    let mut all: Vec<_> = of_sandbox
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec();
    all.extend(on_free_ports());
    all
}

/// Open to anyone, on free ports of loopback, and quick to stop.
pub(crate) fn on_free_ports() -> Vec<(String, String)> {
    let addr = "127.0.0.1:0";
    owned(&[
        ("AUTH__MODE", "none"),
        ("SERVER__LISTEN", addr),
        ("SERVER__ADMIN_LISTEN", addr),
        ("SERVER__DRAIN_DELAY", "0s"),
    ])
}

/// A program that runs. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::<Mutex<String>>::default();
        listen(child.stdout.take().unwrap(), said.clone(), |_| {});
        listen(child.stderr.take().unwrap(), said.clone(), |line| {
            search("the program's log", line)
        });
        Self { child, said }
    }

    /// All that it wrote so far, to either stream.
    pub(crate) fn said(&self) -> String {
        self.said.lock().clone()
    }

    /// The first line that this finds something in, once it is there.
    pub(crate) async fn line<T>(&self, find: impl Fn(&str) -> Option<T>) -> T {
        let found = || self.said().lines().find_map(&find);
        assert!(
            eventually(|| found().is_some()).await,
            "it never said so: {}",
            self.said()
        );
        found().unwrap()
    }

    /// Where `serve` listens: data and admin.
    pub(crate) async fn listens(&self) -> (SocketAddr, SocketAddr) {
        self.line(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let addr = |key: &str| line[key].as_str()?.parse().ok();
            Some((addr("listen")?, addr("admin")?))
        })
        .await
    }

    /// Sends it a signal such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// Waits until it has ended.
    pub(crate) async fn ending(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "it doesn't end: {}",
                self.said()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn listen(stream: impl Read + Send + 'static, said: Arc<Mutex<String>>, heard: fn(&str)) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            heard(&line);
            said.lock().push_str(&format!("{line}\n"));
        }
    });
}
