//! The routes of assets, in terms of HTTP.

use std::sync::Arc;
use std::time::Duration;

use headers::{CacheControl, HeaderMapExt};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use url::form_urlencoded;

use super::exchange::Exchange;
use super::problem::Refusal;
use super::{CallerBody, DownloadMode, Rooms, full, json};
use crate::body::Frames;
use crate::egain::Asset;
use crate::media;
use crate::signals::drain::Phase;
use crate::upload::{Receipt, Request, Timing};
use crate::words::asset::AssetId;
use crate::words::caller::{Caller, Claimant};
use crate::words::fault::{Code, Fault, Stage};

/// What of storage's answer is the caller's business.
const PASSED_ON: [HeaderName; 7] =
    [ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, CONTENT_TYPE];

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

impl Rooms {
    pub(super) async fn upload(
        &self,
        caller: Arc<Caller>,
        head: Parts,
        body: CallerBody,
        exchange: &mut Exchange,
    ) -> Result<Response<Frames>, Fault> {
        if self.drain.phase() == Phase::Draining {
            let detail = "the gateway is about to stop: send it again, another replica will take it";
            return Err(Fault::gateway(Code::Draining, Stage::Admit, detail).retry_after(Duration::from_secs(1)));
        }
        exchange.hold(Self::seat(&self.uploads, &caller, "uploads")?);
        let receipt = self.upload.run(Request { caller, head, body, stay: self.drain.finishing() }).await?;
        Ok(created(&receipt))
    }

    pub(super) async fn metadata(&self, id: &AssetId, by: &Claimant, head: &Parts) -> Result<Response<Frames>, Fault> {
        let fresh = head.headers.typed_get::<CacheControl>().is_some_and(|control| control.no_cache());
        let asset = self.download.metadata(id, by, fresh).await?;
        let mut response = json(
            StatusCode::OK,
            &Metadata {
                id: id.as_str(),
                name: asset.name.as_deref(),
                content_type: asset.content_type.as_deref(),
                size: asset.size,
                content_url: asset.lease.url.expose().as_str(),
                content_url_expiry: asset.lease.expiry.as_deref(),
            },
        );
        response.headers_mut().insert(CACHE_CONTROL, self.freshness(&asset));
        Ok(response)
    }

    pub(super) async fn content_head(&self, id: &AssetId, by: &Claimant) -> Result<Response<Frames>, Fault> {
        let asset = self.download.metadata(id, by, false).await?;
        let mut response = Response::new(full(bytes::Bytes::new()));
        let headers = response.headers_mut();
        if let Some(size) = asset.size {
            headers.insert(CONTENT_LENGTH, size.into());
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        describe(headers, id, &asset);
        Ok(response)
    }

    pub(super) async fn content(
        &self,
        id: &AssetId,
        caller: &Caller,
        head: &Parts,
        exchange: &mut Exchange,
    ) -> Result<Response<Frames>, Refusal> {
        let by = &Claimant::from(caller);
        if self.wants_redirect(head) {
            return Ok(self.redirect(id, by).await?);
        }
        exchange.hold(Self::seat(&self.downloads, caller, "downloads")?);
        let content = self.download.content(id, by, &head.headers).await?;
        if content.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(unsatisfiable(&content.headers));
        }
        let mut response = Response::new(content.body);
        *response.status_mut() = content.status;
        for name in PASSED_ON {
            if let Some(value) = content.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        describe(response.headers_mut(), id, &content.asset);
        Ok(response)
    }

    pub(super) async fn delete(&self, id: &AssetId, by: &Claimant) -> Result<Response<Frames>, Fault> {
        let deleted = self.download.delete(id, by).await;
        if deleted.as_ref().err().is_none_or(|fault| fault.code() == Code::NotFound) {
            self.upload.forget(id);
        }
        deleted?;
        let mut response = Response::new(full(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    async fn redirect(&self, id: &AssetId, by: &Claimant) -> Result<Response<Frames>, Fault> {
        let asset = self.download.metadata(id, by, false).await?;
        let url = HeaderValue::from_str(asset.lease.url.expose().as_str()).map_err(|_| {
            Fault::egain(Code::UpstreamError, Stage::Sign, "the contentUrl that eGain gave can't stand in a header")
        })?;
        let mut response = Response::new(full(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response.headers_mut().insert(LOCATION, url);
        response.headers_mut().insert(CACHE_CONTROL, self.freshness(&asset));
        Ok(response)
    }

    /// The query wins over the setting.
    fn wants_redirect(&self, head: &Parts) -> bool {
        let query = head.uri.query().unwrap_or_default();
        let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "redirect");
        match asked.as_ref().map(|(_, value)| value.as_ref()) {
            Some("1" | "true" | "") => true,
            Some("0" | "false") => false,
            _ => self.download_mode == DownloadMode::Redirect,
        }
    }

    fn freshness(&self, asset: &Asset) -> HeaderValue {
        let left = self.download.time_left(asset).as_secs();
        HeaderValue::try_from(format!("private, max-age={left}")).expect("digits")
    }
}

fn created(receipt: &Receipt) -> Response<Frames> {
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
    headers.insert(LOCATION, HeaderValue::try_from(location).expect("an id can stand in a header"));
    headers.insert(HeaderName::from_static("server-timing"), server_timing(&receipt.timing));
    response
}

/// Milliseconds, as <https://www.w3.org/TR/server-timing/> has them.
fn server_timing(timing: &Timing) -> HeaderValue {
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let (read, budget, sign, store) = (ms(timing.read), ms(timing.budget), ms(timing.sign), ms(timing.store));
    let text = format!("read;dur={read:.1}, budget;dur={budget:.1}, sign;dur={sign:.1}, store;dur={store:.1}");
    HeaderValue::try_from(text).expect("digits and ASCII")
}

/// What the bytes are, and what a browser may do with them: files come from strangers.
fn describe(headers: &mut HeaderMap, id: &AssetId, asset: &Arc<Asset>) {
    let name = asset.name.as_deref().unwrap_or(id.as_str());
    let given = headers.get(CONTENT_TYPE).cloned();
    let known = asset.content_type.as_deref().and_then(|known| HeaderValue::from_str(known).ok());
    let content_type = known.or(given.clone()).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let disposition = media::content_disposition(name, content_type.to_str().unwrap_or_default());
    // Several ranges in one answer: the file's own type is that of its parts (RFC 9110 section 15.3.7.2).
    let several = given.filter(|given| given.as_bytes().starts_with(b"multipart/byteranges"));
    headers.insert(CONTENT_TYPE, several.unwrap_or(content_type));
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

fn unsatisfiable(headers: &HeaderMap) -> Refusal {
    let range = headers.get(CONTENT_RANGE).cloned();
    let size = range.as_ref().and_then(|range| range.to_str().ok()?.strip_prefix("bytes */")).unwrap_or("fewer");
    let detail = format!("the range lies outside the file, which has {size} bytes: ask for bytes that it has");
    let fault = Fault::caller(Code::RangeNotSatisfiable, Stage::Fetch, detail);
    Refusal { fault, header: range.map(|range| (CONTENT_RANGE, range)) }
}
