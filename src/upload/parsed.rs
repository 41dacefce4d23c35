//! What a request's head and fields say of a file, with its bytes still to be read.

use std::sync::Arc;

use http::HeaderMap;

use super::digest::DeclaredDigest;
use super::fields::{UploadFields, UploadMetadata};
use super::framing::{DerivedLength, KnownFramings};
use super::replay::ReplayableFile;
use super::size_limit::SizeLimit;
use super::spool::SharedSpool;
use crate::body::BoxBody;
use crate::body::digest::DigestSlot;
use crate::types::caller::AuthenticatedCaller;

/// An upload whose request was understood.
pub(super) struct ParsedUpload {
    /// What the caller says of the file.
    pub metadata: UploadMetadata,
    /// Its name as the caller's program gave it.
    pub explicit_name: Option<String>,
    /// Its type as the caller's program gave it.
    pub explicit_type: Option<String>,
    /// Its length as declared.
    pub declared: Option<u64>,
    /// Its length as derived, for a framing that is known.
    pub derived: Option<DerivedLength>,
    /// Its SHA-256 as wanted, and as promised.
    pub digest: DeclaredDigest,
    /// Where its SHA-256 will be, if it is needed.
    pub sum: Option<DigestSlot>,
    /// Its bytes. The end comes only when the whole request is in order.
    pub body: BoxBody,
    /// The whole file, where it had to be read for what came after it; then `body` gives the same
    /// bytes.
    pub spooled: Option<WholeFile>,
    /// The request, where the file is the whole of its body.
    pub raw: Option<ParsedHead>,
}

/// A request's head, as far as it was parsed: enough to read a raw body as a form after all.
pub(super) struct ParsedHead {
    /// The caller.
    pub caller: Arc<AuthenticatedCaller>,
    /// The request's headers.
    pub headers: HeaderMap,
    /// Its `Content-Type`.
    pub content_type: Option<String>,
    /// The query's fields.
    pub fields: UploadFields,
}

/// A file in the spool.
pub(super) struct WholeFile {
    /// Its bytes.
    pub file: ReplayableFile,
    /// Its length in bytes.
    pub length: u64,
}

/// What parsing needs beside the request.
pub(super) struct ParseContext<'a> {
    /// How forms end.
    pub framings: &'a KnownFramings,
    /// Where a file waits for what comes after it.
    pub spools: &'a SharedSpool,
    /// The only limit that is known before the channel is.
    pub settings_limit: SizeLimit,
    /// Bytes that are read before any call to eGain.
    pub look_ahead: u64,
    /// Whether the file's SHA-256 is needed, even if the caller doesn't want it.
    pub always_hash: bool,
}

impl ParsedUpload {
    /// Whether the response has to name the file's SHA-256.
    pub(super) fn wants_sum(&self) -> bool {
        self.digest.wanted || self.digest.expected.is_some()
    }

    /// The file's name: the one that the caller requests, or else the one that its program sent.
    pub(super) fn name(&self) -> Option<&str> {
        let wanted = self.metadata.name.as_deref();
        wanted.or(self.explicit_name.as_deref())
    }
}
