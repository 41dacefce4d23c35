//! eGain's API: a token, an allowance of calls, and three calls to spend it on.
//!
//! The scarce thing is calls, not bytes: the best plan allows five `/assets` calls a second. So
//! every call goes through a budget, and nothing here is called for a request that can be refused.

mod answer;
mod budget;
mod calls;
mod line;
mod orphans;
mod quota;
mod token;

use std::borrow::Borrow;
use std::convert::identity;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::signals::metrics::Metrics;
use crate::words::asset::{AssetId, Lease, Sender};
use crate::words::caller::Claimant;
use crate::words::fault::{Code, Fault, Stage};
use crate::words::secret::SignedUrl;
#[doc(hidden)] // Public for `fuzz/targets/answers.rs` only.
pub use answer::Answer;
pub use budget::Rate;
use calls::{Calls, Question};
pub use orphans::{Claim, Orphan, Orphans, Worker as OrphanWorker};
pub use quota::Quota;

/// How eGain is reached, and how much may be asked of it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Such as `https://api.egain.cloud/conversation/conversationmgr/v3`.
    pub base_url: Url,
    /// What signs us in.
    pub credentials: Credentials,
    /// Calls to `/assets` (POST and GET).
    pub assets: Rate,
    /// Calls to all other routes.
    pub other: Rate,
    /// Calls a month; none where they aren't counted against anything.
    pub quota: Option<Quota>,
    /// How long a call may queue for its budget.
    pub budget_wait: Duration,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// From sending a call to its whole answer.
    pub request_timeout: Duration,
    /// How long to wait for an asset that isn't available yet (400-766).
    pub pending_wait: Duration,
}

/// What signs us in at eGain.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A bearer token that somebody else keeps fresh.
    Fixed(SecretString),
    /// OAuth 2.0 client credentials (RFC 6749 section 4.4), sent in the body as eGain wants it.
    Client {
        /// Where tokens are given out.
        token_url: Url,
        /// Our name there.
        id: String,
        /// Our secret there.
        secret: SecretString,
        /// Such as `https://api.egain.cloud/auth/.default`.
        scope: String,
    },
}

/// An upload that eGain is asked to expect.
#[derive(Debug, Clone)]
pub struct NewAsset<'a> {
    /// Whose it is.
    pub claimant: &'a Claimant,
    /// eGain's channel type.
    pub channel: &'a str,
    /// eGain's sender type.
    pub sender: Sender,
    /// With an extension: the type of the file follows from it.
    pub name: &'a str,
    /// Exact bytes.
    pub size: u64,
}

/// The body of `POST /assets`.
#[derive(Serialize)]
struct ExpectedAsset<'a> {
    channel: Typed<'a>,
    sender: Typed<'a>,
    name: &'a str,
    size: u64,
}

#[derive(Serialize)]
struct Typed<'a> {
    r#type: &'a str,
}

/// An asset that exists but has no bytes yet.
pub struct Created {
    /// The asset.
    pub claim: Claim,
    /// Where its bytes go, unchecked.
    pub content_url: Url,
    /// How long the call queued for its budget.
    pub queued: Duration,
}

/// An answer to `POST /assets`, with what it has brought into the world.
struct Birth {
    answer: Answer,
    claim: Option<Claim>,
}

/// What eGain knows of an asset.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its name with extension, if known.
    pub name: Option<String>,
    /// Its MIME type, if known.
    pub content_type: Option<String>,
    /// Its bytes, if known.
    pub size: Option<u64>,
    /// A signed URL to read it.
    pub lease: Lease,
}

/// The client for eGain's API.
#[derive(Clone)]
pub struct Egain {
    calls: Arc<Calls>,
    pending_wait: Duration,
}

/// None of the fields is marked required in eGain's documents.
#[derive(Deserialize)]
struct AssetAnswer {
    id: Option<String>,
    name: Option<String>,
    #[serde(alias = "contenttype", alias = "content_type")]
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    size: Option<u64>,
    #[serde(rename = "contentUrl", alias = "contentURL", alias = "contenturl")]
    content_url: Option<String>,
    #[serde(rename = "contentUrlExpiry", alias = "contentURLExpiry", alias = "contenturlexpiry")]
    content_url_expiry: Option<String>,
}

