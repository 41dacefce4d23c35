//! A request, understood: what the caller says of the file, and the file's bytes still to be read.
//!
//! What can be refused from the head is refused before the body is polled: hyper sends
//! `100 Continue` at the first poll.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::HeaderMap;
use http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::digest::{self, DeclaredDigest};
use super::fields::{UploadFields, UploadMetadata};
use super::framing::{DerivedLength, KnownFramings};
use super::length::LengthLimits;
use super::look_ahead::LookAhead;
use super::parse_form::FormOffer;
use super::replay::ReplayableFile;
use super::rules::UploadRules;
use super::spool::SharedSpool;
use crate::body::BoxBody;
use crate::body::digest::{DigestSlot, DigestingBody, Sha256Sum};
use crate::body::multipart::{Boundary, file_name, form_inside, is_form};
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::{Error, ErrorCode, Stage};

/// A file that is offered.
pub struct ParsedUpload {
    /// What the caller says of it.
    pub metadata: UploadMetadata,
    /// Its name as the caller's program gave it.
    pub given_name: Option<String>,
    /// Its type as the caller's program gave it.
    pub given_type: Option<String>,
    /// Its length as declared.
    pub declared: Option<u64>,
    /// Its length as derived, for a framing that is known.
    pub derived: Option<DerivedLength>,
    /// Its SHA-256 as asked for, and as promised.
    pub digest: DeclaredDigest,
    /// Where its SHA-256 will be, if it is needed.
    pub sum: Option<DigestSlot>,
    /// Its bytes. The end comes only when the whole request is in order.
    pub body: BoxBody,
    /// The whole file, where it had to be read for what came after it; then `body` gives the same
    /// bytes.
    pub whole: Option<WholeFile>,
    /// The request, where the file is the whole of its body.
    pub(super) raw: Option<RawBody>,
}

/// What is needed to read a raw body as a form after all.
pub(super) struct RawBody {
    caller: Arc<AuthenticatedCaller>,
    headers: HeaderMap,
    content_type: Option<String>,
    fields: UploadFields,
}

impl ParsedUpload {
    /// Whether the answer shall tell its SHA-256.
    pub fn wants_sum(&self) -> bool {
        self.digest.wanted || self.digest.expected.is_some()
    }
}

/// A file in the spool.
pub struct WholeFile {
    /// Its bytes.
    pub file: ReplayableFile,
    /// How many.
    pub length: u64,
}

/// What a request is understood with.
pub struct ParseContext<'a> {
    /// How forms end.
    pub framings: &'a KnownFramings,
    /// Where a file waits for what comes after it.
    pub spools: &'a SharedSpool,
    /// Sizes.
    pub limits: &'a LengthLimits,
    /// Whether the file's SHA-256 is needed, whatever the caller asks for.
    pub hash: bool,
}

/// A request's head, with its body unread.
pub struct UploadRequest<B> {
    /// Who calls: bounds what may be named, and is part of what is remembered of programs.
    pub caller: Arc<AuthenticatedCaller>,
    /// The head.
    pub head: Parts,
    /// The body.
    pub body: B,
    /// Keeps the service from stopping for as long as the upload goes on, also when its caller has
    /// left.
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
    pub async fn of<B>(request: UploadRequest<B>, reading: &ParseContext<'_>) -> Result<Self, Error>
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
        match content_type.as_deref().filter(|value| is_form(value)) {
            Some(value) => {
                let boundary = Boundary::from_content_type(value)?;
                let form = FormOffer::read(&caller, &head.headers, fields, boundary, body, reading)
                    .await?;
                form.offer(&caller, reading).await
            }
            None => Self::of_raw(
                RawBody {
                    caller,
                    headers: head.headers,
                    content_type,
                    fields,
                },
                body,
                reading,
            ),
        }
    }

    /// The boundary of the form that a raw body begins, by its first bytes.
    pub fn form_inside(&self, head: &[u8]) -> Result<Option<Boundary>, Error> {
        self.raw.as_ref().map_or(Ok(None), |raw| {
            form_inside(head, raw.content_type.as_deref())
        })
    }

