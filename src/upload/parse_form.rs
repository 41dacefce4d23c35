//! Understands a form: what its fields say, and its file, still to be read or read whole.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use parking_lot::Mutex;

use super::declared_length::{content_length, same_length};
use super::digest::{self, DeclaredDigest};
use super::fields::no_channel;
use super::form::{FieldsAfter, LARGEST_FRAME, OpenForm};
use super::framing::{DerivedLength, Framing};
use super::look_ahead::LookAhead;
use super::parsed::{ParseContext, ParsedHead, ParsedUpload, WholeFile};
use super::pipeline::{self, DigestedBody};
use super::replay::ReplayableFile;
use crate::body::digest::compare;
use crate::body::multipart::Boundary;
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::{Error, Stage};

/// A form, read up to its file.
pub(super) struct FormRequest {
    open: OpenForm,
    boundary: Boundary,
    /// The request's own length.
    total: Option<u64>,
    /// The digest that the request's headers want.
    wanted: DeclaredDigest,
    framing: Framing,
}

impl FormRequest {
    /// Reads the fields before the file.
    pub(super) async fn read<B>(
        request: ParsedHead,
        boundary: Boundary,
        body: B,
        context: &ParseContext<'_>,
    ) -> Result<Self, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let ParsedHead {
            caller,
            headers,
            fields,
            ..
        } = request;
        let total = content_length(&headers);
        if let Some(total) = total {
            // The exception to the rule that an upload has one limit: channel and sender are still
            // unread inside the form, so only the limit of the settings is known. A form that is
            // too large for it is refused before any of it is read.
            let smallest_file = total.saturating_sub(LARGEST_FRAME);
            context.settings_limit.check(smallest_file)?;
        }
        let promised = DeclaredDigest {
            wanted: false,
            expected: digest::promised(&headers)?,
        };
        let body = pipeline::digested(body, promised, false).body;
        let open = OpenForm::read(body, &boundary, fields).await?;
        open.fields.check(&caller, Stage::Read)?;
        let framings = context.framings;
        let framing = framings.framing(&caller.id, &headers, open.field_names);
        Ok(Self {
            open,
            boundary,
            total,
            wanted: DeclaredDigest::wanted_by(&headers),
            framing,
        })
    }

    /// With the file unread, or read whole where what is needed may come after it.
    pub(super) async fn parse(
        self,
        caller: &AuthenticatedCaller,
        context: &ParseContext<'_>,
    ) -> Result<ParsedUpload, Error> {
        if self.open.fields.has_channel(caller) || !context.spools.is_on() {
            self.streamed(caller, context)
        } else {
            self.read_all(caller, context).await
        }
    }

    /// All that the upload needs came before the file.
    fn streamed(
        self,
        caller: &AuthenticatedCaller,
        context: &ParseContext<'_>,
    ) -> Result<ParsedUpload, Error> {
        let Self { open, framing, .. } = self;
        let framings = context.framings;
        let part = open.part.clone();
        let metadata = open.fields.clone().into_metadata(caller, Stage::Read)?;
        let declared = same_length(metadata.size, part.content_length)?;
        let derived = match self.total {
            Some(total) => {
                DerivedLength::of(framings, framing, total, open.file_start, &self.boundary)
            }
            None => None,
        };
        let digest = metadata.digest.and(self.wanted)?;
        let after = FieldsAfter::Repeat(open.fields.clone());
        let file = open.into_file(after, framing, framings.clone());
        let DigestedBody { body, sum } = pipeline::digested(file, digest, context.always_hash);
        Ok(ParsedUpload {
            metadata,
            explicit_name: part.file_name,
            explicit_type: part.content_type,
            declared,
            derived,
            digest,
            sum,
            body,
            spooled: None,
            raw: None,
        })
    }

    /// The channel may come after the file, which waits for it in the spool if it fits the spool's
    /// memory.
    async fn read_all(
        self,
        caller: &AuthenticatedCaller,
        context: &ParseContext<'_>,
    ) -> Result<ParsedUpload, Error> {
        let Self { open, framing, .. } = self;
        let part = open.part.clone();
        let fields = Arc::new(Mutex::new(open.fields.clone()));
        let after = FieldsAfter::Count(fields.clone());
        let file = open.into_file(after, framing, context.framings.clone());
        // A digest may come after the file, too.
        let DigestedBody { mut body, sum } =
            pipeline::digested(file, DeclaredDigest::default(), true);
        let ahead = LookAhead::default();
        let check = |length| check_without_channel(length, context);
        let spooled = context
            .spools
            .collect(&caller.id, ahead, &mut body, check)
            .await?;
        let metadata = fields.lock().clone().into_metadata(caller, Stage::Read)?;
        let declared = same_length(metadata.size, part.content_length)?;
        let digest = metadata.digest.and(self.wanted)?;
        if let Some(sum) = sum.as_ref().and_then(|slot| slot.get()) {
            compare(sum, digest.expected)?;
        }
        let length = spooled.length();
        let file = ReplayableFile::spooled(spooled);
        let body = file
            .body()
            .expect("a spooled file can always be read again");
        Ok(ParsedUpload {
            metadata,
            explicit_name: part.file_name,
            explicit_type: part.content_type,
            declared,
            derived: None,
            digest,
            sum,
            body,
            spooled: Some(WholeFile { file, length }),
            raw: None,
        })
    }
}

/// Bounds a file that waits for its channel. The same exception as for the form's own length: the
/// upload's limit isn't known yet.
fn check_without_channel(length: u64, context: &ParseContext<'_>) -> Result<(), Error> {
    context.settings_limit.check(length)?;
    if length > context.spools.memory() {
        return Err(no_channel(Stage::Read));
    }
    Ok(())
}
