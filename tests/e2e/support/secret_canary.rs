//! Planted secrets: every token, key, client secret and signed URL that a test or the stand-in
//! makes holds a mark, and all that comes out of a gateway is searched for the marks, in every test
//! of this binary.
//!
//! Searched are, as they come out:
//! - every line of the log of a gateway that runs in here, at TRACE and of every target: more than
//!   any `log.filter` shows. The stand-in and the tests' own clients log here, too, so that
//!   libraries are heard at both ends of each connection;
//! - what the real program writes to standard error;
//! - every panic's message;
//! - every answer's head, every error's body and receipt, and `/metrics`, as
//!   [`crate::support::client`] and [`crate::support::raw_client`] read them.
//!
//! Not searched are the two places that give a signed URL out on purpose (the body of `GET
//! /v1/assets/{id}`, and a redirect's `Location`), files, and what `key new` and `sandbox` print to
//! standard output.

use std::io::{self, Write};
use std::process::Command;
use std::sync::Once;

use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tracing::Level;
use tracing_subscriber::fmt;

use crate::support::client::Client;
use crate::support::raw_client::Wire;

/// What an access token of the stand-in begins with.
const TOKEN: &str = "sandbox-token-";

/// What a client's secret begins with.
const SECRET: &str = "sandbox-secret";

/// What a caller's key begins with, as `asset-gateway key new` makes it.
const KEY: &str = "agw_";

/// The marks. A JWT's first two parts are JSON objects in base64: those of callers and those that
/// sign URLs.
const MARKS: [&str; 5] = [TOKEN, SECRET, KEY, "signature=", "eyJ"];

/// The key of the caller with this id.
pub(crate) fn key(id: &str) -> String {
    format!("{KEY}of-{id}")
}

/// An entry of `auth.keys` for the caller with this id, with these lines more.
pub(crate) fn entry(id: &str, more: &str) -> String {
    let sum: String = Sha256::digest(key(id))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("[[auth.keys]]\nid = \"{id}\"\nsha256 = \"{sum}\"\n{more}\n")
}

/// Whether the search would find this.
pub(crate) fn is_marked(secret: &str) -> bool {
    mark(secret).is_some()
}

fn mark(text: &str) -> Option<&'static str> {
    MARKS.into_iter().find(|mark| text.contains(mark))
}

/// Ends the whole run, visibly, if there is a mark in `text`.
///
/// A panic wouldn't do: what has come out may be told by a task that nobody waits for, by a future
/// that is dropped after its test, or by the gateway, which catches panics.
pub(crate) fn search(place: &str, text: &str) {
    if let Some(mark) = mark(text) {
        let test = std::thread::current()
            .name()
            .unwrap_or("a thread without a name")
            .to_owned();
        // Past the capture of a test's output, which would be lost.
        let _nobody_reads = writeln!(
            io::stderr(),
            "\nA SECRET CAME OUT ({mark}…) in {place}, during {test}: {text}"
        );
        std::process::exit(101);
    }
}

/// Searches every line of the log and every panic from here on.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = fmt()
            .with_max_level(Level::TRACE)
            .with_writer(|| Searched)
            .finish();
        tracing::subscriber::set_global_default(log).expect("nobody else listens");
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            search("a panic", &panic.to_string());
            usual(panic);
        }));
    });
}

/// Where the log is written to: each line at once.
struct Searched;

impl Write for Searched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        search("the log", &String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Names the place of [`give_away`] to a run of this binary within a run.
const LEAK: &str = "GIVE_A_SECRET_AWAY_IN";

/// The search can fail: a leak in each of these places ends a run of its own.
#[tokio::test]
async fn a_secret_that_comes_out_ends_the_run() {
    if let Ok(place) = std::env::var(LEAK) {
        return give_away(&place).await;
    }
    let myself = "support::secret_canary::a_secret_that_comes_out_ends_the_run";
    for place in ["the log", "a panic", "an answer", "an answer's head"] {
        let mut run = Command::new(std::env::current_exe().unwrap());
        let run = run
            .args(["--exact", myself])
            .env(LEAK, place)
            .output()
            .unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert!(
            said.contains("A SECRET CAME OUT")
                && said.contains(&format!("in {place}, during {myself}")),
            "{place}: {said}"
        );
        assert_eq!(run.status.code(), Some(101));
    }
}

async fn give_away(place: &str) {
    watch();
    match place {
        "the log" => tracing::trace!(target: "some_library", "sends {}", key("somebody")),
        "a panic" => drop(tokio::spawn(async { panic!("{TOKEN}1234 isn't taken") }).await),
        "an answer" => {
            answered(
                "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 24\r\n\r\nhttp://x.test?signature=",
            )
            .await
        }
        _ => {
            answered(
                "HTTP/1.1 200 OK\r\nlink: <http://x.test?signature=1>\r\ncontent-length: 0\r\n\r\n",
            )
            .await
        }
    }
}

/// A client is answered this.
async fn answered(answer: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answering = async {
        let mut wire = Wire::over(listener.accept().await.unwrap().0);
        wire.head().await;
        wire.send(answer).await;
        wire
    };
    let _answered = tokio::join!(Client::with(|builder| builder).get(url).send(), answering);
}
