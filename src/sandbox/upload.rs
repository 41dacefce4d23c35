//! Storage takes a file: its exact bytes, once, straight to disk.

use headers::{ContentLength, HeaderMapExt};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::asset_store::StoreRefusal;
use super::asset_view::AssetView;
use super::faults::Fault;
use super::file_writer::FileWriter;
use super::reply::SandboxReply;
use super::state::SandboxState;
use super::storage::{self, StorageRefusal};
use super::types;

/// `POST` to the URL that came with an asset. A cut in `fault` ends it on the way.
pub(super) async fn receive(
    state: &SandboxState,
    id: &str,
    request: Request<Incoming>,
    fault: Option<&Fault>,
) -> Result<SandboxReply, StorageRefusal> {
    storage::refuse_authorization(request.headers())?;
    let claims = state
        .signer
        .verify(request.uri(), &Method::POST, id, state.clock.now())?;
    let Some(asset) = state.asset_store.view(id) else {
        return Err(gone());
    };
    check_length(request.headers(), &asset)?;
    if state.config.check_type {
        check_type(request.headers(), &asset)?;
    }
    let content_type = declared_type(request.headers());
    let mut writer = match FileWriter::open(&state.asset_store, id, claims.jti).await? {
        Ok(writer) => writer,
        Err(refusal) => return Err(closed(refusal)),
    };
    let cut_after = fault.and_then(|fault| fault.cut_after);
    if !take(state, request, &mut writer, cut_after).await? {
        return Ok(match fault.and_then(Fault::reply) {
            Some(reply) => reply,
            None => SandboxReply::cut(),
        });
    }
    if writer.received() != asset.size {
        return Err(wrong_length(writer.received(), &asset));
    }
    if writer.finish(content_type).await? {
        Ok(SandboxReply::empty(state.config.upload_status))
    } else {
        Err(gone())
    }
}

/// Stores what comes; false when `cut_after` bytes came and the rest is left unread.
async fn take(
    state: &SandboxState,
    request: Request<Incoming>,
    writer: &mut FileWriter,
    cut_after: Option<u64>,
) -> Result<bool, StorageRefusal> {
    let mut body = request.into_body();
    while cut_after.is_none_or(|limit| writer.received() < limit) {
        let Some(frame) = body.frame().await else {
            return Ok(true);
        };
        let frame = frame
            .map_err(|error| StorageRefusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            state.tally.received(data.len() as u64);
            writer.write(&data).await?;
        }
    }
    Ok(false)
}

/// Signed URLs know no chunked bodies: the length has to be known, and to be the declared one.
fn check_length(headers: &HeaderMap, asset: &AssetView) -> Result<(), StorageRefusal> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(StorageRefusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "Transfer-Encoding isn't supported here",
        ));
    }
    match headers.typed_get::<ContentLength>() {
        None => Err(StorageRefusal::new(
            StatusCode::LENGTH_REQUIRED,
            "Content-Length is missing",
        )),
        Some(ContentLength(length)) if length != asset.size => Err(wrong_length(length, asset)),
        Some(_) => Ok(()),
    }
}

fn declared_type(headers: &HeaderMap) -> HeaderValue {
    let unknown = HeaderValue::from_static("application/octet-stream");
    headers
        .get(header::CONTENT_TYPE)
        .cloned()
        .unwrap_or(unknown)
}

fn check_type(headers: &HeaderMap, asset: &AssetView) -> Result<(), StorageRefusal> {
    let declared = match headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) {
        Some(Ok(declared)) => declared,
        _ => "",
    };
    if types::fits(declared, &asset.name) {
        return Ok(());
    }
    let wanted = asset.content_type;
    Err(StorageRefusal::new(
        StatusCode::FORBIDDEN,
        format!("the type is {declared:?} and was declared to be {wanted:?}"),
    ))
}

fn wrong_length(length: u64, asset: &AssetView) -> StorageRefusal {
    StorageRefusal::new(
        StatusCode::BAD_REQUEST,
        format!("{length} bytes instead of {}", asset.size),
    )
}

fn closed(closed: StoreRefusal) -> StorageRefusal {
    match closed {
        StoreRefusal::Unknown => gone(),
        StoreRefusal::Used => {
            StorageRefusal::new(StatusCode::FORBIDDEN, "the signature has been used")
        }
    }
}

fn gone() -> StorageRefusal {
    StorageRefusal::new(StatusCode::NOT_FOUND, "there is no such file")
}