impl Egain {
    /// Makes a client.
    ///
    /// # Errors
    /// The machine has no CA certificates.
    pub fn new(config: Config, metrics: Arc<Metrics>) -> io::Result<Self> {
        let pending_wait = config.pending_wait;
        Ok(Self { calls: Arc::new(Calls::new(config, metrics)?), pending_wait })
    }

    /// Keeps the access token fresh ahead of need. Never ends; spawn it.
    pub async fn keep_signed_in(self) {
        self.calls.tokens.keep_fresh().await;
    }

    /// Whether there is an access token that should be good.
    pub fn is_signed_in(&self) -> bool {
        self.calls.tokens.has_one()
    }

    /// `POST /assets`: spends one call. An asset whose claim isn't kept goes to `orphans`, also where nobody waits for
    /// the answer any more.
    pub async fn create_asset(&self, asset: &NewAsset<'_>, orphans: &Orphans) -> Result<Created, Fault> {
        let expected = ExpectedAsset {
            channel: Typed { r#type: asset.channel },
            sender: Typed { r#type: asset.sender.name() },
            name: asset.name,
            size: asset.size,
        };
        let question = Question::Create(serde_json::to_vec(&expected).expect("it has string keys").into());
        let orphans = orphans.clone();
        let receive = move |answer| Birth::of(answer, &orphans);
        let (born, queued) = self.calls.make(&question, asset.claimant, receive).await?;
        let asset: AssetAnswer = born.answer.json(Stage::Sign)?;
        let claim = born.claim.ok_or_else(|| unusable("has no usable id"))?;
        Ok(Created { claim, content_url: parse_url(asset.content_url.as_deref())?, queued })
    }

    /// `GET /assets/{id}`: spends at least one call, and mints a new signed URL. An asset that isn't available yet
    /// is asked for again, with growing pauses, for `pending_wait`.
    pub async fn get_asset(&self, id: &AssetId, claimant: &Claimant) -> Result<Asset, Fault> {
        let deadline = tokio::time::Instant::now() + self.pending_wait;
        let mut pause = Duration::from_secs(1);
        loop {
            match self.get_asset_once(id, claimant).await {
                Err(fault) if fault.code() == Code::AssetPending && tokio::time::Instant::now() + pause <= deadline => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
    }

    async fn get_asset_once(&self, id: &AssetId, claimant: &Claimant) -> Result<Asset, Fault> {
        let asked = std::time::Instant::now();
        let (answer, _) = self.calls.make(&Question::Get(id.clone()), claimant, identity).await?;
        let asset: AssetAnswer = answer.json(Stage::Sign)?;
        let url = SignedUrl::new(parse_url(asset.content_url.as_deref())?);
        let expires = asset.content_url_expiry.as_deref().and_then(|expiry| answer.deadline(&expiry.into(), Some(url.expose())));
        let lease = Lease { url, asked, expires, expiry: asset.content_url_expiry };
        Ok(Asset { name: asset.name, content_type: asset.content_type, size: asset.size, lease })
    }

    /// `DELETE /assets/{id}`: spends one call of the other routes' budget.
    pub async fn delete_asset(&self, id: &AssetId, claimant: &Claimant) -> Result<(), Fault> {
        self.calls.make(&Question::Delete(id.clone()), claimant, identity).await.map(drop)
    }
}

impl Birth {
    fn of(answer: Answer, orphans: &Orphans) -> Self {
        let asset: Option<AssetAnswer> = answer.json(Stage::Sign).ok().filter(|_| answer.status.is_success());
        let id = asset.and_then(|asset| AssetId::parse(&asset.id?));
        Self { claim: id.map(|id| Claim::on(id, orphans.clone())), answer }
    }
}

impl Borrow<Answer> for Birth {
    fn borrow(&self) -> &Answer {
        &self.answer
    }
}

fn parse_url(text: Option<&str>) -> Result<Url, Fault> {
    text.and_then(|text| Url::parse(text).ok()).ok_or_else(|| unusable("has no usable contentUrl"))
}

fn unusable(what: &str) -> Fault {
    Fault::egain(Code::UpstreamError, Stage::Sign, format!("eGain's answer {what}: ask eGain's support, giving the request id"))
}
