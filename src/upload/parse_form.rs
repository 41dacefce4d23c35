//! A form, understood: what its fields say, and its file, still to be read or read whole.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use parking_lot::Mutex;

use super::digest::{self, DeclaredDigest};
use super::fields::{UploadFields, no_channel};
use super::form::{FieldsAfter, LARGEST_FRAME, OpenForm};
use super::framing::{DerivedLength, Framing};
use super::look_ahead::LookAhead;
use super::parse::{
    ParseContext, ParsedUpload, WholeFile, agree, content_length, digesting, wishes,
};
use super::replay::ReplayableFile;
use crate::body::digest::compare;
use crate::body::multipart::Boundary;
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::{Error, Stage};

/// A form, read up to its file.
pub struct FormOffer {
    open: OpenForm,
    boundary: Boundary,
    /// The request's own length.
    total: Option<u64>,
    /// What headers ask for.
    wished: DeclaredDigest,
    framing: Framing,
}

impl FormOffer {
    /// Reads the fields before the file.
    pub async fn read<B>(
        caller: &AuthenticatedCaller,
        headers: &HeaderMap,
        fields: UploadFields,
        boundary: Boundary,
        body: B,
        reading: &ParseContext<'_>,
    ) -> Result<Self, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Sync + Unpin + 'static,
    {
        let total = content_length(headers);
        if let Some(total) = total {
            reading.limits.check(total.saturating_sub(LARGEST_FRAME))?;
        }
        let whole = digest::promised(headers)?;
        let wished = wishes(DeclaredDigest::default(), headers)?;
        let (_, body) = digesting(
            body,
            DeclaredDigest {
                wanted: false,
                expected: whole,
            },
            false,
        );
        let open = OpenForm::read(body, &boundary, fields).await?;
        open.fields.check(caller, Stage::Read)?;
        let framing = reading
            .framings
            .framing(&caller.id, headers, open.field_names);
        Ok(Self {
            open,
            boundary,
            total,
            wished,
            framing,
        })
    }

    /// With the file unread, or read whole where what is needed may come after it.
    pub async fn offer(
        self,
        caller: &AuthenticatedCaller,
        reading: &ParseContext<'_>,
    ) -> Result<ParsedUpload, Error> {
        if self.open.fields.has_channel(caller) || !reading.spools.is_on() {
            self.streamed(caller, reading)
        } else {
            self.read_whole(caller, reading).await
        }
    }

    /// All that the upload needs came before the file.
    fn streamed(
        self,
        caller: &AuthenticatedCaller,
        reading: &ParseContext<'_>,
    ) -> Result<ParsedUpload, Error> {
        let Self {
            open,
            boundary,
            total,
            wished,
            framing,
        } = self;
        let (framings, part) = (reading.framings, open.part.clone());
        let metadata = open.fields.clone().understand(caller, Stage::Read)?;
        let declared = agree(metadata.size, part.content_length)?;
        declared.map_or(Ok(()), |size| reading.limits.check(size))?;
        let derived = total.and_then(|total| {
            DerivedLength::of(framings, framing, total, open.file_start, &boundary)
        });
        let digest = metadata.digest.and(wished)?;
        let after = FieldsAfter::Repeat(open.fields.clone());
        let (sum, body) = digesting(
            open.into_file(after, framing, framings.clone()),
            digest,
            reading.hash,
        );
        let (given_name, given_type) = (part.file_name, part.content_type);
        Ok(ParsedUpload {
            metadata,
            given_name,
            given_type,
            declared,
            derived,
            digest,
            sum,
            body,
            whole: None,
            raw: None,
        })
    }

    /// The channel may come after the file, which waits for it as long as it fits the spool's
    /// memory.
    async fn read_whole(
        self,
        caller: &AuthenticatedCaller,
        reading: &ParseContext<'_>,
    ) -> Result<ParsedUpload, Error> {
        let Self {
            open,
            wished,
            framing,
            ..
        } = self;
        let part = open.part.clone();
        let fields = Arc::new(Mutex::new(open.fields.clone()));
        let body = open.into_file(
            FieldsAfter::Count(fields.clone()),
            framing,
            reading.framings.clone(),
        );
        // A digest may come after the file, too.
        let (sum, mut body) = digesting(body, DeclaredDigest::default(), true);
        let fits = |length| {
            if length > reading.spools.memory() {
                Err(no_channel(Stage::Read))
            } else {
                Ok(())
            }
        };
        let check = |length| reading.limits.check(length).and_then(|()| fits(length));
        let spooled = reading
            .spools
            .collect(&caller.id, LookAhead::default(), &mut body, check)
            .await?;
        let metadata = fields.lock().clone().understand(caller, Stage::Read)?;
        let declared = agree(metadata.size, part.content_length)?;
        let digest = metadata.digest.and(wished)?;
        sum.iter()
            .filter_map(|slot| slot.get())
            .try_for_each(|sum| compare(sum, digest.expected))?;
        let length = spooled.length();
        let file = ReplayableFile::spooled(spooled);
        let body = file
            .body()
            .expect("a spooled file can be read as often as one likes");
        let (given_name, given_type, whole) = (
            part.file_name,
            part.content_type,
            Some(WholeFile { file, length }),
        );
        Ok(ParsedUpload {
            metadata,
            given_name,
            given_type,
            declared,
            derived: None,
            digest,
            sum,
            body,
            whole,
            raw: None,
        })
    }
}
