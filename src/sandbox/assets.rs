//! The Asset API: create, get and delete, as documented for Conversation Manager v3.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use uuid::Uuid;

use super::admission::admit;
use super::clock;
use super::declaration::Declaration;
use super::faults::Operation;
use super::oddities::Oddity;
use super::reading;
use super::reply::{Refusal, Reply};
use super::site::Site;

/// A declaration that is larger than this is none.
const MAX_DECLARATION: usize = 64 * 1024;

/// `POST /assets`: promises an asset and says where its file goes.
pub(super) async fn create(site: &Site, request: Request<Incoming>) -> Result<Reply, Refusal> {
    admit(site, Operation::CreateAsset, &request, &[])?;
    let body = reading::read_json(request, MAX_DECLARATION).await?;
    let declared = Declaration::read(&body, site.config.max_size)?;
    let id = new_id(site);
    let expiry = site.clock.after(site.config.upload_life);
    let (url, ticket) = site
        .signer
        .sign(&site.root, &Method::POST, &id, site.clock.now()..expiry);
    site.shelf.expect(id.clone(), declared, ticket);
    let answer =
        json!({"id": id, "contentUrl": url.as_str(), "contentUrlExpiry": clock::rfc3339(expiry)});
    Ok(Reply::json(StatusCode::OK, answer))
}

fn new_id(site: &Site) -> String {
    let id = Uuid::new_v4();
    // As many digits as a JSON number carries safely (RFC 8259 section 6).
    if site.oddities.has(Oddity::IdAsNumber) {
        (id.as_u64_pair().0 >> 11).to_string()
    } else {
        id.to_string()
    }
}

/// `GET /assets/{id}`: what is known of an asset, and a new URL to download it from.
pub(super) fn get(site: &Site, id: &str, request: &Request<Incoming>) -> Result<Reply, Refusal> {
    admit(site, Operation::GetAsset, request, &[])?;
    let asset = site.shelf.view(id).ok_or_else(unknown)?;
    if !asset.complete {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "400-766",
            "the asset isn't available yet",
        ));
    }
    let expiry = site.clock.after(site.config.download_life);
    let (url, _) = site
        .signer
        .sign(&site.root, &Method::GET, id, site.clock.now()..expiry);
    let answer = json!({
        "id": id, "name": asset.name, "size": asset.size, "contentType": asset.content_type,
        "contentUrl": url.as_str(), "contentUrlExpiry": clock::rfc3339(expiry),
    });
    Ok(Reply::json(StatusCode::OK, answer))
}

/// `DELETE /assets/{id}`
pub(super) fn delete(site: &Site, id: &str, request: &Request<Incoming>) -> Result<Reply, Refusal> {
    admit(site, Operation::DeleteAsset, request, &[])?;
    if site.shelf.remove(id) {
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    } else {
        Err(unknown())
    }
}

fn unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "404-101",
        "there is no asset with this id",
    )
}
