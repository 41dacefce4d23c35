//! A gateway of the same settings, on loopback and for a moment: a real round trip, and the rules
//! that eGain has for the callers' accounts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_LENGTH;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::verdict::CheckVerdict;
use crate::app::{self, ShutdownOutcome};
use crate::cli::client::client_error::ClientError;
use crate::cli::client::client_options::ClientOptions;
use crate::cli::client::gateway_client::{GatewayClient, fetch, send};
use crate::cli::client::retry::retrying;
use crate::config::{AuthMode, Settings};
use crate::types::units::ByteSize;

/// The file that goes up and comes back.
const FILE: &[u8] = b"asset-gateway check: this file may be deleted\n";
const NAME: &str = "asset-gateway-check.txt";

/// How long a busy eGain is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the trial's end may take: what it couldn't delete is tried for a while.
const ENDING: Duration = Duration::from_secs(15);

/// A gateway that only this command can reach.
pub(super) struct TrialGateway {
    client: GatewayClient,
    stop: CancellationToken,
    running: JoinHandle<ShutdownOutcome>,
}

impl TrialGateway {
    /// Needs no spool, as it knows each length.
    pub(super) fn start(settings: &Settings) -> Result<Self, String> {
        let mut trial = settings.clone();
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        (trial.server.listen, trial.server.admin_listen) = (anywhere, anywhere);
        (trial.server.tls_cert, trial.server.tls_key) = (None, None);
        trial.server.drain_delay = Duration::ZERO;
        trial.auth.mode = Some(AuthMode::Anyone);
        trial.limits.spool_total = ByteSize(0);
        // Replicas that run aren't disturbed.
        (trial.cache.redis_url, trial.cache.seal_key) = (None, None);
        trial.cache.previous_seal_key = None;
        let bound = app::bind(&trial).map_err(|error| error.to_string())?;
        let addr = bound.addr().map_err(|error| error.to_string())?;
        let options = ClientOptions {
            url: format!("http://{addr}")
                .parse()
                .expect("an address makes a URL"),
            key: None,
            wait: PATIENCE,
            json: false,
        };
        let client = GatewayClient::new(&options).map_err(|error| error.to_string())?;
        let (stop, never) = (CancellationToken::new(), CancellationToken::new());
        let running = bound.run(stop.clone().cancelled_owned(), never.cancelled_owned());
        Ok(Self {
            client,
            stop,
            running: tokio::spawn(running),
        })
    }

    /// One file up, back and away.
    pub(super) async fn round_trip(&self, channel: &str) -> Vec<CheckVerdict> {
        let upload = async || {
            let query = [("channel", channel), ("name", NAME), ("sha256", "1")];
            let request = self.client.request(Method::POST, &["assets"], &query);
            let request = request.header(CONTENT_LENGTH, FILE.len());
            fetch::<Value>(request.body(FILE)).await
        };
        let stored = match retrying(PATIENCE, |_| {}, upload).await {
            Ok(stored) => stored,
            Err(error) => return vec![failed("upload", &error)],
        };
        let id = stored["id"].as_str().unwrap_or_default();
        let mut verdicts = vec![CheckVerdict::ok(
            "upload",
            format!("storage confirmed {} bytes", FILE.len()),
        )];
        verdicts.push(match self.download(id).await {
            Ok(true) => CheckVerdict::ok("download", "the same bytes came back"),
            Ok(false) => CheckVerdict::failed(
                "download",
                "other bytes came back than were stored",
                "tell eGain, with the asset's id in its log",
            ),
            Err(error) => failed("download", &error),
        });
        let delete = async || send(self.client.request(Method::DELETE, &["assets", id], &[])).await;
        verdicts.push(match retrying(PATIENCE, |_| {}, delete).await {
            Ok(_) => CheckVerdict::ok("clean-up", "the file is deleted"),
            Err(error) => CheckVerdict::failed(
                "clean-up",
                format!("the asset {id} is left at eGain: {error}"),
                "delete it by hand: asset-gateway rm, once deletions work",
            ),
        });
        verdicts
    }

    async fn download(&self, id: &str) -> Result<bool, ClientError> {
        let fetch = async || {
            let path = ["assets", id, "content"];
            let request = self
                .client
                .request(Method::GET, &path, &[("redirect", "0")]);
            let mut response = send(request).await?;
            let mut body = Vec::new();
            while let Some(chunk) = response
                .chunk()
                .await
                .map_err(|error| ClientError::no_response(&error.without_url()))?
            {
                body.extend_from_slice(&chunk[..chunk.len().min(2 * FILE.len())]);
                if body.len() > FILE.len() {
                    break;
                }
            }
            Ok(body == FILE)
        };
        retrying(PATIENCE, |_| {}, fetch).await
    }

    /// Whether the account of each bound caller, and its channel's rules, can be read.
    pub(super) async fn live_rules(&self, settings: &Settings) -> Vec<CheckVerdict> {
        let mut accounts: Vec<_> = settings
            .auth
            .keys
            .iter()
            .filter_map(|key| Some((key.caller.account.clone()?, key.caller.id.clone())))
            .collect();
        accounts.sort();
        accounts.dedup_by(|one, other| one.0 == other.0);
        if accounts.is_empty() {
            let detail = "no caller is bound to an account in auth.keys";
            return vec![CheckVerdict::skipped("rules", detail)];
        }
        let mut verdicts = Vec::new();
        for (account, caller) in accounts {
            verdicts.push(match self.channel_of(account.as_str()).await {
                Ok(kind) => CheckVerdict::ok(
                    "rules",
                    format!("account {account} of {caller}: the rules of {kind} can be read"),
                ),
                Err(error) => CheckVerdict::failed(
                    "rules",
                    format!("account {account} of {caller}: {error}"),
                    "check account in auth.keys; the client needs app.conversation.\
                     conversationmgr.read at eGain",
                ),
            });
        }
        verdicts
    }

    async fn channel_of(&self, account: &str) -> Result<String, ClientError> {
        let read = async |path: [&str; 2]| {
            let call = async || fetch(self.client.request(Method::GET, &path, &[])).await;
            retrying::<Value>(PATIENCE, |_| {}, call).await
        };
        let account = read(["accounts", account]).await?;
        let channel = account["channel"]["id"].as_str().unwrap_or_default();
        let channel = read(["channels", channel]).await?;
        Ok(channel["type"].as_str().unwrap_or_default().to_owned())
    }

    /// Ends it, and waits until nothing is left at eGain that could be deleted.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        let _ended_or_too_late = timeout(ENDING, self.running).await;
    }
}

/// The gateway's own words name the setting.
fn failed(check: &'static str, error: &ClientError) -> CheckVerdict {
    let detail = error.to_string();
    if detail.contains("egain.content_hosts") {
        return CheckVerdict::failed(
            check,
            format!("content host not allowed: {detail}"),
            "add the host of eGain's storage to egain.content_hosts",
        );
    }
    if error.upstream_status() == Some(403) {
        return CheckVerdict::failed(
            check,
            format!("missing role: {detail}"),
            "give the client app.conversation.conversationmgr.interaction.manage at eGain",
        );
    }
    CheckVerdict::failed(check, detail, "see docs/errors.md for the code")
}
