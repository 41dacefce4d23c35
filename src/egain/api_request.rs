//! One request to eGain's API.

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use super::operation::EgainOperation;
use super::token::AccessToken;
use crate::types::asset::AssetId;

/// An operation with its parameters.
pub(super) enum ApiRequest {
    /// `POST /assets`, with this body.
    CreateAsset(Bytes),
    /// `GET /assets/{id}`.
    GetAsset(AssetId),
    /// `DELETE /assets/{id}`.
    DeleteAsset(AssetId),
    /// One of accounts or channels.
    Manage {
        /// Which.
        operation: EgainOperation,
        /// Below the base URL, with a query where there is one.
        path: String,
        /// JSON, or nothing.
        body: Bytes,
    },
}

impl ApiRequest {
    /// Which operation it calls.
    pub(super) const fn operation(&self) -> EgainOperation {
        match self {
            Self::CreateAsset(_) => EgainOperation::CreateAsset,
            Self::GetAsset(_) => EgainOperation::GetAsset,
            Self::DeleteAsset(_) => EgainOperation::DeleteAsset,
            Self::Manage { operation, .. } => *operation,
        }
    }

    /// The HTTP request to the API below `base_url`, which has no slash at its end.
    pub(super) fn to_http(&self, base_url: &str, token: &AccessToken) -> Request<Bytes> {
        let (path, body) = match self {
            Self::CreateAsset(body) => ("/assets".to_owned(), body.clone()),
            Self::GetAsset(id) | Self::DeleteAsset(id) => (format!("/assets/{id}"), Bytes::new()),
            Self::Manage { path, body, .. } => (path.clone(), body.clone()),
        };
        let has_body = !body.is_empty();
        let mut request = Request::new(body);
        if has_body {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        request.headers_mut().insert(AUTHORIZATION, token.header());
        *request.method_mut() = self.operation().method();
        *request.uri_mut() = format!("{base_url}{path}")
            .parse()
            .expect("the base is a URL, and ids can stand in a path");
        request
    }
}
