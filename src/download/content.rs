//! A file's bytes: streamed from storage, a dead URL replaced once, a broken stream resumed.

use std::sync::Arc;

use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use prometheus::IntCounter;

use super::early_deaths::StorageRefusal;
use super::known_asset::KnownAsset;
use super::resume::{RequestedDownload, ResumeContext};
use super::service::DownloadService;
use super::validators::{ClientValidators, ContentValidators};
use crate::body::BoxBody;
use crate::body::observed::{BodyObserver, ObservedBody};
use crate::body::peek::PeekedBody;
use crate::media;
use crate::storage::{RequestedPart, StoredObject, refuses_url};
use crate::telemetry::metrics::ServiceMetrics;
use crate::telemetry::transfer::{TransferDirection, TransferRecord};
use crate::types::asset::AssetId;
use crate::types::caller::Principal;
use crate::types::error::{Error, Stage};

/// The range and conditions of a caller (RFC 9110 sections 13 and 14); storage decides on them.
const CONDITIONS: [HeaderName; 6] = [
    RANGE,
    IF_RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
];

/// A response with bytes, or storage's verdict on the caller's conditions.
pub struct DownloadContent {
    /// What eGain knows of the asset.
    pub asset: Arc<KnownAsset>,
    /// 200, 206, 304, 412 or 416.
    pub status: StatusCode,
    /// Storage's headers, with the validators that every response has.
    pub headers: HeaderMap,
    /// The bytes.
    pub body: BoxBody,
}

impl DownloadService {
    /// Opens a file, with the caller's range and conditions.
    pub async fn content(
        &self,
        id: &AssetId,
        principal: &Principal,
        headers: &HeaderMap,
    ) -> Result<DownloadContent, Error> {
        let opened = self.open(id, principal, conditions(headers)).await;
        let (asset, object) = opened.inspect_err(|error| self.count_unopened(error))?;
        let StoredObject {
            status,
            mut headers,
            body,
        } = object;
        let requested = RequestedDownload {
            download: self.clone(),
            id: id.clone(),
            principal: principal.clone(),
        };
        let body = match ResumeContext::new(requested, status, &headers) {
            Some(context) => context.resume_when_cut(body).boxed(),
            None => body,
        };
        let body = refine_type(&asset, status, &headers, body)
            .await
            .inspect_err(|error| self.count_unopened(error))?;
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            asset
                .validators(|| ContentValidators::of(&headers, id, asset.size()))
                .write_to(&mut headers);
        }
        let body = ObservedBody::new(body, DownloadMetrics::begin(&self.metrics)).boxed();
        Ok(DownloadContent {
            asset,
            status,
            headers,
            body,
        })
    }

    /// Reads with a cached URL, and once more with a new one if storage refuses it.
    pub(super) async fn open(
        &self,
        id: &AssetId,
        principal: &Principal,
        conditions: HeaderMap,
    ) -> Result<(Arc<KnownAsset>, StoredObject), Error> {
        let earlier = self.early_deaths.check(id)?;
        let asset = self.cache.get(id, principal).await?;
        let refusal = match self.read(id, &asset, &conditions).await {
            Err(error) if refuses_url(&error) => error,
            opened => {
                let object = opened?;
                if earlier.is_some() {
                    self.early_deaths.forget(id);
                }
                return Ok((asset, object));
            }
        };
        let asset = self
            .replacement(id, principal, &asset, refusal, earlier)
            .await?;
        match self.read(id, &asset, &conditions).await {
            Err(error) if refuses_url(&error) => {
                self.early_deaths.remember_vain_call(id, &error);
                Err(error)
            }
            opened => {
                self.early_deaths.forget(id);
                Ok((asset, opened?))
            }
        }
    }

    async fn read(
        &self,
        id: &AssetId,
        asset: &KnownAsset,
        conditions: &HeaderMap,
    ) -> Result<StoredObject, Error> {
        let mut conditions = conditions.clone();
        ClientValidators {
            id,
            size: asset.size(),
            known: asset.known_validators(),
        }
        .remove_decided(&mut conditions);
        self.storage
            .read(&asset.url(), &RequestedPart::new(conditions, asset.size()))
            .await
    }

    /// A new URL in place of one that storage has refused.
    ///
    /// # Errors
    /// The refusal: a new URL was tried in vain, or there is none.
    async fn replacement(
        &self,
        id: &AssetId,
        principal: &Principal,
        refused: &KnownAsset,
        refusal: Error,
        earlier: Option<StorageRefusal>,
    ) -> Result<Arc<KnownAsset>, Error> {
        self.early_deaths.count();
        if !self
            .early_deaths
            .may_replace(refused.requested().elapsed(), earlier.as_ref())
        {
            if earlier.is_some() {
                self.early_deaths.remember(id, &refusal);
            }
            return Err(refusal);
        }
        let asset = self.cache.renew(id, principal, refused.requested()).await?;
        if asset.requested() == refused.requested() {
            Err(refusal)
        } else {
            Ok(asset)
        }
    }

    /// What storage didn't give is a failed transfer, too. What eGain didn't isn't: nothing was to
    /// be moved yet.
    fn count_unopened(&self, error: &Error) {
        if error.stage() == Stage::Fetch {
            DownloadMetrics::begin(&self.metrics).ended(Some(error));
        }
    }
}

/// One download in the metrics.
struct DownloadMetrics {
    bytes: IntCounter,
    transfer: TransferRecord,
}

impl DownloadMetrics {
    fn begin(metrics: &Arc<ServiceMetrics>) -> Self {
        let bytes = metrics.transfer_bytes.with_label_values(&["download", ""]);
        Self {
            bytes,
            transfer: TransferRecord::begin(metrics, TransferDirection::Download),
        }
    }
}

impl BodyObserver for DownloadMetrics {
    fn moved(&mut self, bytes: u64) {
        self.bytes.inc_by(bytes);
    }

    fn ended(&mut self, error: Option<&Error>) {
        self.transfer.end(error);
    }
}

/// Learns what a response shows of the type beyond eGain's word for it: the parameters that storage
/// got with the file, else the characters that a text begins with.
async fn refine_type(
    asset: &KnownAsset,
    status: StatusCode,
    headers: &HeaderMap,
    body: BoxBody,
) -> Result<BoxBody, Error> {
    if !status.is_success() || asset.exact_type().is_some() {
        return Ok(body);
    }
    let stored = match headers.get(CONTENT_TYPE).map(HeaderValue::to_str) {
        Some(Ok(stored)) => Some(stored),
        _ => None,
    };
    let Some(known) = asset.content_type().or(stored) else {
        return Ok(body);
    };
    if let Some(stored) = stored
        && media::adds_parameters(stored, known)
    {
        asset.refine_type(stored);
        return Ok(body);
    }
    // A part, or what is compressed, shows no beginning of the text.
    let shows_beginning = status == StatusCode::OK && !headers.contains_key(CONTENT_ENCODING);
    if !shows_beginning || !media::lacks_charset(known) {
        return Ok(body);
    }
    let peeked = PeekedBody::at(body, 1).await?;
    if media::is_utf8(peeked.beginning()) {
        asset.refine_type(format!("{known}; charset=utf-8"));
    }
    Ok(peeked.boxed())
}

fn conditions(headers: &HeaderMap) -> HeaderMap {
    let mut conditions = HeaderMap::new();
    for name in CONDITIONS {
        for value in headers.get_all(&name) {
            conditions.append(&name, value.clone());
        }
    }
    conditions
}
