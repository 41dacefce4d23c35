//! Understands a request. What can be refused from the head is refused before the body is polled:
//! hyper sends `100 Continue` at the first poll.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::HeaderMap;
use http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http_body::{Body, Frame};
use http_body_util::{BodyStream, StreamBody};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::declared_length::{content_length, same_length};
use super::digest::{self, DeclaredDigest};
use super::fields::UploadFields;
use super::look_ahead::LookAhead;
use super::parse_form::FormRequest;
use super::parsed::{ParseContext, ParsedHead, ParsedUpload};
use super::pipeline::{self, DigestedBody};
use super::rules::UploadRules;
use crate::body::multipart::{Boundary, file_name, form_inside, is_form};
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::{Error, ErrorCode, Stage};

/// A request's head, with its body unread.
pub struct UploadRequest<B> {
    /// The caller: bounds what the request may name, and is part of a form's framing.
    pub caller: Arc<AuthenticatedCaller>,
    /// The head.
    pub head: Parts,
    /// The body.
    pub body: B,
    /// Keeps the service from stopping until the upload has ended, also when its client has
    /// disconnected.
    pub stay: TaskTrackerToken,
}

impl<B> UploadRequest<B> {
    /// The same request of a caller that is bound by these rules.
    pub fn bound_by(self, rules: &UploadRules) -> Self {
        Self {
            caller: rules.bind(&self.caller),
            ..self
        }
    }

    /// The same request with another body.
    pub fn map<T>(self, body: impl FnOnce(B) -> T) -> UploadRequest<T> {
        UploadRequest {
            caller: self.caller,
            head: self.head,
            body: body(self.body),
            stay: self.stay,
        }
    }
}

impl ParsedUpload {
    /// Understands a request, reading a form up to its file, or to its end where the channel may
    /// come after the file.
    pub(super) async fn parse<B>(
        request: UploadRequest<B>,
        context: &ParseContext<'_>,
    ) -> Result<Self, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let UploadRequest {
            caller, head, body, ..
        } = request;
        refuse_encoding(&head.headers)?;
        let fields = UploadFields::of_query(&head)?;
        fields.check(&caller, Stage::Admit)?;
        let content_type = content_type(&head.headers)?;
        let raw = ParsedHead {
            caller,
            headers: head.headers,
            content_type,
            fields,
        };
        match &raw.content_type {
            Some(value) if is_form(value) => {
                let boundary = Boundary::from_content_type(value)?;
                Self::parse_form(raw, boundary, body, context).await
            }
            _ => Self::parse_raw(raw, body, context),
        }
    }

    /// The boundary of the form that a raw body begins, by its first bytes.
    pub(super) fn form_inside(&self, head: &[u8]) -> Result<Option<Boundary>, Error> {
        match &self.raw {
            Some(raw) => form_inside(head, raw.content_type.as_deref()),
            None => Ok(None),
        }
    }

    /// Reads a raw body, of which `ahead` was read, as the form that it is: a file with the form
    /// still around it would be of no use.
    pub(super) async fn reparse_as_form(
        self,
        boundary: Boundary,
        mut ahead: LookAhead,
        context: &ParseContext<'_>,
    ) -> Result<Self, Error> {
        let Some(raw) = self.raw else {
            return Ok(self);
        };
        let chunks = ahead.chunks.take();
        let seen = stream::iter(chunks.into_iter().map(|data| Ok(Frame::data(data))));
        let body = StreamBody::new(seen.chain(BodyStream::new(self.body)));
        Self::parse_form(raw, boundary, body, context).await
    }

    async fn parse_form<B>(
        request: ParsedHead,
        boundary: Boundary,
        body: B,
        context: &ParseContext<'_>,
    ) -> Result<Self, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let caller = request.caller.clone();
        let form = FormRequest::read(request, boundary, body, context).await?;
        form.parse(&caller, context).await
    }

    fn parse_raw<B>(raw: ParsedHead, body: B, context: &ParseContext<'_>) -> Result<Self, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let headers = &raw.headers;
        let metadata = raw
            .fields
            .clone()
            .into_metadata(&raw.caller, Stage::Admit)?;
        let declared = same_length(metadata.size, content_length(headers))?;
        if declared == Some(0) {
            let detail = "the body is empty: send the file's bytes as the body";
            return Err(Error::caller(ErrorCode::EmptyFile, Stage::Admit, detail));
        }
        let expected = digest::promised(headers)?;
        let promised = DeclaredDigest {
            wanted: expected.is_some(),
            expected,
        };
        let wanted = DeclaredDigest::wanted_by(headers);
        let digest = metadata.digest.and(wanted)?.and(promised)?;
        let explicit_name = match headers.get(CONTENT_DISPOSITION) {
            Some(value) => file_name(value.as_bytes()),
            None => None,
        };
        let DigestedBody { body, sum } = pipeline::digested(body, digest, context.always_hash);
        Ok(Self {
            metadata,
            explicit_name,
            explicit_type: raw.content_type.clone(),
            declared,
            derived: None,
            digest,
            sum,
            body,
            spooled: None,
            raw: Some(raw),
        })
    }
}

fn refuse_encoding(headers: &HeaderMap) -> Result<(), Error> {
    for coding in headers.get_all(CONTENT_ENCODING) {
        let coding = coding.as_bytes().trim_ascii();
        if !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity") {
            let detail = "Content-Encoding isn't supported, as the encoded bytes would be stored: \
                          send the file as it is";
            let code = ErrorCode::EncodingNotAllowed;
            return Err(Error::caller(code, Stage::Admit, detail));
        }
    }
    Ok(())
}

/// The one type that the request declares. A proxy in front of the gateway may have decided by the
/// other of two.
fn content_type(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != first) {
        let detail = "the request has two Content-Types: send one";
        return Err(Error::caller(ErrorCode::BadRequest, Stage::Admit, detail));
    }
    Ok(Some(String::from_utf8_lossy(first.as_bytes()).into_owned()))
}
