//! Faults and counts over HTTP, for tests in any language.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::faults::Fault;
use super::oddities::ResponseOddity;
use super::reading;
use super::reply::SandboxReply;
use super::state::SandboxState;

/// Room for thousands of faults, or for one with a long page as its body.
const MAX_FAULTS: usize = 1024 * 1024;

/// `POST /_sandbox/faults`: a fault or a list of them.
pub(super) async fn add_faults(state: &SandboxState, request: Request<Incoming>) -> SandboxReply {
    let Ok(body) = reading::read(request, MAX_FAULTS).await else {
        return SandboxReply::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large or broke off",
        );
    };
    match parse(&body) {
        Ok(faults) => {
            faults.into_iter().for_each(|fault| state.faults.add(fault));
            SandboxReply::empty(StatusCode::NO_CONTENT)
        }
        Err(error) => {
            SandboxReply::json(StatusCode::BAD_REQUEST, json!({"error": error.to_string()}))
        }
    }
}

/// `DELETE /_sandbox/faults`: forgets those that are still to come.
pub(super) fn clear_faults(state: &SandboxState) -> SandboxReply {
    state.faults.clear();
    SandboxReply::empty(StatusCode::NO_CONTENT)
}

/// `POST /_sandbox/oddities`: a list of names; these and no others are switched on.
pub(super) async fn set_oddities(state: &SandboxState, request: Request<Incoming>) -> SandboxReply {
    let Ok(body) = reading::read(request, MAX_FAULTS).await else {
        return SandboxReply::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large or broke off",
        );
    };
    match serde_json::from_slice::<Vec<ResponseOddity>>(&body) {
        Ok(oddities) => {
            state.oddities.set(oddities);
            SandboxReply::empty(StatusCode::NO_CONTENT)
        }
        Err(error) => {
            SandboxReply::json(StatusCode::BAD_REQUEST, json!({"error": error.to_string()}))
        }
    }
}

/// In two steps, as a choice between one and several would hide which name was misspelt.
pub(super) fn parse(body: &[u8]) -> serde_json::Result<Vec<Fault>> {
    let values = match serde_json::from_slice(body)? {
        Value::Array(values) => values,
        value => vec![value],
    };
    values.into_iter().map(serde_json::from_value).collect()
}

/// `POST /_sandbox/channels`: a channel, in place of the one with its id.
pub(super) async fn put_channel(state: &SandboxState, request: Request<Incoming>) -> SandboxReply {
    let body = reading::read(request, MAX_FAULTS).await.ok();
    match body
        .and_then(|body| serde_json::from_slice::<Value>(&body).ok())
        .filter(|channel| channel["id"].is_string())
    {
        Some(channel) => {
            state.channels.put(channel);
            SandboxReply::empty(StatusCode::NO_CONTENT)
        }
        None => SandboxReply::json(
            StatusCode::BAD_REQUEST,
            json!({"error": "send a channel as JSON, with its id"}),
        ),
    }
}

/// `GET /_sandbox/stats`
pub(super) fn stats(state: &SandboxState) -> SandboxReply {
    match serde_json::to_value(state.stats()) {
        Ok(stats) => SandboxReply::json(StatusCode::OK, stats),
        Err(error) => SandboxReply::plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// `POST /_sandbox/reset`
pub(super) fn reset(state: &SandboxState) -> SandboxReply {
    state.reset();
    SandboxReply::empty(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_and_a_list_of_faults_are_read() {
        assert_eq!(
            parse(br#"{"at": "token", "close": true}"#).unwrap().len(),
            1
        );
        assert_eq!(
            parse(br#"[{"at": "token"}, {"at": "upload", "times": 1}]"#)
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn an_error_names_what_is_wrong() {
        assert!(
            parse(br#"{"at": "token", "clsoe": true}"#)
                .unwrap_err()
                .to_string()
                .contains("clsoe")
        );
    }
}
