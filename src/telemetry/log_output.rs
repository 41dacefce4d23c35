//! The log's way out: non-blocking, bounded and lossy.
//!
//! A thread of its own writes to standard error. While nobody reads that pipe, or the disk behind
//! it is full, lines are dropped and counted, and nothing else waits: no request, no probe, no
//! signal.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that may wait for the writing thread. At 0.5 KiB each, 2 MiB: about a second of a gateway
/// at its busiest.
const WAITING_LINES: usize = 4096;

/// How long the end of a process waits for what it has still to say.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A process has one log, however many services run in it.
static QUEUE: OnceLock<ErrorCounter> = OnceLock::new();

/// Lines that came out of the queue and couldn't be written.
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);

/// Lines that were dropped since the process started, as nobody took them or they couldn't be
/// written.
pub fn dropped_lines() -> u64 {
    let in_queue = QUEUE.get().map_or(0, |queue| queue.dropped_lines() as u64);
    in_queue.saturating_add(UNWRITTEN.load(Ordering::Relaxed))
}

/// Keeps the writing thread at work. Dropping it writes what still waits, for at most two seconds.
#[must_use = "the log ends when this is dropped"]
#[derive(Debug)]
pub struct LogGuard(Option<WorkerGuard>);

impl LogGuard {
    /// For a process whose log goes elsewhere.
    pub(super) const fn none() -> Self {
        Self(None)
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // The guard's own drop waits for a second; where the queue is full, it writes to standard
        // output, and that may be the same pipe that nobody reads.
        if let Some(guard) = self.0.take() {
            in_time(move || drop(guard));
        }
    }
}

/// The queue to standard error. The thread that empties it ends with the guard.
pub(super) fn open() -> (NonBlocking, LogGuard) {
    let queue = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log");
    let (writer, guard) = queue.finish(Counted(io::stderr()));
    let _of_another_log = QUEUE.set(writer.error_counter());
    (writer, LogGuard(Some(guard)))
}

/// Says why a command fails, on standard error. Returns after two seconds where nobody reads it.
pub fn say(text: &str) {
    let line = format!("{text}\n");
    in_time(move || {
        let _nobody_to_tell = io::stderr().write_all(line.as_bytes());
    });
}

/// Does what may block, and goes on without it after [`LAST_WORDS`].
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::sync_channel(1);
    let worker = thread::Builder::new()
        .name("last words".to_owned())
        .spawn(move || {
            work();
            let _nobody_waits = done.send(());
        });
    if worker.is_ok() {
        let _done_or_too_late = is_done.recv_timeout(LAST_WORDS);
    }
}

/// Counts the lines that can't be written: `tracing-appender` doesn't.
struct Counted<W>(W);

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line).inspect_err(|_| {
            UNWRITTEN.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
