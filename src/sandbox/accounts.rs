//! The Account API: create, list, get, replace and delete, as documented for Conversation Manager
//! v3.

mod account_body;
mod account_store;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::admission::admit;
use super::faults::Operation;
use super::paging::{self, Page};
use super::reading;
use super::reply::{Refusal, Reply};
use super::site::Site;
use account_body::check;
pub(super) use account_store::AccountStore;
use account_store::Conflict;

/// A body that is larger than this is none: ten attributes and all texts at their longest take 20
/// KiB.
const MAX_BODY: usize = 64 * 1024;

/// `POST /accounts`
pub(super) async fn create(site: &Site, request: Request<Incoming>) -> Result<Reply, Refusal> {
    admit(site, Operation::CreateAccount, &request, &[])?;
    let account = read(site, request, &[]).await?;
    let id = site
        .accounts
        .insert(account, site.clock.now())
        .map_err(refuse)?;
    Ok(Reply::json(StatusCode::CREATED, json!({"id": id})))
}

/// `GET /accounts`. A list that wasn't asked for in pages has no `paginationInfo`.
pub(super) fn list(site: &Site, request: &Request<Incoming>) -> Result<Reply, Refusal> {
    admit(site, Operation::ListAccounts, request, paging::PARAMETERS)?;
    let accounts = site.accounts.all();
    Ok(Reply::json(
        StatusCode::OK,
        Page::asked_for(request.uri())?.of("account", accounts),
    ))
}

/// `GET /accounts/{id}`. Attributes come as they were given, secret ones as well: eGain's documents
/// don't say that they don't.
pub(super) fn get(site: &Site, id: &str, request: &Request<Incoming>) -> Result<Reply, Refusal> {
    admit(site, Operation::GetAccount, request, &[])?;
    site.accounts
        .get(id)
        .map(|account| Reply::json(StatusCode::OK, account))
        .ok_or_else(unknown)
}

/// `PUT /accounts/{id}`: a full replacement. `modified` is a lock: another one than the account's
/// is refused.
pub(super) async fn replace(
    site: &Site,
    id: &str,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    admit(site, Operation::ReplaceAccount, &request, &[])?;
    let account = read(site, request, &["id", "created", "modified"]).await?;
    site.accounts
        .replace(id, account, site.clock.now())
        .map_err(refuse)?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// `DELETE /accounts/{id}`
pub(super) fn delete(site: &Site, id: &str, request: &Request<Incoming>) -> Result<Reply, Refusal> {
    admit(site, Operation::DeleteAccount, request, &[])?;
    if site.accounts.remove(id) {
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    } else {
        Err(unknown())
    }
}

async fn read(
    site: &Site,
    request: Request<Incoming>,
    read_only: &[&str],
) -> Result<Map<String, Value>, Refusal> {
    let body = reading::read_json(request, MAX_BODY).await?;
    let channel_type = |id: &str| site.channels.get(id)?["type"].as_str().map(str::to_owned);
    check(&body, read_only, channel_type)
}

fn refuse(conflict: Conflict) -> Refusal {
    match conflict {
        Conflict::Unknown => unknown(),
        Conflict::Modified => {
            Refusal::new(StatusCode::CONFLICT, "409-100", "modified does not match")
        }
        // The code isn't documented; only the status is likely.
        Conflict::Name => Refusal::new(
            StatusCode::CONFLICT,
            "409-101",
            "an account has this name already",
        )
        .detail("attribute", "name"),
    }
}

fn unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "404-101",
        "there is no account with this id",
    )
}
