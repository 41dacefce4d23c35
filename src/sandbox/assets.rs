//! The Asset API: create, get and delete, as documented for Conversation Manager v3.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use uuid::Uuid;

use super::admission::admit;
use super::clock;
use super::create_asset::CreateAssetBody;
use super::oddities::ResponseOddity;
use super::operation::SandboxOperation;
use super::reading;
use super::reply::{ApiRefusal, SandboxReply};
use super::state::SandboxState;

/// A declaration that is larger than this is none.
const MAX_DECLARATION: usize = 64 * 1024;

/// `POST /assets`: promises an asset and says where its file goes.
pub(super) async fn create(
    state: &SandboxState,
    request: Request<Incoming>,
) -> Result<SandboxReply, ApiRefusal> {
    admit(state, SandboxOperation::CreateAsset, &request, &[])?;
    let body = reading::read_json(request, MAX_DECLARATION).await?;
    let declared = CreateAssetBody::read(&body, state.config.max_size)?;
    let id = new_id(state);
    let expiry = state.clock.after(state.config.upload_life);
    let (url, ticket) =
        state
            .signer
            .sign(&state.root, &Method::POST, &id, state.clock.now()..expiry);
    state.asset_store.expect(id.clone(), declared, ticket);
    let body =
        json!({"id": id, "contentUrl": url.as_str(), "contentUrlExpiry": clock::rfc3339(expiry)});
    Ok(SandboxReply::json(StatusCode::OK, body))
}

fn new_id(state: &SandboxState) -> String {
    let id = Uuid::new_v4();
    // As many digits as a JSON number carries safely (RFC 8259 section 6).
    if state.oddities.has(ResponseOddity::IdAsNumber) {
        (id.as_u64_pair().0 >> 11).to_string()
    } else {
        id.to_string()
    }
}

/// `GET /assets/{id}`: what is known of an asset, and a new URL to download it from.
pub(super) fn get(
    state: &SandboxState,
    id: &str,
    request: &Request<Incoming>,
) -> Result<SandboxReply, ApiRefusal> {
    admit(state, SandboxOperation::GetAsset, request, &[])?;
    let asset = state.asset_store.view(id).ok_or_else(unknown)?;
    if !asset.complete {
        return Err(ApiRefusal::new(
            StatusCode::BAD_REQUEST,
            "400-766",
            "the asset isn't available yet",
        ));
    }
    let expiry = state.clock.after(state.config.download_life);
    let (url, _) = state
        .signer
        .sign(&state.root, &Method::GET, id, state.clock.now()..expiry);
    let body = json!({
        "id": id, "name": asset.name, "size": asset.size, "contentType": asset.content_type,
        "contentUrl": url.as_str(), "contentUrlExpiry": clock::rfc3339(expiry),
    });
    Ok(SandboxReply::json(StatusCode::OK, body))
}

/// `DELETE /assets/{id}`
pub(super) fn delete(
    state: &SandboxState,
    id: &str,
    request: &Request<Incoming>,
) -> Result<SandboxReply, ApiRefusal> {
    admit(state, SandboxOperation::DeleteAsset, request, &[])?;
    if state.asset_store.remove(id) {
        Ok(SandboxReply::empty(StatusCode::NO_CONTENT))
    } else {
        Err(unknown())
    }
}

fn unknown() -> ApiRefusal {
    ApiRefusal::new(
        StatusCode::NOT_FOUND,
        "404-101",
        "there is no asset with this id",
    )
}
