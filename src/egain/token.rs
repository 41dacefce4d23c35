//! The access token: fetched once for all who wait, refreshed ahead of need, dropped on a 401.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use parking_lot::RwLock;
use prometheus::Gauge;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};
use url::form_urlencoded;

use super::Credentials;
use super::answer::Answer;
use super::line::Line;
use crate::signals::metrics::Metrics;
use crate::words::fault::{Code, Fault, Stage};

/// Assumed where the answer has no `expires_in` (RFC 6749 section 5.1 only recommends it).
const ASSUMED_LIFETIME: Duration = Duration::from_secs(300);
/// The longest lead for a refresh; a short-lived token gets a tenth of its life.
const LEAD: Duration = Duration::from_secs(60);
/// Between attempts to refresh in the background.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A token that can be told from its successor.
pub struct Token {
    value: SecretString,
    /// Marked as sensitive: it doesn't print either.
    header: HeaderValue,
    refresh_at: Instant,
    expires: Instant,
}

impl Token {
    /// The token itself, to find it in what must not show it.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// The header `Authorization`.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

/// The current token and the way to the next.
pub struct Tokens {
    line: Line,
    credentials: Credentials,
    current: RwLock<Option<Arc<Token>>>,
    /// Held while fetching, so that all who wait share one request. Remembers the last failure for those
    /// who queued behind it: each fetching in turn would make them wait for one timeout after the other.
    fetching: tokio::sync::Mutex<Option<(Instant, Fault)>>,
    expiry: Gauge,
}

#[derive(Deserialize)]
struct Grant {
    access_token: SecretString,
    expires_in: Option<serde_json::Value>,
}

impl Grant {
    /// Some servers write the number as a string.
    fn lifetime(&self) -> Duration {
        let seconds = match self.expires_in.as_ref() {
            Some(serde_json::Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_f64(),
            None => None,
        };
        let usable = seconds.filter(|s| (1.0..=1e9).contains(s));
        usable.map_or(ASSUMED_LIFETIME, Duration::from_secs_f64)
    }
}

impl Tokens {
    /// Holds no token yet.
    pub fn new(line: Line, credentials: Credentials, metrics: &Metrics) -> Self {
        let expiry = metrics.token_expiry.clone();
        Self { line, credentials, current: RwLock::default(), fetching: tokio::sync::Mutex::default(), expiry }
    }

    /// A token that is good now. `stage` is what it is needed for, should it fail.
    pub async fn get(&self, stage: Stage) -> Result<Arc<Token>, Fault> {
        let asked = Instant::now();
        if let Some(token) = self.good(asked) {
            return Ok(token);
        }
        let mut last_failure = self.fetching.lock().await;
        if let Some(token) = self.good(asked) {
            return Ok(token);
        }
        if let Some((_, fault)) = last_failure.as_ref().filter(|(failed, _)| *failed > asked) {
            return Err(fault.clone());
        }
        let fetched = self.fetch(stage).await;
        *last_failure = fetched.as_ref().err().map(|fault| (Instant::now(), fault.clone()));
        fetched
    }

    /// Whether there is a token that should be good.
    pub fn has_one(&self) -> bool {
        self.good(Instant::now()).is_some()
    }

    /// eGain refused this token. Whether the next [`Self::get`] will give another one.
    pub fn forget(&self, refused: &Arc<Token>) -> bool {
        if matches!(self.credentials, Credentials::Fixed(_)) {
            return false;
        }
        let mut current = self.current.write();
        if current.as_ref().is_some_and(|token| Arc::ptr_eq(token, refused)) {
            *current = None;
        }
        true
    }

    /// Refreshes ahead of need, for ever.
    pub async fn keep_fresh(&self) {
        loop {
            let current = self.current.read().clone();
            match current {
                Some(token) => {
                    sleep_until(token.refresh_at).await;
                    let mut last_failure = self.fetching.lock().await;
                    if let Err(fault) = self.fetch(Stage::Sign).await {
                        tracing::warn!(
                            code = fault.code().name(),
                            detail = fault.detail(),
                            "the access token can't be refreshed"
                        );
                        *last_failure = Some((Instant::now(), fault));
                        drop(last_failure);
                        sleep(RETRY_PAUSE).await;
                    }
                }
                None => {
                    if let Err(fault) = self.get(Stage::Sign).await {
                        tracing::warn!(code = fault.code().name(), detail = fault.detail(), "no access token");
                        sleep(RETRY_PAUSE).await;
                    }
                }
            }
        }
    }

    fn good(&self, now: Instant) -> Option<Arc<Token>> {
        self.current.read().clone().filter(|token| token.expires > now)
    }

    async fn fetch(&self, stage: Stage) -> Result<Arc<Token>, Fault> {
        let (value, lifetime) = match &self.credentials {
            Credentials::Fixed(token) => (token.clone(), Duration::from_secs(u64::from(u32::MAX))),
            Credentials::Client { .. } => self.sign_in(stage).await?,
        };
        let now = Instant::now();
        let lead = LEAD.min(lifetime / 10);
        let header = bearer(&value).ok_or_else(|| unusable(stage))?;
        let token = Arc::new(Token { value, header, refresh_at: now + lifetime - lead, expires: now + lifetime });
        *self.current.write() = Some(token.clone());
        Ok(token)
    }

    async fn sign_in(&self, stage: Stage) -> Result<(SecretString, Duration), Fault> {
        let Credentials::Client { token_url, id, secret, scope } = &self.credentials else {
            unreachable!("a fixed token needs no sign-in")
        };
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("grant_type", "client_credentials"), ("scope", scope), ("client_id", id)])
            .append_pair("client_secret", secret.expose_secret())
            .finish();
        let mut request = Request::new(Bytes::from(form));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = token_url.as_str().parse().expect("settings take URLs of http and https only");
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let answer = self.line.exchange("token", stage, request).await?;
        if !answer.status.is_success() {
            return Err(refused(&answer, secret.expose_secret(), stage));
        }
        let grant: Grant = answer.json(stage)?;
        let lifetime = grant.lifetime();
        self.expiry.set(jiff::Timestamp::now().as_second() as f64 + lifetime.as_secs_f64());
        Ok((grant.access_token, lifetime))
    }
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn unusable(stage: Stage) -> Fault {
    let detail =
        "the access token can't stand in a header: an operator must check egain.token, or what egain.token_url gives out";
    Fault::gateway(Code::UpstreamError, stage, detail)
}

fn refused(answer: &Answer, secret: &str, stage: Stage) -> Fault {
    let (status, upstream) = (answer.status, answer.oauth_said(secret));
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let wait = answer.asked_wait().unwrap_or(RETRY_PAUSE);
        let detail = "eGain's sign-in is down: try again later";
        return Fault::egain(Code::UpstreamUnavailable, stage, detail).retry_after(wait).upstream(upstream);
    }
    let detail = "eGain refused the gateway's credentials: an operator must check egain.client_id, egain.client_secret, \
                  egain.scope and egain.token_url";
    Fault::gateway(Code::UpstreamError, stage, detail).upstream(upstream)
}
