//! The routes of accounts and channels, in terms of HTTP. For operators.

use std::time::Duration;

use bytes::Bytes;
use headers::{ContentType, ETag as EntityTag, HeaderMapExt, IfMatch};
use http::header::{ETAG, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value, json as object};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::response::{json, no_content, uncached};
use super::state::{ApiState, CallerBody};
use crate::body::BoxBody;
use crate::types::account::{AccountId, ChannelId};
use crate::types::caller::Principal;
use crate::types::error::{Error, ErrorCode, Stage};

/// eGain's longest account takes 20 KiB: ten attributes and all texts at their longest.
const LARGEST_DOCUMENT: usize = 64 * 1024;

/// A document is small: a client that needs longer for it has stopped.
const LONGEST_READ: Duration = Duration::from_secs(30);

/// The parameters of eGain's lists that select a page.
const PAGING: [&str; 4] = ["pagenum", "pagesize", "$pagenum", "$pagesize"];

impl ApiState {
    pub(super) async fn create_account(
        &self,
        head: &Parts,
        body: CallerBody,
        by: &Principal,
    ) -> Result<Response<BoxBody>, Error> {
        let document = read(head, body).await?;
        let id = self.accounts.create(&document, by).await?;
        let mut response = json(StatusCode::CREATED, &object!({"id": id}));
        if let Ok(location) = HeaderValue::from_str(&format!("/v1/accounts/{id}")) {
            response.headers_mut().insert(LOCATION, location);
        }
        Ok(response)
    }

    pub(super) async fn list_accounts(
        &self,
        head: &Parts,
        by: &Principal,
    ) -> Result<Response<BoxBody>, Error> {
        Ok(uncached(json(
            StatusCode::OK,
            &self.accounts.list(paging(head)?, by).await?,
        )))
    }

    pub(super) async fn account(
        &self,
        id: &AccountId,
        by: &Principal,
    ) -> Result<Response<BoxBody>, Error> {
        let account = self.accounts.get(id, by).await?;
        let mut response = uncached(json(StatusCode::OK, &account.document));
        if let Some(tag) = entity_tag(&account.modified) {
            response.headers_mut().insert(ETAG, tag);
        }
        Ok(response)
    }

    pub(super) async fn replace_account(
        &self,
        id: &AccountId,
        head: &Parts,
        body: CallerBody,
        by: &Principal,
    ) -> Result<Response<BoxBody>, Error> {
        let document = read(head, body).await?;
        let wanted = head.headers.typed_get::<IfMatch>();
        let is_meant = |modified: &Value| {
            let Some(wanted) = &wanted else {
                return true;
            };
            match parsed_entity_tag(modified) {
                Some(tag) => wanted.precondition_passes(&tag),
                None => wanted.is_any(),
            }
        };
        self.accounts.replace(id, &document, &is_meant, by).await?;
        Ok(no_content())
    }

    pub(super) async fn delete_account(
        &self,
        id: &AccountId,
        by: &Principal,
    ) -> Result<Response<BoxBody>, Error> {
        self.accounts.delete(id, by).await?;
        Ok(no_content())
    }

    pub(super) async fn list_channels(
        &self,
        head: &Parts,
        by: &Principal,
    ) -> Result<Response<BoxBody>, Error> {
        Ok(uncached(json(
            StatusCode::OK,
            &self.accounts.list_channels(paging(head)?, by).await?,
        )))
    }

    pub(super) async fn channel(
        &self,
        id: &ChannelId,
        by: &Principal,
    ) -> Result<Response<BoxBody>, Error> {
        Ok(uncached(json(
            StatusCode::OK,
            &self.accounts.get_channel(id, by).await?,
        )))
    }
}

/// The document of a request, which is bounded and has to be a JSON object.
async fn read(head: &Parts, body: CallerBody) -> Result<Map<String, Value>, Error> {
    if let Some(content_type) = head.headers.typed_get::<ContentType>() {
        let content_type = mime::Mime::from(content_type);
        if content_type.subtype() != mime::JSON && content_type.suffix() != Some(mime::JSON) {
            return Err(Error::caller(
                ErrorCode::TypeNotAllowed,
                Stage::Manage,
                "an account is JSON: send it as application/json",
            ));
        }
    }
    match timeout(LONGEST_READ, Limited::new(body, LARGEST_DOCUMENT).collect()).await {
        Ok(Ok(document)) => parse(&document.to_bytes()),
        Ok(Err(error)) => Err(unreadable(error)),
        Err(_) => Err(Error::caller(
            ErrorCode::ClientTooSlow,
            Stage::Manage,
            "the account came too slowly: send it at once",
        )),
    }
}

fn unreadable(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match Error::find_in(&*error) {
        Some(own) => own.clone(),
        None => Error::caller(
            ErrorCode::TooLarge,
            Stage::Manage,
            format!("an account has at most {LARGEST_DOCUMENT} bytes of JSON"),
        ),
    }
}

/// serde's own message for a syntax error names line and column and quotes nothing.
fn parse(document: &Bytes) -> Result<Map<String, Value>, Error> {
    match serde_json::from_slice(document) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err(Error::caller(
            ErrorCode::BadRequest,
            Stage::Manage,
            "an account is a JSON object: send {\"name\": …}",
        )),
        Err(error) => {
            let line = error.line();
            let column = error.column();
            let detail = format!(
                "the body isn't JSON, from line {line}, column {column} on: send the account as a \
                 JSON object"
            );
            Err(Error::caller(ErrorCode::BadRequest, Stage::Manage, detail))
        }
    }
}

/// The query of a list, passed on as it is: pages only.
fn paging(head: &Parts) -> Result<&str, Error> {
    let query = head.uri.query().unwrap_or_default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if !PAGING.contains(&&*name)
            || !value.bytes().all(|byte| byte.is_ascii_digit())
            || value.len() > 9
        {
            let detail = format!(
                "{name} doesn't fit a list: it takes pagenum and pagesize, which are whole numbers"
            );
            return Err(Error::caller(ErrorCode::InvalidField, Stage::Admit, detail));
        }
    }
    Ok(query)
}

/// A strong validator of `modified`, whatever eGain writes there.
fn entity_tag(modified: &Value) -> Option<HeaderValue> {
    if modified.is_null() {
        return None;
    }
    let digest = hex::encode(Sha256::digest(modified.to_string()));
    HeaderValue::from_str(&format!("\"{digest}\"")).ok()
}

fn parsed_entity_tag(modified: &Value) -> Option<EntityTag> {
    entity_tag(modified)?.to_str().ok()?.parse().ok()
}
