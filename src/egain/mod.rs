//! eGain's API: a token, an allowance of calls, and the calls to spend it on: assets, accounts and
//! channels.
//!
//! The scarce thing is calls, not bytes: the best plan allows five `/assets` calls a second. So
//! every call goes through a budget, and nothing here is called for a request that can be refused.

pub mod accounts;
mod budget;
mod client;
mod fields;
mod orphans;
mod own_field;
mod plain_name;
mod quota;
mod response;
mod token;
mod transport;

use std::borrow::Borrow;
use std::convert::identity;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::{AssetId, ExpiringUrl, Sender};
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::secret::SignedUrl;
pub use budget::CallRate;
use client::{ApiClient, ApiRequest, CallError};
use fields::JsonFields;
pub use orphans::{Orphan, OrphanQueue, OrphanWorker, UncommittedAsset};
pub use quota::MonthlyQuota;
#[doc(hidden)] // Public for `fuzz/targets/answers.rs` only.
pub use response::ApiResponse;
use token::{SignIn, TokenKeeper};

/// How eGain is reached, and how much may be asked of it.
#[derive(Debug, Clone)]
pub struct EgainConfig {
    /// Such as `https://api.egain.cloud/conversation/conversationmgr/v3`.
    pub base_url: Url,
    /// What signs us in.
    pub credentials: ClientCredentials,
    /// Calls to `/assets` (POST and GET).
    pub assets: CallRate,
    /// Calls to all other routes.
    pub other: CallRate,
    /// Calls a month; none where they aren't counted against anything.
    pub quota: Option<MonthlyQuota>,
    /// How long a call may queue for its budget.
    pub budget_wait: Duration,
    /// The longest that one 429 stops calls, whatever it asks for.
    pub max_pause: Duration,
    /// How old the attachment rules of an account may become before they are read again.
    pub rules_ttl: Duration,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// From sending a call to its whole answer.
    pub request_timeout: Duration,
    /// How long to wait for an asset that isn't available yet (400-766).
    pub pending_wait: Duration,
}

/// What signs us in at eGain.
#[derive(Debug, Clone)]
pub enum ClientCredentials {
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

impl ClientCredentials {
    /// Takes another secret or token in place of the one it has. Whether it is another one.
    fn replace_secret(&mut self, new: &SecretString) -> bool {
        let (Self::Fixed(secret) | Self::Client { secret, .. }) = self;
        let differs = secret.expose_secret() != new.expose_secret();
        if differs {
            *secret = new.clone();
        }
        differs
    }
}

/// An upload that eGain is asked to expect.
#[derive(Debug, Clone)]
pub struct NewAsset<'a> {
    /// Whose it is.
    pub claimant: &'a Principal,
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
pub struct CreatedAsset {
    /// The asset.
    pub claim: UncommittedAsset,
    /// Where its bytes go, unchecked.
    pub content_url: SignedUrl,
    /// The name that eGain took, where it refused the one that it was given.
    pub other_name: Option<String>,
    /// How long the call queued for its budget.
    pub queued: Duration,
}

/// An answer to `POST /assets`, with what it has brought into the world.
struct CreateResponse {
    answer: ApiResponse,
    claim: Option<UncommittedAsset>,
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
    pub lease: ExpiringUrl,
}

/// The client for eGain's API.
#[derive(Clone)]
pub struct EgainClient {
    calls: Arc<ApiClient>,
    /// Until somebody runs it.
    keeper: Arc<Mutex<Option<TokenKeeper<SignIn>>>>,
    pending_wait: Duration,
    metrics: Arc<ServiceMetrics>,
}

impl EgainClient {
    /// Makes a client.
    ///
    /// # Errors
    /// The machine has no CA certificates.
    pub fn new(config: EgainConfig, metrics: Arc<ServiceMetrics>) -> io::Result<Self> {
        let pending_wait = config.pending_wait;
        let (calls, keeper) = ApiClient::new(config, &metrics)?;
        Ok(Self {
            calls: Arc::new(calls),
            keeper: Arc::new(Mutex::new(Some(keeper))),
            pending_wait,
            metrics,
        })
    }

    /// Signs in, and keeps the access token fresh ahead of need. Calls wait for it, so it has to be
    /// spawned. Never ends; does nothing where it is run already.
    pub async fn keep_signed_in(self) {
        let keeper = self.keeper.lock().take();
        if let Some(keeper) = keeper {
            keeper.run().await;
        }
    }

    /// Takes another client secret, or another fixed token, and signs in with it at once. Whether
    /// it is another one.
    pub fn replace_secret(&self, secret: &SecretString) -> bool {
        self.calls.tokens.replace_secret(secret)
    }

    /// Whether there is an access token that should be good.
    pub fn is_signed_in(&self) -> bool {
        self.calls.tokens.has_one()
    }

