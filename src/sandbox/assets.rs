//! The Asset API: create, get and delete, as documented for Conversation Manager v3.

use headers::HeaderMapExt;
use headers::authorization::{Authorization, Bearer};
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;
use uuid::Uuid;

use super::clock;
use super::config::{INTERACTION_MANAGE, INTERACTION_READ};
use super::declaration::Declaration;
use super::faults::Operation;
use super::limits::Exceeded;
use super::reading;
use super::reply::{Refusal, Reply};
use super::site::Site;
use super::token::Insufficient;

/// A declaration that is larger than this is none.
const MAX_DECLARATION: usize = 64 * 1024;

/// `POST /assets`: promises an asset and says where its file goes.
pub(super) async fn create(site: &Site, request: Request<Incoming>) -> Result<Reply, Refusal> {
    admit(site, Operation::CreateAsset, &request)?;
    if !reading::is_of_type(request.headers(), "application/json") {
        // The code isn't documented; only the status is sure.
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "415-100", "send application/json"));
    }
    let body = reading::read(request, MAX_DECLARATION).await.map_err(|_| unreadable())?;
    let declared = Declaration::read(&body, site.config.max_size)?;
    let id = Uuid::new_v4().to_string();
    let expiry = site.clock.after(site.config.upload_life);
    let (url, ticket) = site.signer.sign(&site.root, &Method::POST, &id, site.clock.now()..expiry);
    site.shelf.expect(id.clone(), declared, ticket);
    let answer = json!({"id": id, "contentUrl": url.as_str(), "contentUrlExpiry": clock::rfc3339(expiry)});
    Ok(Reply::json(StatusCode::OK, answer))
}

/// `GET /assets/{id}`: what is known of an asset, and a new URL to download it from.
pub(super) fn get(site: &Site, id: &str, request: &Request<Incoming>) -> Result<Reply, Refusal> {
    admit(site, Operation::GetAsset, request)?;
    let asset = site.shelf.view(id).ok_or_else(unknown)?;
    if !asset.complete {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "400-766", "the asset isn't available yet"));
    }
    let expiry = site.clock.after(site.config.download_life);
    let (url, _) = site.signer.sign(&site.root, &Method::GET, id, site.clock.now()..expiry);
    let answer = json!({
        "id": id, "name": asset.name, "size": asset.size, "contentType": asset.content_type,
        "contentUrl": url.as_str(), "contentUrlExpiry": clock::rfc3339(expiry),
    });
    Ok(Reply::json(StatusCode::OK, answer))
}

/// `DELETE /assets/{id}`
pub(super) fn delete(site: &Site, id: &str, request: &Request<Incoming>) -> Result<Reply, Refusal> {
    admit(site, Operation::DeleteAsset, request)?;
    if site.shelf.remove(id) { Ok(Reply::empty(StatusCode::NO_CONTENT)) } else { Err(unknown()) }
}

/// Who calls, whether they may, and whether they may now. Only calls that may are counted against
/// the plan.
fn admit(site: &Site, operation: Operation, request: &Request<Incoming>) -> Result<(), Refusal> {
    let bearer = request.headers().typed_get::<Authorization<Bearer>>();
    let token = bearer.as_ref().map_or("", |bearer| bearer.token());
    site.tokens.check(token, scopes(operation)).map_err(insufficient)?;
    site.limits.spend(operation).map_err(|exceeded| too_many(site, exceeded))?;
    match request.uri().query() {
        None => Ok(()),
        Some(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "400-101", "a query parameter isn't supported")),
    }
}

fn scopes(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::GetAsset => &[INTERACTION_MANAGE, INTERACTION_READ],
        _ => &[INTERACTION_MANAGE],
    }
}

fn insufficient(why: Insufficient) -> Refusal {
    match why {
        Insufficient::Unknown => Refusal::new(StatusCode::UNAUTHORIZED, "401-104", "the access token isn't valid")
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        Insufficient::Scope => Refusal::new(StatusCode::FORBIDDEN, "403-197", "the token lacks the scope"),
    }
}

/// As a sister API was seen to say it: no `Retry-After`, but the time of the next free call.
fn too_many(site: &Site, exceeded: Exceeded) -> Refusal {
    let reset = clock::rfc3339(site.clock.after(exceeded.wait));
    let reset = HeaderValue::try_from(reset).expect("a time is a plain word");
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "429-001", "too many requests")
        .with(header::HeaderName::from_static("x-ratelimit-limit"), exceeded.limit)
        .with(header::HeaderName::from_static("x-ratelimit-remaining"), 0u32)
        .with(header::HeaderName::from_static("x-ratelimit-reset"), reset)
}

fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "404-101", "there is no asset with this id")
}

/// The code isn't documented; only the status is sure.
fn unreadable() -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "400-100", "the body is too large or broke off")
}
