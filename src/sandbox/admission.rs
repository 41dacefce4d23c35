//! Who may call the API, with which scope, and whether the plan allows another call.

use headers::HeaderMapExt;
use headers::authorization::{Authorization, Bearer};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;

use super::clock;
use super::config::{INTERACTION_MANAGE, INTERACTION_READ, MANAGE, READ};
use super::limits::RateExceeded;
use super::operation::SandboxOperation;
use super::reply::ApiRefusal;
use super::state::SandboxState;
use super::token::TokenRefusal;

/// Only calls that may be made are counted against the plan. `parameters` are those that the query
/// may have.
pub(super) fn admit(
    state: &SandboxState,
    operation: SandboxOperation,
    request: &Request<Incoming>,
    parameters: &[&str],
) -> Result<(), ApiRefusal> {
    let bearer = request.headers().typed_get::<Authorization<Bearer>>();
    let token = match &bearer {
        Some(bearer) => bearer.token(),
        None => "",
    };
    if let Err(refusal) = state.tokens.check(token, scopes(operation)) {
        return Err(insufficient(refusal));
    }
    if let Err(exceeded) = state.limits.spend(operation) {
        return Err(too_many(state, exceeded));
    }
    let query = request.uri().query().unwrap_or_default();
    for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
        if !parameters.contains(&&*name) {
            return Err(ApiRefusal::new(
                StatusCode::BAD_REQUEST,
                "400-101",
                "a query parameter isn't supported",
            ));
        }
    }
    Ok(())
}

fn scopes(operation: SandboxOperation) -> &'static [&'static str] {
    match operation {
        SandboxOperation::GetAsset => &[INTERACTION_MANAGE, INTERACTION_READ],
        SandboxOperation::ListAccounts
        | SandboxOperation::GetAccount
        | SandboxOperation::ListChannels
        | SandboxOperation::GetChannel => &[MANAGE, READ],
        SandboxOperation::CreateAccount
        | SandboxOperation::ReplaceAccount
        | SandboxOperation::DeleteAccount => &[MANAGE],
        _ => &[INTERACTION_MANAGE],
    }
}

fn insufficient(why: TokenRefusal) -> ApiRefusal {
    match why {
        TokenRefusal::Unknown => ApiRefusal::new(
            StatusCode::UNAUTHORIZED,
            "401-104",
            "the access token isn't valid",
        )
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        TokenRefusal::Scope => ApiRefusal::new(
            StatusCode::FORBIDDEN,
            "403-197",
            "the token lacks the scope",
        ),
    }
}

/// As a sister API was seen to say it: no `Retry-After`, but the time of the next free call.
fn too_many(state: &SandboxState, exceeded: RateExceeded) -> ApiRefusal {
    let reset = clock::rfc3339(state.clock.after(exceeded.wait));
    let reset = HeaderValue::try_from(reset).expect("a time is a plain word");
    ApiRefusal::new(
        StatusCode::TOO_MANY_REQUESTS,
        "429-001",
        "too many requests",
    )
    .with(
        header::HeaderName::from_static("x-ratelimit-limit"),
        exceeded.limit,
    )
    .with(
        header::HeaderName::from_static("x-ratelimit-remaining"),
        0u32,
    )
    .with(header::HeaderName::from_static("x-ratelimit-reset"), reset)
}
