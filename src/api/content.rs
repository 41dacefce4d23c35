//! `GET|HEAD /v1/assets/{id}/content`, in terms of HTTP: the bytes, and what a browser may do with
//! them.

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use url::form_urlencoded;

use super::access_log::RequestLog;
use super::assets::freshness;
use super::config::DownloadMode;
use super::problem::ErrorResponse;
use super::response::full;
use super::state::ApiState;
use crate::body::BoxBody;
use crate::download::KnownAsset;
use crate::media::{self, InlineViewer};
use crate::types::asset::AssetId;
use crate::types::caller::{AuthenticatedCaller, Principal};
use crate::types::error::{Error, ErrorCode, Stage};

/// The headers of storage's response that the caller gets.
const PASSED_ON: [HeaderName; 7] = [
    ACCEPT_RANGES,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ETAG,
    LAST_MODIFIED,
    CONTENT_TYPE,
];

impl ApiState {
    pub(super) async fn content_head(
        &self,
        id: &AssetId,
        by: &Principal,
        head: &Parts,
    ) -> Result<Response<BoxBody>, Error> {
        if let Some(unchanged) = self.unchanged(id, head).await {
            return Ok(unchanged);
        }
        let asset = self.download.metadata(id, by, false).await?;
        let mut response = Response::new(full(bytes::Bytes::new()));
        let headers = response.headers_mut();
        if let Some(size) = asset.size() {
            headers.insert(CONTENT_LENGTH, size.into());
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        self.download.validators(id, &asset).write_to(headers);
        self.describe(headers, id, &asset);
        Ok(response)
    }

    pub(super) async fn content(
        &self,
        id: &AssetId,
        caller: &AuthenticatedCaller,
        head: &Parts,
        request_log: &mut RequestLog,
    ) -> Result<Response<BoxBody>, ErrorResponse> {
        let by = &Principal::from(caller);
        if self.wants_redirect(head) {
            return Ok(self.redirect(id, by).await?);
        }
        if let Some(unchanged) = self.unchanged(id, head).await {
            return Ok(unchanged);
        }
        request_log.hold_permit(Self::acquire_permit(&self.downloads, caller, "downloads")?);
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
        self.describe(response.headers_mut(), id, &content.asset);
        Ok(response)
    }

    /// 304 where the client proves that it has the bytes: no call to eGain or storage.
    async fn unchanged(&self, id: &AssetId, head: &Parts) -> Option<Response<BoxBody>> {
        let validators = self.download.unchanged(id, &head.headers).await?;
        let mut response = Response::new(full(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        validators.write_to(response.headers_mut());
        response
            .headers_mut()
            .insert(CACHE_CONTROL, self.content_freshness.header());
        Some(response)
    }

    async fn redirect(&self, id: &AssetId, by: &Principal) -> Result<Response<BoxBody>, Error> {
        let asset = self.download.metadata(id, by, false).await?;
        let Ok(url) = HeaderValue::from_str(asset.expose_url()) else {
            return Err(Error::egain(
                ErrorCode::UpstreamError,
                Stage::Sign,
                "the contentUrl that eGain gave is no valid header value",
            ));
        };
        let mut response = Response::new(full(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response.headers_mut().insert(LOCATION, url);
        response
            .headers_mut()
            .insert(CACHE_CONTROL, freshness(&asset));
        Ok(response)
    }

    /// The query wins over the setting.
    fn wants_redirect(&self, head: &Parts) -> bool {
        let query = head.uri.query().unwrap_or_default();
        let mut parameters = form_urlencoded::parse(query.as_bytes());
        if let Some((_, value)) = parameters.find(|(name, _)| name == "redirect") {
            match &*value {
                "1" | "true" | "" => return true,
                "0" | "false" => return false,
                _ => {}
            }
        }
        self.download_mode == DownloadMode::Redirect
    }

    /// What the bytes are, and what a browser may do with them: files come from strangers.
    fn describe(&self, headers: &mut HeaderMap, id: &AssetId, asset: &KnownAsset) {
        let name = asset.name().unwrap_or(id.as_str());
        let stored_type = headers.get(CONTENT_TYPE).cloned();
        let content_type = content_type(asset, stored_type.as_ref());
        let text = content_type.to_str().unwrap_or_default();
        if let Ok(disposition) = HeaderValue::try_from(media::content_disposition(name, text)) {
            headers.insert(CONTENT_DISPOSITION, disposition);
        }
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(policy(media::viewer(text))),
        );
        // Several ranges in one response: the file's own type is that of its parts (RFC 9110
        // section 15.3.7.2).
        let shown_type = match stored_type {
            Some(several) if several.as_bytes().starts_with(b"multipart/byteranges") => several,
            _ => content_type,
        };
        headers.insert(CONTENT_TYPE, shown_type);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, self.content_freshness.header());
    }
}

/// eGain's type, with the parameters that were seen since, else storage's.
fn content_type(asset: &KnownAsset, stored_type: Option<&HeaderValue>) -> HeaderValue {
    let known = asset.exact_type().or(asset.content_type());
    match known.map(HeaderValue::from_str) {
        Some(Ok(known)) => known,
        _ => match stored_type {
            Some(stored) => stored.clone(),
            None => HeaderValue::from_static("application/octet-stream"),
        },
    }
}

/// Nothing runs, whatever the file is. What is shown in place gets what the browser's own viewer of
/// such files needs: for pictures its styles, for sound and film the file itself once more, which
/// Chromium loads only with an origin. `tests/browser` tries it.
const fn policy(viewer: Option<InlineViewer>) -> &'static str {
    match viewer {
        Some(InlineViewer::Image) => {
            "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'"
        }
        Some(InlineViewer::Media) => {
            "sandbox allow-same-origin; default-src 'none'; media-src 'self'"
        }
        Some(InlineViewer::Text) | None => "sandbox; default-src 'none'",
    }
}

fn unsatisfiable(headers: &HeaderMap) -> ErrorResponse {
    let size = size_in_content_range(headers).unwrap_or("fewer");
    let detail =
        format!("the range is outside the file, which has {size} bytes: request bytes that it has");
    let error = Error::caller(ErrorCode::RangeNotSatisfiable, Stage::Fetch, detail);
    let range = headers.get(CONTENT_RANGE);
    ErrorResponse {
        error,
        header: range.map(|range| (CONTENT_RANGE, range.clone())),
    }
}

fn size_in_content_range(headers: &HeaderMap) -> Option<&str> {
    let range = headers.get(CONTENT_RANGE)?;
    range.to_str().ok()?.strip_prefix("bytes */")
}
