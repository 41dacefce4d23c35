//! Storage gives a file out: whole, one range of it, or the news that it hasn't changed.

use std::ops::RangeInclusive;
use std::sync::Arc;

use headers::{
    AcceptRanges, ContentLength, ContentRange, ETag, HeaderMapExt, IfModifiedSince, IfNoneMatch,
    IfRange, LastModified,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;

use super::asset_store::StoredFile;
use super::faults::Fault;
use super::file::FileBody;
use super::range::{self, RequestedRange};
use super::reply::{ReplyContent, SandboxReply};
use super::state::SandboxState;
use super::storage::{self, StorageRefusal};

/// What is to be sent of a file.
#[derive(Debug, PartialEq, Eq)]
enum Portion {
    Whole,
    Part(RangeInclusive<u64>),
    Nothing,
    Unsatisfiable,
}

/// `GET` of the URL that came with an asset's metadata. A cut in `fault` ends it on the way.
pub(super) async fn send(
    state: &SandboxState,
    id: &str,
    request: &Request<Incoming>,
    fault: Option<&Fault>,
) -> Result<SandboxReply, StorageRefusal> {
    storage::refuse_authorization(request.headers())?;
    state
        .signer
        .verify(request.uri(), request.method(), id, state.clock.now())?;
    let Some(stored) = state.asset_store.stored(id) else {
        return Err(StorageRefusal::new(
            StatusCode::NOT_FOUND,
            "there is no such file",
        ));
    };
    let (etag, modified) = validators(&stored);
    let mut reply = match portion(request.headers(), &stored, &etag, modified) {
        Portion::Nothing => SandboxReply::empty(StatusCode::NOT_MODIFIED),
        Portion::Unsatisfiable => return Ok(unsatisfiable(stored.size)),
        Portion::Whole => body(state, &stored, 0..=stored.size - 1, fault).await?,
        Portion::Part(range) => part(
            body(state, &stored, range.clone(), fault).await?,
            range,
            stored.size,
        ),
    };
    reply.headers.typed_insert(etag);
    reply.headers.typed_insert(modified);
    reply.headers.typed_insert(AcceptRanges::bytes());
    Ok(reply)
}

/// Strong ones: the ETag is of the content, and a file never changes.
fn validators(stored: &StoredFile) -> (ETag, LastModified) {
    let etag = format!("\"{}\"", stored.digest)
        .parse()
        .expect("hexadecimal in quotes is an entity tag");
    (etag, LastModified::from(stored.since))
}

/// In the order of RFC 9110, 13.2.2. A range that can't be read is as good as none, and of
/// several ranges none is served, as 14.2 permits.
fn portion(
    headers: &HeaderMap,
    stored: &StoredFile,
    etag: &ETag,
    modified: LastModified,
) -> Portion {
    if !changed(headers, stored, etag) {
        return Portion::Nothing;
    }
    let outdated = match headers.typed_get::<IfRange>() {
        Some(known) => known.is_modified(Some(etag), Some(&modified)),
        None => false,
    };
    let range = match headers.get(header::RANGE).map(HeaderValue::to_str) {
        Some(Ok(range)) => range,
        _ => "",
    };
    match range::requested(range, stored.size) {
        RequestedRange::For(range) if !outdated => Portion::Part(range),
        RequestedRange::Beyond if !outdated => Portion::Unsatisfiable,
        _ => Portion::Whole,
    }
}

fn changed(headers: &HeaderMap, stored: &StoredFile, etag: &ETag) -> bool {
    if let Some(known) = headers.typed_get::<IfNoneMatch>() {
        return known.precondition_passes(etag);
    }
    match headers.typed_get::<IfModifiedSince>() {
        Some(known) => known.is_modified(stored.since),
        None => true,
    }
}

async fn body(
    state: &SandboxState,
    stored: &StoredFile,
    range: RangeInclusive<u64>,
    fault: Option<&Fault>,
) -> Result<SandboxReply, StorageRefusal> {
    let length = range.end() + 1 - range.start();
    let cut_after = match fault {
        Some(fault) => fault.cut_after.filter(|after| *after < length),
        None => None,
    };
    let file = FileBody::open(&stored.path, range, cut_after, Arc::clone(&state.tally)).await?;
    let mut reply = SandboxReply::new(StatusCode::OK, ReplyContent::File(file))
        .with(header::CONTENT_TYPE, stored.content_type.clone());
    reply.headers.typed_insert(ContentLength(length));
    Ok(reply)
}

fn part(mut reply: SandboxReply, range: RangeInclusive<u64>, size: u64) -> SandboxReply {
    reply.status = StatusCode::PARTIAL_CONTENT;
    let content_range =
        ContentRange::bytes(range, size).expect("the range was checked against the size");
    reply.headers.typed_insert(content_range);
    reply
}

fn unsatisfiable(size: u64) -> SandboxReply {
    let mut reply = SandboxReply::empty(StatusCode::RANGE_NOT_SATISFIABLE);
    reply
        .headers
        .typed_insert(ContentRange::unsatisfied_bytes(size));
    reply
}
