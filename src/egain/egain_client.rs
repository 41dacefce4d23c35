//! The client for eGain's API: assets here, accounts and channels in `accounts::account_api`.

use std::borrow::Borrow;
use std::convert::identity;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use secrecy::SecretString;
use serde::Serialize;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::api_request::ApiRequest;
use super::call_error::CallError;
use super::client::ApiClient;
use super::config::EgainConfig;
use super::fields::JsonFields;
use super::orphans::{OrphanQueue, UncommittedAsset};
use super::plain_name;
use super::response::ApiResponse;
use super::token::{SignIn, TokenKeeper};
use crate::shared_store::SharedStore;
use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::{AssetId, ExpiringUrl, Sender};
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::secret::SignedUrl;

/// An asset to be created for an upload.
#[derive(Debug, Clone)]
pub struct NewAsset<'a> {
    /// Whose budget the call spends.
    pub principal: &'a Principal,
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
struct CreateAssetBody<'a> {
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
    /// The asset, which is deleted unless it is committed.
    pub asset: UncommittedAsset,
    /// The presigned URL that its bytes are sent to, unchecked.
    pub content_url: SignedUrl,
    /// The name that eGain accepted, where it refused the one in [`NewAsset`].
    pub other_name: Option<String>,
    /// How long the call queued for its budget.
    pub queued: Duration,
}

/// A response to `POST /assets`, with the asset that it created.
struct CreateResponse {
    response: ApiResponse,
    asset: Option<UncommittedAsset>,
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
    /// A presigned URL to read it.
    pub url: ExpiringUrl,
}

/// The client for eGain's API.
#[derive(Clone)]
pub struct EgainClient {
    pub(super) api: Arc<ApiClient>,
    /// Present until it is run.
    keeper: Arc<Mutex<Option<TokenKeeper<SignIn>>>>,
    pending_wait: Duration,
    pub(super) metrics: Arc<ServiceMetrics>,
}

impl EgainClient {
    /// Makes a client.
    ///
    /// # Errors
    /// The machine has no CA certificates.
    pub fn new(config: EgainConfig, metrics: Arc<ServiceMetrics>) -> io::Result<Self> {
        let pending_wait = config.pending_wait;
        let (api, keeper) = ApiClient::new(config, &metrics)?;
        Ok(Self {
            api: Arc::new(api),
            keeper: Arc::new(Mutex::new(Some(keeper))),
            pending_wait,
            metrics,
        })
    }

    /// Signs in, and keeps the access token fresh ahead of need. Calls wait for it, so it has to be
    /// spawned. Never ends; does nothing if it runs already.
    pub async fn keep_signed_in(self) {
        let keeper = self.keeper.lock().take();
        if let Some(keeper) = keeper {
            keeper.run().await;
        }
    }

    /// Shares the budgets of calls with other replicas. Never returns.
    pub async fn keep_shared(self, store: SharedStore) {
        self.api.keep_shared(&store).await;
    }

    /// Replaces the client secret or the fixed token, and signs in with the new one at once.
    /// Returns whether it differs from the old one.
    pub fn replace_secret(&self, secret: &SecretString) -> bool {
        self.api.tokens.replace_secret(secret)
    }

    /// Whether there is an access token that should be good.
    pub fn is_signed_in(&self) -> bool {
        self.api.tokens.has_one()
    }

    /// `POST /assets`: spends one call. If eGain refuses the name for its characters, a second call
    /// sends it with plain ones. An asset that isn't committed goes to `orphans`, also if the
    /// client has disconnected before the response came.
    pub async fn create_asset(
        &self,
        asset: &NewAsset<'_>,
        orphans: &OrphanQueue,
    ) -> Result<CreatedAsset, Error> {
        let error = match self.create_asset_once(asset, orphans).await {
            Err(error) if refuses_name(&error) => error,
            done => return done,
        };
        let Some(name) = plain_name::plain(asset.name) else {
            return Err(error);
        };
        let renamed = NewAsset {
            name: &name,
            ..asset.clone()
        };
        let created = self.create_asset_once(&renamed, orphans).await?;
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
        let request = ApiRequest::CreateAsset(body_of(asset).into());
        let (orphans, metrics) = (orphans.clone(), self.metrics.clone());
        let receive = move |response| CreateResponse::of(response, &orphans, &metrics);
        let (received, queued) = self.api.send(&request, asset.principal, receive).await?;
        let CreateResponse { response, asset } = received;
        let fields = response.fields(&self.metrics);
        let Some(asset) = asset else {
            return Err(response.unusable(Stage::Sign, &fields, "has no usable id"));
        };
        let content_url = content_url(&response, &fields)?;
        Ok(CreatedAsset {
            asset,
            content_url,
            other_name: None,
            queued,
        })
    }

