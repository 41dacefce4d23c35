//! Sending a file of exactly the promised length, and giving up a storage that takes no bytes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderName, Method, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval};
use tracing::Instrument;

use super::client::{StorageClient, request_to};
use super::config::{UploadContentType, UploadMethod};
use super::signature::UrlSignature;
use super::tracked_body::{SendProgress, TrackedBody};
use crate::body::BoxBody;
use crate::net::client::{RequestProgress, SendError};
use crate::telemetry::traces::{self, stage_span};
use crate::telemetry::upstream::UpstreamOutcome;
use crate::types::error::{Error, ErrorCode, Stage, UpstreamResponse};
use crate::types::secret::SignedUrl;

/// Azure refuses a blob without it (Put Blob).
const AZURE_BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");

/// A file on its way: its type, its exact length, and a body that has this length or fails.
pub struct PutPayload<'a, B> {
    /// The MIME type that the asset was declared with.
    pub content_type: &'a str,
    /// Bytes; `body` must have exactly as many.
    pub length: u64,
    /// The bytes.
    pub body: B,
}

impl StorageClient {
    /// Sends a file. Ok means that storage has confirmed the whole of it.
    ///
    /// An error of the body itself comes back as it is. Dropping the future cuts the connection,
    /// and storage never sees a complete file.
    pub async fn send<B>(&self, url: &SignedUrl, payload: PutPayload<'_, B>) -> Result<(), Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let sent = Arc::new(SendProgress::new());
        // Dropped when this function ends, which ends the body too: hyper would go on sending a
        // large file behind an early refusal.
        let (_lifeline, ends) = oneshot::channel();
        let body = TrackedBody::new(payload.body, sent.clone(), ends);
        let content_type = match self.config.content_type {
            UploadContentType::File => payload.content_type,
            UploadContentType::OctetStream => "application/octet-stream",
        };
        let content_type =
            HeaderValue::try_from(content_type).expect("a sniffed type is a valid header value");
        let signature = UrlSignature::of(&url.parsed());
        let method = self.method(&signature);
        let is_azure = signature == UrlSignature::Azure && method == Method::PUT;
        let mut request = request_to(method, url, BoxBody::new(body))?;
        if is_azure {
            request
                .headers_mut()
                .insert(AZURE_BLOB_TYPE, HeaderValue::from_static("BlockBlob"));
        }
        self.note_destination(request.uri());
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        request
            .headers_mut()
            .insert(CONTENT_LENGTH, payload.length.into());
        let began = Instant::now();
        let mut progress = RequestProgress::of(&mut request);
        let span = stage_span!("send to storage", otel.kind = "client");
        let result = self
            .supervise(self.http.send(request), &sent, &progress)
            .instrument(span.clone())
            .await;
        traces::end_call(&span, result.as_ref().ok().map(Response::status));
        self.observe("upload", began, &result);
        if result.is_ok() && sent.sent_all() {
            progress.finished();
        }
        confirm(result?, &sent)
    }

    async fn supervise(
        &self,
        send: impl Future<Output = Result<Response<Incoming>, SendError>>,
        sent: &SendProgress,
        progress: &RequestProgress,
    ) -> Result<Response<Incoming>, Error> {
        let mut send = pin!(send);
        let idle = self.config.idle_timeout;
        let mut tick = interval((idle / 4).max(Duration::from_millis(10)));
        loop {
            tokio::select! {
                biased;
                result = &mut send => return match result {
                    Ok(response) => Ok(response),
                    Err(error) => Err(broken(&error)),
                },
                // hyper, and the system behind it, have taken more than storage has: it is judged
                // by what goes on from there.
                _ = tick.tick() => {
                    let since_last_byte = progress.since_last_byte().unwrap_or(Duration::MAX);
                    if sent.storage_idle().min(since_last_byte) > idle {
                        return Err(stalled());
                    }
                }
            }
        }
    }

    fn method(&self, signature: &UrlSignature) -> Method {
        match self.config.method {
            UploadMethod::Put => Method::PUT,
            UploadMethod::Post => Method::POST,
            UploadMethod::Auto => signature.upload_method(),
        }
    }

    pub(super) fn observe(
        &self,
        operation: &str,
        began: Instant,
        result: &Result<Response<Incoming>, Error>,
    ) {
        let outcome = match result {
            Ok(response) => UpstreamOutcome::Responded(response.status()),
            Err(error) if error.code() == ErrorCode::UpstreamTimeout => UpstreamOutcome::TimedOut,
            Err(_) => UpstreamOutcome::Failed,
        };
        self.metrics.record_upstream(operation, began, outcome);
    }
}

fn confirm(response: Response<Incoming>, sent: &SendProgress) -> Result<(), Error> {
    let status = response.status();
    if !status.is_success() {
        return Err(refused(status));
    }
    if status == StatusCode::ACCEPTED {
        let detail = "storage took the file for later (202) instead of storing it: try again";
        return Err(
            Error::storage(ErrorCode::UploadFailed, Stage::Store, detail)
                .with_upstream(upstream_status(status)),
        );
    }
    if !sent.sent_all() {
        let detail = "storage responded before it had the whole file: try again";
        return Err(
            Error::storage(ErrorCode::UploadFailed, Stage::Store, detail)
                .with_upstream(upstream_status(status)),
        );
    }
    let body = response.into_body();
    if !body.is_end_stream() {
        // Read to its end, or the connection couldn't be used again; nobody has to wait for it.
        tokio::spawn(tokio::time::timeout(Duration::from_secs(1), skim(body)));
    }
    Ok(())
}

fn stalled() -> Error {
    let detail = "storage took no byte, or sent no response, for too long: try again";
    Error::storage(ErrorCode::UpstreamTimeout, Stage::Store, detail)
}

async fn skim(mut body: Incoming) {
    let mut left = 64 * 1024_usize;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(bytes) else {
            return;
        };
        left = rest;
    }
}

/// Storage's own words are not passed on: they tend to quote the signature.
fn refused(status: StatusCode) -> Error {
    let detail = format!(
        "storage refused the file with {}: try again",
        status.as_u16()
    );
    Error::storage(ErrorCode::UploadFailed, Stage::Store, detail)
        .with_upstream(upstream_status(status))
}

pub(super) fn upstream_status(status: StatusCode) -> UpstreamResponse {
    UpstreamResponse {
        status: Some(status.as_u16()),
        ..UpstreamResponse::default()
    }
}

fn broken(error: &SendError) -> Error {
    if let Some(from_body) = Error::find_in(error) {
        return from_body.clone();
    }
    let (code, detail) = if error.is_timeout() {
        (
            ErrorCode::UpstreamTimeout,
            "storage couldn't be reached in time: try again",
        )
    } else if error.is_connect() {
        (
            ErrorCode::UploadFailed,
            "storage can't be reached: try again",
        )
    } else {
        (
            ErrorCode::UploadFailed,
            "storage broke the connection before it confirmed the file: try again",
        )
    };
    Error::storage(code, Stage::Store, detail).because(error)
}
