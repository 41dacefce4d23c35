//! A real Redis of a test's own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::gateway::eventually;

/// A key for `cache.seal_key`: 32 bytes in base64.
pub(crate) const SEAL_KEY: &str = "c2VhbCBrZXkgb2YgdGhlIHRlc3RzLCAzMiBieXRlcyE=";

/// A Redis server on a port of its own. Dropping it kills it.
pub(crate) struct RedisServer {
    server: Child,
    port: u16,
    options: Vec<String>,
    folder: TempDir,
}

impl RedisServer {
    pub(crate) async fn start() -> Self {
        Self::start_beside(None, Vec::new()).await
    }

    /// With TLS on a second port.
    pub(crate) async fn start_with_tls(cert: &str, key: &str, password: &str) -> (Self, u16) {
        let port = free_port();
        let tls_port = port.local_addr().unwrap().port();
        let options = [
            ["--tls-port", &tls_port.to_string()],
            ["--tls-cert-file", cert],
            ["--tls-key-file", key],
            ["--tls-auth-clients", "no"],
            ["--requirepass", password],
        ];
        let options = options.as_flattened().iter().map(|text| (*text).to_owned());
        (
            Self::start_beside(Some(port), options.collect()).await,
            tls_port,
        )
    }

    /// Beside a port that is free until it starts.
    async fn start_beside(other: Option<TcpListener>, options: Vec<String>) -> Self {
        let free = free_port();
        let port = free.local_addr().unwrap().port();
        drop((free, other));
        let folder = TempDir::new().unwrap();
        let server = spawn(port, folder.path().to_str().unwrap(), &options);
        let redis = Self {
            server,
            port,
            options,
            folder,
        };
        redis.listens().await;
        redis
    }

    async fn listens(&self) {
        let connected = || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        assert!(eventually(connected).await, "redis-server starts");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` prints for a command.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let mut command = Command::new("redis-cli");
        let output = command
            .args(["-p", &port])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// All its keys, with their values as `redis-cli` prints them.
    pub(crate) fn dump(&self) -> String {
        let keys = self.cli(&["KEYS", "*"]);
        let values = keys.lines().map(|key| {
            let value = match self.cli(&["TYPE", key]).as_str() {
                "string" => self.cli(&["GET", key]),
                "hash" => self.cli(&["HGETALL", key]),
                "set" => self.cli(&["SMEMBERS", key]),
                "zset" => self.cli(&["ZRANGE", key, "0", "-1"]),
                other => panic!("a value of the type {other}"),
            };
            format!("{key}\n{value}\n")
        });
        values.collect()
    }

    /// Sends it a signal such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.server.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Ends it at once, and with it all that it stored.
    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again where it was, with nothing stored.
    pub(crate) async fn restart(&mut self) {
        let folder = self.folder.path().to_str().unwrap();
        self.server = spawn(self.port, folder, &self.options);
        self.listens().await;
    }
}

fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn spawn(port: u16, folder: &str, options: &[String]) -> Child {
    let port = port.to_string();
    let mut command = Command::new("redis-server");
    command
        .args(["--port", &port, "--bind", "127.0.0.1", "--dir", folder])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .args(["--enable-debug-command", "local"])
        .args(options);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
        .spawn()
        .expect("redis-server of Debian's package redis-server is installed")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _already_ended = self.server.kill();
        let _status = self.server.wait();
    }
}
