//! The Account API: create, list, get, replace and delete, as documented for Conversation Manager
//! v3.

mod account_body;
pub(super) mod account_store;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::admission::admit;
use super::operation::SandboxOperation;
use super::paging::{self, PageRequest};
use super::reading;
use super::reply::{ApiRefusal, SandboxReply};
use super::state::SandboxState;
use account_body::check;
use account_store::AccountConflict;

/// A body that is larger than this is none: ten attributes and all texts at their longest take 20
/// KiB.
const MAX_BODY: usize = 64 * 1024;

/// `POST /accounts`
pub(super) async fn create(
    state: &SandboxState,
    request: Request<Incoming>,
) -> Result<SandboxReply, ApiRefusal> {
    admit(state, SandboxOperation::CreateAccount, &request, &[])?;
    let account = read(state, request, &[]).await?;
    match state.accounts.insert(account, state.clock.now()) {
        Ok(id) => Ok(SandboxReply::json(StatusCode::CREATED, json!({"id": id}))),
        Err(conflict) => Err(refuse(conflict)),
    }
}

/// `GET /accounts`. A list that wasn't requested in pages has no `paginationInfo`.
pub(super) fn list(
    state: &SandboxState,
    request: &Request<Incoming>,
) -> Result<SandboxReply, ApiRefusal> {
    admit(
        state,
        SandboxOperation::ListAccounts,
        request,
        paging::PARAMETERS,
    )?;
    let accounts = state.accounts.all();
    Ok(SandboxReply::json(
        StatusCode::OK,
        PageRequest::from_uri(request.uri())?.of("account", accounts),
    ))
}

/// `GET /accounts/{id}`. Attributes come as they were sent, secret ones as well: eGain's documents
/// don't say that they don't.
pub(super) fn get(
    state: &SandboxState,
    id: &str,
    request: &Request<Incoming>,
) -> Result<SandboxReply, ApiRefusal> {
    admit(state, SandboxOperation::GetAccount, request, &[])?;
    match state.accounts.get(id) {
        Some(account) => Ok(SandboxReply::json(StatusCode::OK, account)),
        None => Err(unknown()),
    }
}

/// `PUT /accounts/{id}`: a full replacement. `modified` is a lock: another one than the account's
/// is refused.
pub(super) async fn replace(
    state: &SandboxState,
    id: &str,
    request: Request<Incoming>,
) -> Result<SandboxReply, ApiRefusal> {
    admit(state, SandboxOperation::ReplaceAccount, &request, &[])?;
    let account = read(state, request, &["id", "created", "modified"]).await?;
    match state.accounts.replace(id, account, state.clock.now()) {
        Ok(()) => Ok(SandboxReply::empty(StatusCode::NO_CONTENT)),
        Err(conflict) => Err(refuse(conflict)),
    }
}

/// `DELETE /accounts/{id}`
pub(super) fn delete(
    state: &SandboxState,
    id: &str,
    request: &Request<Incoming>,
) -> Result<SandboxReply, ApiRefusal> {
    admit(state, SandboxOperation::DeleteAccount, request, &[])?;
    if state.accounts.remove(id) {
        Ok(SandboxReply::empty(StatusCode::NO_CONTENT))
    } else {
        Err(unknown())
    }
}

async fn read(
    state: &SandboxState,
    request: Request<Incoming>,
    read_only: &[&str],
) -> Result<Map<String, Value>, ApiRefusal> {
    let body = reading::read_json(request, MAX_BODY).await?;
    let channel_type = |id: &str| state.channels.get(id)?["type"].as_str().map(str::to_owned);
    check(&body, read_only, channel_type)
}

fn refuse(conflict: AccountConflict) -> ApiRefusal {
    match conflict {
        AccountConflict::Unknown => unknown(),
        AccountConflict::Modified => {
            ApiRefusal::new(StatusCode::CONFLICT, "409-100", "modified does not match")
        }
        // The code isn't documented; only the status is likely.
        AccountConflict::Name => ApiRefusal::new(
            StatusCode::CONFLICT,
            "409-101",
            "an account has this name already",
        )
        .detail("attribute", "name"),
    }
}

fn unknown() -> ApiRefusal {
    ApiRefusal::new(
        StatusCode::NOT_FOUND,
        "404-101",
        "there is no account with this id",
    )
}
