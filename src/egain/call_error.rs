//! A call that failed: what it means for the client, and whether it may be repeated.

use std::time::Duration;

use http::StatusCode;

use super::operation::EgainOperation;
use super::own_field::refused_field;
use super::response::ApiResponse;
use super::transport::TransportError;
use crate::types::error::{Error, ErrorCode, Stage};
use crate::types::peer_time::LEAST_WAIT;

/// The `Retry-After` of a 502, 503 or 504 that has none.
const USUAL_WAIT: Duration = Duration::from_secs(5);
/// The `Retry-After` of an asset that isn't available yet.
const PENDING_WAIT: Duration = Duration::from_secs(5);

/// A call that failed.
pub(super) struct CallError {
    /// What the client gets.
    pub error: Error,
    /// Whether a request was sent, and eGain didn't refuse it as one too many.
    pub attempted: bool,
    /// How long to wait before the call may be repeated; none if it may not be.
    pub retry_in: Option<Duration>,
}

impl CallError {
    /// An error after which the call isn't repeated at once.
    pub(super) fn of(error: Error, attempted: bool) -> Self {
        Self {
            error,
            attempted,
            retry_in: None,
        }
    }

    /// There was no token, or no room in the budget or the monthly quota.
    pub(super) fn unsent(error: Error) -> Self {
        Self::of(error, false)
    }

    /// There was no response. A timeout isn't repeated: the client has waited long enough, and
    /// eGain may have carried the call out after all.
    pub(super) fn transport(error: &TransportError, operation: EgainOperation) -> Self {
        let may_repeat = error.is_unsent() || (!operation.creates() && !error.is_timeout());
        let retry_in = if may_repeat {
            Some(Duration::ZERO)
        } else {
            None
        };
        Self {
            error: error.explain(operation.stage()),
            attempted: true,
            retry_in,
        }
    }

    /// eGain refused the call, or failed. `retry_after` is its `Retry-After`, `pause_left` how long
    /// all calls pause; `token` is hidden where the response quotes it.
    pub(super) fn refused(
        response: &ApiResponse,
        operation: EgainOperation,
        token: &str,
        retry_after: Option<Duration>,
        pause_left: Duration,
    ) -> Self {
        let retry_after = retry_after.unwrap_or_default();
        // The client gets the time until the next call can be made, whatever eGain named.
        let wait = pause_left.max(retry_after);
        let retry_in = match response.status.as_u16() {
            429 => Some(wait),
            500.. if !operation.creates() => Some(retry_after),
            _ => None,
        };
        let retry_after = if wait.is_zero() { None } else { Some(wait) };
        Self {
            error: explain(response, operation, token, retry_after),
            attempted: response.status != StatusCode::TOO_MANY_REQUESTS,
            retry_in,
        }
    }
}

/// What a refusal means for the client.
fn explain(
    response: &ApiResponse,
    operation: EgainOperation,
    token: &str,
    wait: Option<Duration>,
) -> Error {
    let stage = operation.stage();
    let mut upstream = response.said(token);
    if operation == EgainOperation::CreateAsset {
        upstream.field = refused_field(response);
    }
    let error = match (upstream.code.as_deref(), upstream.field) {
        (Some("400-765"), _) => {
            let detail = "eGain found malicious content in this asset: it can't be used";
            Error::caller(ErrorCode::ContentRejected, stage, detail)
        }
        (Some("400-766"), _) => {
            let detail = "the asset isn't available yet, eGain is still checking it: try again";
            Error::egain(ErrorCode::AssetPending, stage, detail).with_retry_after(PENDING_WAIT)
        }
        // `refused_field` is of a 400 only.
        (_, Some(field)) => field_refused(field, stage),
        _ => explain_status(response.status, operation, wait),
    };
    error.with_upstream(upstream)
}

fn field_refused(field: &str, stage: Stage) -> Error {
    let detail = format!(
        "eGain refuses the {field} of this file: send another one; \
         upstream.developerMessage may say why"
    );
    Error::caller(ErrorCode::InvalidField, stage, detail)
}

fn explain_status(status: StatusCode, operation: EgainOperation, wait: Option<Duration>) -> Error {
    let stage = operation.stage();
    match status.as_u16() {
        404 if !operation.creates() => {
            Error::caller(ErrorCode::NotFound, stage, not_found(operation))
        }
        409 => Error::caller(ErrorCode::Conflict, stage, conflict(operation)),
        401 | 403 => {
            let detail =
                "eGain refuses the gateway's token: an operator must check the client's scopes";
            Error::gateway(ErrorCode::UpstreamError, stage, detail)
        }
        429 => {
            let detail = "eGain reports that the tenant has used up its calls: try again later";
            Error::egain(ErrorCode::UpstreamBudget, stage, detail)
                .with_retry_after(wait.unwrap_or(LEAST_WAIT))
        }
        502..=504 => {
            let detail = "eGain is down for now: try again later";
            Error::egain(ErrorCode::UpstreamUnavailable, stage, detail)
                .with_retry_after(wait.unwrap_or(USUAL_WAIT))
        }
        500.. => {
            let detail = "eGain failed: try again; if it lasts, contact eGain's support, giving \
                          the request id";
            let error = Error::egain(ErrorCode::UpstreamError, stage, detail).with_retryable(true);
            match wait {
                Some(wait) => error.with_retry_after(wait),
                None => error,
            }
        }
        _ => {
            let detail = "eGain refused the call: see upstream.code and upstream.developerMessage";
            Error::egain(ErrorCode::UpstreamError, stage, detail)
        }
    }
}

fn not_found(operation: EgainOperation) -> &'static str {
    match operation {
        EgainOperation::CreateAsset | EgainOperation::GetAsset | EgainOperation::DeleteAsset => {
            "eGain has no asset with this id: check the id; assets don't live for ever"
        }
        EgainOperation::ListChannels | EgainOperation::GetChannel => {
            "eGain has no channel with this id: GET /v1/channels lists all channels"
        }
        _ => "eGain has no account with this id: GET /v1/accounts lists all accounts",
    }
}

fn conflict(operation: EgainOperation) -> &'static str {
    match operation {
        EgainOperation::ReplaceAccount => {
            "eGain refuses the change, for example because the account was changed meanwhile \
             (modified doesn't match): read it again, and repeat the change on its current state; \
             see upstream.developerMessage"
        }
        EgainOperation::CreateAccount => {
            "eGain refuses the account, for example because its name is taken: see \
             upstream.developerMessage"
        }
        EgainOperation::DeleteAccount => {
            "eGain refuses this in the account's present state: see upstream.developerMessage"
        }
        _ => {
            "eGain refuses this in the asset's present state, for example because a message uses it"
        }
    }
}
