//! What both directions of storage have in common: who may come in, and how refusals read.
//!
//! It refuses at once, from the head of a request, and doesn't wait for its body.

use http::{HeaderMap, StatusCode, header};

use super::reply::SandboxReply;
use super::signature::InvalidSignature;

/// A refusal as storage puts it: a status and a line of text, nothing of eGain's JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StorageRefusal(pub(super) StatusCode, pub(super) String);

impl StorageRefusal {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self(status, why.into())
    }

    pub(super) fn into_reply(self) -> SandboxReply {
        SandboxReply::plain(self.0, self.1)
    }
}

impl From<InvalidSignature> for StorageRefusal {
    fn from(invalid: InvalidSignature) -> Self {
        Self::new(StatusCode::FORBIDDEN, invalid.to_string())
    }
}

impl From<std::io::Error> for StorageRefusal {
    fn from(error: std::io::Error) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the stand-in's disk: {error}"),
        )
    }
}

/// The signature is the only credential, as with the storage of the large clouds.
pub(super) fn refuse_authorization(headers: &HeaderMap) -> Result<(), StorageRefusal> {
    match headers.get(header::AUTHORIZATION) {
        None => Ok(()),
        Some(_) => Err(StorageRefusal::new(
            StatusCode::BAD_REQUEST,
            "only one credential is allowed: the signature",
        )),
    }
}
