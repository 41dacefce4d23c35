//! The Channel API, which only reads.

use http::{Request, StatusCode};
use hyper::body::Incoming;

use super::admission::admit;
use super::operation::SandboxOperation;
use super::paging::{self, PageRequest};
use super::reply::{ApiRefusal, SandboxReply};
use super::state::SandboxState;

/// `GET /channels`
pub(super) fn list(
    state: &SandboxState,
    request: &Request<Incoming>,
) -> Result<SandboxReply, ApiRefusal> {
    admit(
        state,
        SandboxOperation::ListChannels,
        request,
        paging::PARAMETERS,
    )?;
    Ok(SandboxReply::json(
        StatusCode::OK,
        PageRequest::from_uri(request.uri())?.of("channel", state.channels.all()),
    ))
}

/// `GET /channels/{id}`
pub(super) fn get(
    state: &SandboxState,
    id: &str,
    request: &Request<Incoming>,
) -> Result<SandboxReply, ApiRefusal> {
    admit(state, SandboxOperation::GetChannel, request, &[])?;
    let unknown = || {
        ApiRefusal::new(
            StatusCode::NOT_FOUND,
            "404-101",
            "there is no channel with this id",
        )
    };
    state
        .channels
        .get(id)
        .map(|channel| SandboxReply::json(StatusCode::OK, channel))
        .ok_or_else(unknown)
}