    /// Reads a raw body, of which `ahead` was read, as the form that it is: nobody could use an
    /// envelope.
    pub async fn opened(
        self,
        boundary: Boundary,
        mut ahead: LookAhead,
        reading: &ParseContext<'_>,
    ) -> Result<Self, Error> {
        let Some(RawBody {
            caller,
            headers,
            fields,
            ..
        }) = self.raw
        else {
            return Ok(self);
        };
        let seen = stream::iter(
            ahead
                .chunks
                .take()
                .into_iter()
                .map(|data| Ok(Frame::data(data))),
        );
        let body = StreamBody::new(seen.chain(BodyStream::new(self.body)));
        FormOffer::read(&caller, &headers, fields, boundary, body, reading)
            .await?
            .offer(&caller, reading)
            .await
    }

    fn of_raw<B>(raw: RawBody, body: B, reading: &ParseContext<'_>) -> Result<Self, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let (caller, headers, fields) = (&*raw.caller, &raw.headers, raw.fields.clone());
        let metadata = fields.understand(caller, Stage::Admit)?;
        let declared = agree(metadata.size, content_length(headers))?;
        if declared == Some(0) {
            return Err(Error::caller(
                ErrorCode::EmptyFile,
                Stage::Admit,
                "the body is empty: send the file's bytes as the body",
            ));
        }
        declared.map_or(Ok(()), |size| reading.limits.check(size))?;
        let expected = digest::promised(headers)?;
        let digest = wishes(metadata.digest, headers)?.and(DeclaredDigest {
            wanted: expected.is_some(),
            expected,
        })?;
        let given_name = headers
            .get(CONTENT_DISPOSITION)
            .and_then(|value| file_name(value.as_bytes()));
        let given_type = raw.content_type.clone();
        let (sum, body) = digesting(body, digest, reading.hash);
        let (derived, whole, raw) = (None, None, Some(raw));
        Ok(Self {
            metadata,
            given_name,
            given_type,
            declared,
            derived,
            digest,
            sum,
            body,
            whole,
            raw,
        })
    }
}

pub(super) fn digesting<B>(
    body: B,
    digest: DeclaredDigest,
    always: bool,
) -> (Option<DigestSlot>, BoxBody)
where
    B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
{
    if !always && !digest.wanted && digest.expected.is_none() {
        return (None, body.boxed());
    }
    let slot = DigestSlot::default();
    (
        Some(slot.clone()),
        DigestingBody::new(body, digest.expected, slot).boxed(),
    )
}

pub(super) fn wishes(field: DeclaredDigest, headers: &HeaderMap) -> Result<DeclaredDigest, Error> {
    field.and(DeclaredDigest {
        wanted: digest::wanted(headers),
        expected: None::<Sha256Sum>,
    })
}

/// Two declarations of one length must be the same.
pub(super) fn agree(one: Option<u64>, two: Option<u64>) -> Result<Option<u64>, Error> {
    match (one, two) {
        (Some(one), Some(two)) if one != two => {
            let detail = format!(
                "size says {one} bytes, Content-Length says {two}: declare the exact length of the file, once"
            );
            Err(Error::caller(
                ErrorCode::LengthMismatch,
                Stage::Admit,
                detail,
            ))
        }
        (one, two) => Ok(one.or(two)),
    }
}

fn refuse_encoding(headers: &HeaderMap) -> Result<(), Error> {
    let plain = |coding: &[u8]| {
        coding.trim_ascii().is_empty() || coding.trim_ascii().eq_ignore_ascii_case(b"identity")
    };
    if headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| plain(coding.as_bytes()))
    {
        return Ok(());
    }
    let detail = "Content-Encoding isn't supported, as the encoded bytes would be stored: send the file as it is";
    Err(Error::caller(
        ErrorCode::EncodingNotAllowed,
        Stage::Admit,
        detail,
    ))
}

/// The one type that the request declares. What stands in front of the gateway may have gone by the
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

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_LENGTH.as_str())?.parse().ok()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