    /// `GET /assets/{id}`: spends at least one call, and gets a new presigned URL. While the asset
    /// isn't available yet, the call is repeated with growing pauses, for `pending_wait` at most.
    pub async fn get_asset(&self, id: &AssetId, principal: &Principal) -> Result<Asset, Error> {
        let deadline = tokio::time::Instant::now() + self.pending_wait;
        let mut pause = Duration::from_secs(1);
        loop {
            match self.get_asset_once(id, principal).await {
                Err(error)
                    if error.code() == ErrorCode::AssetPending
                        && tokio::time::Instant::now() + pause <= deadline =>
                {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
    }

    async fn get_asset_once(&self, id: &AssetId, principal: &Principal) -> Result<Asset, Error> {
        let requested = Instant::now();
        let request = ApiRequest::GetAsset(id.clone());
        let (response, _) = self.api.send(&request, principal, identity).await?;
        let fields = response.fields(&self.metrics);
        let url = content_url(&response, &fields)?;
        let (mut expires, mut expiry) = (None, None);
        if let Some((until, text)) = fields.expiry("contentUrlExpiry") {
            expires = Some(response.deadline(until, Some(&url.parsed())));
            expiry = text;
        }
        Ok(Asset {
            name: fields.text("name"),
            content_type: fields.text("contentType"),
            size: fields.size("size"),
            url: ExpiringUrl {
                url,
                requested,
                expires,
                expiry,
            },
        })
    }

    /// `DELETE /assets/{id}`: spends one call of the other routes' budget. When eGain has deleted
    /// the asset, `finish` runs before this returns, and also after the client has disconnected.
    pub async fn delete_asset<F>(
        &self,
        id: &AssetId,
        principal: &Principal,
        finish: impl Fn() -> F + Clone + Send + 'static,
    ) -> Result<(), Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let request = ApiRequest::DeleteAsset(id.clone());
        let receive = move |response| DeleteResponse::of(response, &finish);
        let (deleted, _queued) = self.api.send(&request, principal, receive).await?;
        if let Some(finishing) = deleted.finishing {
            // It ends early only together with the process.
            let _ended = finishing.await;
        }
        Ok(())
    }

    /// Whether an asset was created and never got its bytes. None if eGain can't tell now.
    pub(super) async fn has_no_bytes(&self, id: &AssetId) -> Option<bool> {
        match self.get_asset_once(id, &Principal::Gateway).await {
            Ok(_) => Some(false),
            Err(error) => match error.code() {
                ErrorCode::AssetPending => Some(true),
                ErrorCode::NotFound => Some(false),
                _ => None,
            },
        }
    }

    /// The same on the gateway's own behalf, and with one attempt only.
    pub(super) async fn delete_orphan(&self, id: &AssetId) -> Result<(), CallError> {
        let request = ApiRequest::DeleteAsset(id.clone());
        self.api
            .send_once(&request, &Principal::Gateway, &identity)
            .await?;
        Ok(())
    }
}

/// What eGain responds to a deletion, and what is done after it.
struct DeleteResponse {
    response: ApiResponse,
    /// A task of its own: it goes on when the client disconnects.
    finishing: Option<JoinHandle<()>>,
}

impl DeleteResponse {
    fn of<F>(response: ApiResponse, finish: impl Fn() -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let is_deleted = response.status.is_success();
        Self {
            finishing: is_deleted.then(|| tokio::spawn(finish().in_current_span())),
            response,
        }
    }
}

impl Borrow<ApiResponse> for DeleteResponse {
    fn borrow(&self) -> &ApiResponse {
        &self.response
    }
}

impl CreateResponse {
    /// The id is read first: whatever else is odd, an asset whose id is known can be deleted.
    fn of(response: ApiResponse, orphans: &OrphanQueue, metrics: &ServiceMetrics) -> Self {
        let mut asset = None;
        if response.status.is_success()
            && let Some(id) = JsonFields::read(&response.body, metrics).id()
        {
            asset = Some(UncommittedAsset::new(id, orphans.clone()));
        }
        Self { response, asset }
    }
}

impl Borrow<ApiResponse> for CreateResponse {
    fn borrow(&self) -> &ApiResponse {
        &self.response
    }
}

fn body_of(asset: &NewAsset<'_>) -> Vec<u8> {
    let body = CreateAssetBody {
        channel: Typed {
            r#type: asset.channel,
        },
        sender: Typed {
            r#type: asset.sender.name(),
        },
        name: asset.name,
        size: asset.size,
    };
    serde_json::to_vec(&body).expect("it has string keys")
}

fn refuses_name(error: &Error) -> bool {
    match error.upstream() {
        Some(upstream) => upstream.field == Some("name"),
        None => false,
    }
}

fn content_url(response: &ApiResponse, fields: &JsonFields<'_>) -> Result<SignedUrl, Error> {
    if let Some(text) = fields.text("contentUrl")
        && let Some(url) = SignedUrl::parse(&text)
    {
        return Ok(url);
    }
    Err(response.unusable(Stage::Sign, fields, "has no usable contentUrl"))
}
