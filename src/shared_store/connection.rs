//! The one connection to Redis, and the circuit breaker over it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus::IntGauge;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, PushInfo, PushKind};
use redis::{RedisError, RedisResult, ScriptInvocation, Value};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{Instant, sleep, timeout};

/// How long any command may take. What takes longer counts as failed, and the request goes on with
/// local state.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_millis(50);
/// How long connecting may take, with TLS and signing in. No request waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// This many failed commands in a row open the circuit: a single slow one may be an accident.
const FAILURES: u32 = 3;
/// Between two attempts to connect: the first one and the longest. The real pause is drawn between
/// half of it and one and a half, so that replicas don't come back all at once.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// A connection that held for this long was good: the next pause is the first one again.
const STABLE: Duration = Duration::from_secs(10);
/// How often the store is probed while it is up, so that a loss is seen also while it isn't used.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// Messages of other replicas that may wait for their reader.
const MESSAGES: usize = 1024;

/// The store can't be used now: go on with local state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoreDown;

/// What every connection begins with.
pub(super) struct ConnectionSetup {
    pub(super) client: Client,
    /// The channel of messages between replicas.
    pub(super) channel: String,
    /// A key that is written to see whether Redis takes writes.
    pub(super) probe_key: String,
    pub(super) up: IntGauge,
}

/// Commands to Redis, over one connection that is kept up in the background.
#[derive(Clone)]
pub(super) struct StoreConnection(Arc<Shared>);

struct Shared {
    setup: ConnectionSetup,
    link: Mutex<Link>,
    /// Notified when the circuit opens.
    lost: Notify,
    is_up: watch::Sender<bool>,
    messages: broadcast::Sender<Bytes>,
}

#[derive(Default)]
struct Link {
    /// None while the circuit is open.
    connection: Option<MultiplexedConnection>,
    /// Tells a failure of this connection from those of the ones before it.
    generation: u64,
    failures: u32,
    /// Why the circuit was opened.
    reason: String,
}

impl StoreConnection {
    /// Without a connection: [`Self::keep`] makes it.
    pub(super) fn new(setup: ConnectionSetup) -> Self {
        Self(Arc::new(Shared {
            setup,
            link: Mutex::default(),
            lost: Notify::new(),
            is_up: watch::channel(false).0,
            messages: broadcast::channel(MESSAGES).0,
        }))
    }

    pub(super) fn is_up(&self) -> bool {
        *self.0.is_up.borrow()
    }

