//! A file's bytes: streamed from storage, a dead URL replaced once, a broken stream taken up again.

use std::sync::Arc;

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::BodyExt;
use prometheus::IntCounter;

use super::Download;
use super::resume::Resuming;
use crate::body::Frames;
use crate::body::meter::{Meter, Witness};
use crate::egain::Asset;
use crate::signals::metrics::Metrics;
use crate::signals::transfer::{Direction, Transfer};
use crate::storage::{Object, Wanted, refuses_url};
use crate::words::asset::AssetId;
use crate::words::caller::Claimant;
use crate::words::fault::{Fault, Stage};

/// What a caller may ask of the bytes (RFC 9110 sections 13 and 14); storage decides.
const CONDITIONS: [HeaderName; 6] = [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

/// An answer with bytes, or storage's verdict on the caller's conditions.
pub struct Content {
    /// What eGain knows of the asset.
    pub asset: Arc<Asset>,
    /// 200, 206, 304, 412 or 416.
    pub status: StatusCode,
    /// Storage's headers.
    pub headers: HeaderMap,
    /// The bytes.
    pub body: Frames,
}

impl Download {
    /// Opens a file, with the caller's range and conditions.
    pub async fn content(&self, id: &AssetId, claimant: &Claimant, headers: &HeaderMap) -> Result<Content, Fault> {
        let conditions = conditions(headers);
        let opened = self.open(id, claimant, conditions).await;
        let (asset, object) = opened.inspect_err(|fault| self.count_unopened(fault))?;
        let Object { status, headers, body } = object;
        let body = match Resuming::new((self.clone(), id.clone(), claimant.clone()), status, &headers) {
            Some(resuming) => resuming.over(body).boxed(),
            None => body,
        };
        let body = Meter::new(body, Tally::begin(&self.metrics)).boxed();
        Ok(Content { asset, status, headers, body })
    }

    /// Reads with a cached URL, and once more with a fresh one if storage refuses it.
    pub(super) async fn open(
        &self,
        id: &AssetId,
        claimant: &Claimant,
        conditions: HeaderMap,
    ) -> Result<(Arc<Asset>, Object), Fault> {
        let asset = self.cache.get(id, claimant).await?;
        let wanted = Wanted::new(conditions, asset.size);
        match self.storage.read(&asset.lease.url, &wanted).await {
            Err(fault) if refuses_url(&fault) => {
                self.metrics.url_early_death.inc();
                self.cache.forget(id, asset.lease.asked).await;
            }
            opened => return opened.map(|object| (asset, object)),
        }
        let asset = self.cache.get(id, claimant).await?;
        let object = self.storage.read(&asset.lease.url, &wanted).await?;
        Ok((asset, object))
    }

    /// What storage didn't give is a failed transfer, too. What eGain didn't isn't: nothing was to be moved yet.
    fn count_unopened(&self, fault: &Fault) {
        if fault.stage() == Stage::Fetch {
            Tally::begin(&self.metrics).ended(Some(fault));
        }
    }
}

/// One download in the metrics.
struct Tally {
    bytes: IntCounter,
    transfer: Transfer,
}

impl Tally {
    fn begin(metrics: &Arc<Metrics>) -> Self {
        let bytes = metrics.transfer_bytes.with_label_values(&["download", ""]);
        Self { bytes, transfer: Transfer::begin(metrics, Direction::Download) }
    }
}

impl Witness for Tally {
    fn moved(&mut self, bytes: u64) {
        self.bytes.inc_by(bytes);
    }

    fn ended(&mut self, fault: Option<&Fault>) {
        self.transfer.end(fault);
    }
}

fn conditions(headers: &HeaderMap) -> HeaderMap {
    let named = CONDITIONS.iter().flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    named.map(|(name, value)| (name.clone(), value.clone())).collect()
}
