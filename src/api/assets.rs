//! The routes of assets, in terms of HTTP; [`super::content`] has those of their bytes.

use std::sync::Arc;
use std::time::Duration;

use headers::{CacheControl, HeaderMapExt};
use http::header::{CACHE_CONTROL, LOCATION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::access_log::RequestLog;
use super::response::{json, no_content};
use super::state::{ApiState, CallerBody};
use crate::body::BoxBody;
use crate::download::KnownAsset;
use crate::types::asset::AssetId;
use crate::types::caller::{AuthenticatedCaller, Principal};
use crate::types::error::Error;
use crate::upload::{UploadReceipt, UploadRequest, UploadTiming};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stored<'a> {
    id: &'a str,
    name: &'a str,
    content_type: &'a str,
    size: u64,
    channel: &'a str,
    sender: &'a str,
    length_source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    id: &'a str,
    name: Option<&'a str>,
    content_type: Option<&'a str>,
    size: Option<u64>,
    content_url: &'a str,
    content_url_expiry: Option<&'a str>,
}

impl ApiState {
    pub(super) async fn upload(
        &self,
        caller: Arc<AuthenticatedCaller>,
        head: Parts,
        body: CallerBody,
        request_log: &mut RequestLog,
    ) -> Result<Response<BoxBody>, Error> {
        self.refuse_while_draining()?;
        request_log.hold_permit(Self::acquire_permit(&self.uploads, &caller, "uploads")?);
        let receipt = self
            .upload
            .run(UploadRequest {
                caller,
                head,
                body,
                stay: self.shutdown.track_finishing(),
            })
            .await?;
        request_log.created(&receipt.id);
        Ok(created(&receipt))
    }

    pub(super) async fn metadata(
        &self,
        id: &AssetId,
        by: &Principal,
        head: &Parts,
    ) -> Result<Response<BoxBody>, Error> {
        let fresh = match head.headers.typed_get::<CacheControl>() {
            Some(control) => control.no_cache(),
            None => false,
        };
        let asset = self.download.metadata(id, by, fresh).await?;
        let mut response = json(
            StatusCode::OK,
            &Metadata {
                id: id.as_str(),
                name: asset.name(),
                content_type: asset.content_type(),
                size: asset.size(),
                content_url: asset.expose_url(),
                content_url_expiry: asset.url_expiry(),
            },
        );
        response
            .headers_mut()
            .insert(CACHE_CONTROL, freshness(&asset));
        Ok(response)
    }

    pub(super) async fn delete(
        &self,
        id: &AssetId,
        by: &Principal,
    ) -> Result<Response<BoxBody>, Error> {
        let (upload, gone) = (self.upload.clone(), id.clone());
        let forget = move || upload.forget(&gone);
        self.download.delete(id, by, forget).await?;
        Ok(no_content())
    }
}

/// As long as the signed URL is given out.
pub(super) fn freshness(asset: &KnownAsset) -> HeaderValue {
    let left = asset.time_left().as_secs();
    HeaderValue::try_from(format!("private, max-age={left}")).expect("digits")
}

fn created(receipt: &UploadReceipt) -> Response<BoxBody> {
    let mut response = json(
        StatusCode::CREATED,
        &Stored {
            id: receipt.id.as_str(),
            name: &receipt.name,
            content_type: &receipt.content_type,
            size: receipt.size,
            channel: &receipt.channel,
            sender: receipt.sender.name(),
            length_source: receipt.length_source.name(),
            sha256: receipt.sha256.as_deref(),
        },
    );
    let headers = response.headers_mut();
    let location = format!("/v1/assets/{}", receipt.id);
    headers.insert(
        LOCATION,
        HeaderValue::try_from(location).expect("an id is a valid header value"),
    );
    headers.insert(
        HeaderName::from_static("server-timing"),
        server_timing(&receipt.timing),
    );
    response
}

/// Milliseconds, as <https://www.w3.org/TR/server-timing/> has them.
fn server_timing(timing: &UploadTiming) -> HeaderValue {
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let read = ms(timing.read);
    let budget = ms(timing.budget);
    let sign = ms(timing.sign);
    let store = ms(timing.store);
    let text = format!(
        "read;dur={read:.1}, budget;dur={budget:.1}, sign;dur={sign:.1}, store;dur={store:.1}"
    );
    HeaderValue::try_from(text).expect("digits and ASCII")
}