    /// `POST /assets`: spends one call, and one more where eGain refuses the name for its
    /// characters: then it is asked again with plain ones. An asset whose claim isn't kept goes to
    /// `orphans`, also where nobody waits for the answer any more.
    pub async fn create_asset(
        &self,
        asset: &NewAsset<'_>,
        orphans: &OrphanQueue,
    ) -> Result<CreatedAsset, Error> {
        let fault = match self.create_asset_once(asset, orphans).await {
            Err(fault) if fault.upstream_answer().and_then(|said| said.field) == Some("name") => {
                fault
            }
            done => return done,
        };
        let Some(name) = plain_name::plain(asset.name) else {
            return Err(fault);
        };
        let created = self
            .create_asset_once(
                &NewAsset {
                    name: &name,
                    ..asset.clone()
                },
                orphans,
            )
            .await?;
        self.metrics.names_folded.inc();
        Ok(CreatedAsset {
            other_name: Some(name),
            ..created
        })
    }

    async fn create_asset_once(
        &self,
        asset: &NewAsset<'_>,
        orphans: &OrphanQueue,
    ) -> Result<CreatedAsset, Error> {
        let expected = ExpectedAsset {
            channel: Typed {
                r#type: asset.channel,
            },
            sender: Typed {
                r#type: asset.sender.name(),
            },
            name: asset.name,
            size: asset.size,
        };
        let question = ApiRequest::Create(
            serde_json::to_vec(&expected)
                .expect("it has string keys")
                .into(),
        );
        let (orphans, metrics) = (orphans.clone(), self.metrics.clone());
        let receive = move |answer| CreateResponse::of(answer, &orphans, &metrics);
        let (CreateResponse { answer, claim }, queued) =
            self.calls.make(&question, asset.claimant, receive).await?;
        let fields = answer.fields(&self.metrics);
        let claim =
            claim.ok_or_else(|| answer.unusable(Stage::Sign, &fields, "has no usable id"))?;
        let content_url = content_url(&answer, &fields)?;
        Ok(CreatedAsset {
            claim,
            content_url,
            other_name: None,
            queued,
        })
    }

    /// `GET /assets/{id}`: spends at least one call, and mints a new signed URL. An asset that
    /// isn't available yet is asked for again, with growing pauses, for `pending_wait`.
    pub async fn get_asset(&self, id: &AssetId, claimant: &Principal) -> Result<Asset, Error> {
        let deadline = tokio::time::Instant::now() + self.pending_wait;
        let mut pause = Duration::from_secs(1);
        loop {
            match self.get_asset_once(id, claimant).await {
                Err(fault)
                    if fault.code() == ErrorCode::AssetPending
                        && tokio::time::Instant::now() + pause <= deadline =>
                {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
    }

    async fn get_asset_once(&self, id: &AssetId, claimant: &Principal) -> Result<Asset, Error> {
        let asked = std::time::Instant::now();
        let (answer, _) = self
            .calls
            .make(&ApiRequest::Get(id.clone()), claimant, identity)
            .await?;
        let fields = answer.fields(&self.metrics);
        let url = content_url(&answer, &fields)?;
        let (until, expiry) = fields.expiry("contentUrlExpiry").unzip();
        let expires = until.map(|until| answer.deadline(until, Some(&url.parsed())));
        let (name, content_type, size) = (
            fields.text("name"),
            fields.text("contentType"),
            fields.size("size"),
        );
        Ok(Asset {
            name,
            content_type,
            size,
            lease: ExpiringUrl {
                url,
                asked,
                expires,
                expiry: expiry.flatten(),
            },
        })
    }

    /// `DELETE /assets/{id}`: spends one call of the other routes' budget.
    pub async fn delete_asset(&self, id: &AssetId, claimant: &Principal) -> Result<(), Error> {
        self.calls
            .make(&ApiRequest::Delete(id.clone()), claimant, identity)
            .await
            .map(drop)
    }

    /// The same on the gateway's own behalf, and with one attempt only.
    async fn delete_orphan(&self, id: &AssetId) -> Result<(), CallError> {
        self.calls
            .make_once(
                &ApiRequest::Delete(id.clone()),
                &Principal::Gateway,
                &identity,
            )
            .await
            .map(drop)
    }
}

impl CreateResponse {
    /// The id is read first: whatever else is odd, what can be named can be deleted.
    fn of(answer: ApiResponse, orphans: &OrphanQueue, metrics: &ServiceMetrics) -> Self {
        let id = if answer.status.is_success() {
            JsonFields::read(&answer.body, metrics).id()
        } else {
            None
        };
        Self {
            claim: id.map(|id| UncommittedAsset::on(id, orphans.clone())),
            answer,
        }
    }
}

impl Borrow<ApiResponse> for CreateResponse {
    fn borrow(&self) -> &ApiResponse {
        &self.answer
    }
}

fn content_url(answer: &ApiResponse, fields: &JsonFields<'_>) -> Result<SignedUrl, Error> {
    let url = fields
        .text("contentUrl")
        .and_then(|text| SignedUrl::parse(&text));
    url.ok_or_else(|| answer.unusable(Stage::Sign, fields, "has no usable contentUrl"))
}