    /// Changes whenever the circuit opens or closes.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.0.is_up.subscribe()
    }

    /// Messages that replicas publish from now on.
    pub(super) fn messages(&self) -> broadcast::Receiver<Bytes> {
        self.0.messages.subscribe()
    }

    /// Sends a command. Waits for [`COMMAND_TIMEOUT`] at most, and not at all while the circuit is
    /// open.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreDown> {
        let (mut connection, generation) = self.connection()?;
        let sent = bounded(command.query_async(&mut connection)).await;
        self.judge(generation, sent)
    }

    /// As [`Self::run`], for a script.
    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreDown> {
        let (mut connection, generation) = self.connection()?;
        let sent = bounded(script.invoke_async(&mut connection)).await;
        self.judge(generation, sent)
    }

    /// As [`Self::run`], for several commands whose responses don't matter.
    pub(super) async fn run_all(&self, commands: &Pipeline) -> Result<(), StoreDown> {
        let (mut connection, generation) = self.connection()?;
        let sent = bounded(commands.exec_async(&mut connection)).await;
        self.judge(generation, sent)
    }

    fn connection(&self) -> Result<(MultiplexedConnection, u64), StoreDown> {
        let link = self.0.link.lock();
        let connection = link.connection.clone().ok_or(StoreDown)?;
        Ok((connection, link.generation))
    }

    /// Counts failures. `None` is a command that took too long.
    fn judge<T>(&self, generation: u64, result: Option<RedisResult<T>>) -> Result<T, StoreDown> {
        let link = &mut *self.0.link.lock();
        let is_current = link.generation == generation;
        let (reason, opens) = match result {
            Some(Ok(value)) => {
                if is_current {
                    link.failures = 0;
                }
                return Ok(value);
            }
            None => ("it takes too long to respond".to_owned(), false),
            Some(Err(error)) => (described(&error), is_lasting(&error)),
        };
        if is_current {
            link.failures += 1;
            if opens || link.failures >= FAILURES {
                self.open_circuit(link, reason);
            }
        }
        Err(StoreDown)
    }

    fn open_circuit(&self, link: &mut Link, reason: String) {
        if link.connection.take().is_some() {
            link.reason = reason;
            self.0.is_up.send_replace(false);
            self.0.setup.up.set(0);
            self.0.lost.notify_one();
        }
    }

    /// Connects, and connects again after each loss. Never returns.
    pub(super) async fn keep(&self) {
        let mut pause = PAUSES[0];
        // None before the first attempt.
        let mut was_up = None;
        loop {
            match self.connect().await {
                Ok(()) => {
                    let connected = Instant::now();
                    if was_up == Some(false) {
                        tracing::info!("shared store is back");
                    } else {
                        tracing::info!("shared store connected");
                    }
                    self.probe_until_lost().await;
                    if connected.elapsed() >= STABLE {
                        pause = PAUSES[0];
                    }
                    let reason = self.0.link.lock().reason.clone();
                    tracing::warn!(reason, "shared store lost, using local state");
                    was_up = Some(false);
                }
                Err(reason) => {
                    if was_up.is_none() {
                        tracing::warn!(reason, "shared store can't be used, using local state");
                    }
                    was_up = Some(false);
                }
            }
            sleep(jittered(pause)).await;
            pause = (2 * pause).min(PAUSES[1]);
        }
    }

    /// Closes the circuit over a new connection, if Redis takes writes.
    async fn connect(&self) -> Result<(), String> {
        let generation = {
            let link = &mut *self.0.link.lock();
            link.generation += 1;
            link.generation
        };
        // Weak: the connection holds this, and this holds the connection.
        let weak = Arc::downgrade(&self.0);
        let on_push = move |push: PushInfo| -> Result<(), StoreDown> {
            if let Some(shared) = weak.upgrade() {
                Self(shared).pushed(generation, push);
            }
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(CONNECT_TIMEOUT))
            .set_push_sender(on_push);
        let setup = &self.0.setup;
        let connecting = setup
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|error| described(&error))?;
        let subscribing = connection.subscribe(&setup.channel).await;
        subscribing.map_err(|error| described(&error))?;
        let probe = self.probe();
        let probing = probe.query_async::<Value>(&mut connection);
        match bounded(probing).await {
            Some(written) => written.map_err(|error| described(&error))?,
            None => return Err("it takes too long to respond".to_owned()),
        };
        let link = &mut *self.0.link.lock();
        link.connection = Some(connection);
        link.failures = 0;
        self.0.is_up.send_replace(true);
        setup.up.set(1);
        Ok(())
    }

    /// A write, as a Redis that is full or a replica still reads.
    fn probe(&self) -> Cmd {
        let mut command = redis::cmd("SET");
        let lives = 10 * PROBE_EVERY;
        command
            .arg(&self.0.setup.probe_key)
            .arg(1)
            .arg("PX")
            .arg(lives.as_millis() as u64);
        command
    }

    async fn probe_until_lost(&self) {
        let probing = async {
            loop {
                sleep(PROBE_EVERY).await;
                // A failure counts like any other command's.
                let _counted = self.run::<Value>(&self.probe()).await;
            }
        };
        tokio::select! {
            () = self.0.lost.notified() => {}
            () = probing => {}
        }
    }

    fn pushed(&self, generation: u64, push: PushInfo) {
        match push.kind {
            PushKind::Disconnection => {
                let link = &mut *self.0.link.lock();
                if link.generation == generation {
                    self.open_circuit(link, "the connection was closed".to_owned());
                }
            }
            PushKind::Message => {
                if let Some(Value::BulkString(message)) = push.data.into_iter().nth(1) {
                    // Nobody listens during a start or an end.
                    let _listeners = self.0.messages.send(message.into());
                }
            }
            _ => {}
        }
    }
}

/// Waits for [`COMMAND_TIMEOUT`] at most, in two steps: a process that got no processor time for a
/// while finds the response and the end of the first step at the same moment, and takes the
/// response.
async fn bounded<T>(command: impl Future<Output = T>) -> Option<T> {
    let mut command = pin!(command);
    let step = COMMAND_TIMEOUT / 2;
    match timeout(step, &mut command).await {
        Ok(response) => Some(response),
        Err(_) => timeout(step, command).await.ok(),
    }
}

/// Whether a second command would fail, too: the connection is gone, or Redis takes no writes.
fn is_lasting(error: &RedisError) -> bool {
    let refuses_writes = matches!(
        error.code(),
        Some(
            "OOM"
                | "READONLY"
                | "MISCONF"
                | "LOADING"
                | "NOREPLICAS"
                | "MASTERDOWN"
                | "NOAUTH"
                | "NOPERM"
                | "MOVED"
                | "CLUSTERDOWN"
        )
    );
    refuses_writes || error.is_unrecoverable_error() || error.is_io_error()
}

/// What went wrong, for the log. Redis' own words may quote a command, and with it a user's name.
fn described(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("Redis responded with {code}"),
        None if error.is_timeout() => "it takes too long to respond".to_owned(),
        None if error.is_connection_refusal() => "the connection was refused".to_owned(),
        // Such as a name that can't be resolved, or a certificate that isn't trusted.
        None if error.is_io_error() => error.to_string(),
        None => error.category().to_owned(),
    }
}

fn jittered(pause: Duration) -> Duration {
    // Without randomness all replicas come back at once, which is only unkind.
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    pause.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX))
}
