//! A file inside a form: the fields before it, its bytes, and all that must be true of what follows
//! it.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use parking_lot::Mutex;

use super::fields::{LONGEST_VALUE, UploadFields, too_long};
use super::framing::{Framing, KnownFramings};
use crate::body::BoxBody;
use crate::body::multipart::{Boundary, FormEvent, FormParser, PartHead};
use crate::media::charset;
use crate::types::error::{Error, ErrorCode, Stage};

/// The most that a form may hold beside the file, in bytes: fields, heads, padding, an epilogue.
pub const LARGEST_FRAME: u64 = 1024 * 1024;

/// Types of a part that holds parts (RFC 2388 section 4.2). Not `multipart/related`: browsers call
/// saved pages so.
const NESTED: [&str; 4] = [
    "multipart/mixed",
    "multipart/form-data",
    "multipart/alternative",
    "multipart/parallel",
];

/// A form, read up to its file's first byte.
pub struct OpenForm {
    /// The query's fields and those of the form.
    pub fields: UploadFields,
    /// What the file's part says of itself.
    pub part: PartHead,
    /// Bytes of the request before the file.
    pub file_start: u64,
    /// A hash of the names of all fields before the file.
    pub field_names: u64,
    reader: Reader,
}

impl OpenForm {
    /// Reads the fields up to the file: the first part with a file name, or named `file`.
    pub async fn read(
        body: BoxBody,
        boundary: &Boundary,
        mut fields: UploadFields,
    ) -> Result<Self, Error> {
        let mut reader = Reader {
            body,
            parser: FormParser::new(boundary),
            next: None,
            beside: 0,
        };
        let (mut open, mut left_empty, mut names) = (None, false, DefaultHasher::new());
        while let Some(event) = reader.event().await? {
            match event {
                FormEvent::Part(part) => {
                    check(&part)?;
                    let file_start = reader.parser.consumed();
                    open = Field::open(&part);
                    let is_left_empty =
                        is_file(&part) && !is_chosen(&part) && reader.ends_here().await?;
                    if is_file(&part) && !is_left_empty {
                        return Ok(Self {
                            fields,
                            part,
                            file_start,
                            field_names: names.finish(),
                            reader,
                        });
                    }
                    left_empty |= is_left_empty;
                    part.name.hash(&mut names);
                }
                FormEvent::Data(data) => Field::extend(&mut open, &data)?,
                FormEvent::PartEnd => {
                    if let Some(field) = open.take() {
                        fields.give(field.name, &field.text(), Stage::Read)?;
                    }
                }
                FormEvent::End => {}
            }
        }
        if left_empty {
            let detail = "the form's file input was left empty: choose a file";
            return Err(Error::caller(ErrorCode::EmptyFile, Stage::Read, detail));
        }
        let detail = "the form has no file: send a part named file, with a filename";
        Err(Error::caller(ErrorCode::MissingField, Stage::Read, detail))
    }

    /// The file's bytes. The body ends only when the whole form was read and is in order. Its end
    /// is learnt.
    pub fn into_file(
        self,
        after: FieldsAfter,
        framing: Framing,
        framings: KnownFramings,
    ) -> FormFile {
        let (part, place, reader) = (self.reader.parser.parts(), Place::InFile, self.reader);
        FormFile {
            reader,
            after,
            place,
            part,
            late: None,
            in_empty_input: false,
            framing,
            framings,
        }
    }
}

fn is_file(part: &PartHead) -> bool {
    part.file_name.is_some() || part.name.as_deref() == Some("file")
}

/// Whether a file was chosen. A file input that was left empty is sent with an empty name and
/// without a byte (WHATWG HTML, "constructing the entry list").
fn is_chosen(part: &PartHead) -> bool {
    part.file_name.as_deref() != Some("")
}

/// Refuses a part whose bytes are not what they stand for: fields would be misread, files stored as
/// they aren't.
fn check(part: &PartHead) -> Result<(), Error> {
    let plain = |encoding: &str| {
        ["binary", "8bit", "7bit"]
            .iter()
            .any(|plain| encoding.trim().eq_ignore_ascii_case(plain))
    };
    if !part.transfer_encoding.as_deref().is_none_or(plain) {
        let detail = "a part's Content-Transfer-Encoding isn't supported, as encoded bytes would be stored: send it as binary";
        return Err(Error::caller(
            ErrorCode::EncodingNotAllowed,
            Stage::Read,
            detail,
        ));
    }
    let essence = part
        .content_type
        .as_deref()
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    if essence.is_some_and(|essence| {
        NESTED
            .iter()
            .any(|nested| essence.eq_ignore_ascii_case(nested))
    }) {
        let detail = "a part is a form of its own, as RFC 7578 section 4.3 has it no more: send each file as a part, one a request";
        return Err(Error::caller(
            ErrorCode::MalformedMultipart,
            Stage::Read,
            detail,
        ));
    }
    Ok(())
}

/// What fields mean that come after the file.
pub enum FieldsAfter {
    /// The file may be on its way already: they may only repeat what was said before it.
    Repeat(UploadFields),
    /// The file waits for them: they count as if they had come before it.
    Count(Arc<Mutex<UploadFields>>),
}

impl FieldsAfter {
    fn take(&self, name: &str, value: &str) -> Result<(), Error> {
        match self {
            Self::Repeat(fields) => fields.confirm_late(name, value),
            Self::Count(fields) => fields.lock().give(name, value, Stage::Read),
        }
    }
}

/// The file's bytes, and after them the rest of the form.
pub struct FormFile {
    reader: Reader,
    after: FieldsAfter,
    place: Place,
    /// The file's number among the form's parts.
    part: usize,
    late: Option<Field>,
    /// Behind the file, in a file input that seems to have been left empty.
    in_empty_input: bool,
    framing: Framing,
    framings: KnownFramings,
}

#[derive(Clone, Copy)]
enum Place {
    InFile,
    /// The file ended at this byte of the request.
    Behind(u64),
    AtEnd,
}

impl FormFile {
    /// Takes what follows the file.
    fn behind(&mut self, event: FormEvent) -> Result<(), Error> {
        match event {
            FormEvent::Part(part) => {
                check(&part)?;
                self.in_empty_input = is_file(&part) && !is_chosen(&part);
                if is_file(&part) && is_chosen(&part) {
                    return Err(second_file());
                }
                self.late = Field::open(&part);
            }
            FormEvent::Data(_) if self.in_empty_input => return Err(second_file()),
            FormEvent::Data(data) => Field::extend(&mut self.late, &data)?,
            FormEvent::PartEnd => {
                if let Some(field) = self.late.take() {
                    self.after.take(field.name, &field.text())?;
                }
            }
            FormEvent::End => {}
        }
        Ok(())
    }

    fn at_end(&mut self) {
        if let Place::Behind(file_end) = self.place
            && let Some(ending) = self.reader.parser.ending(self.part, file_end)
        {
            self.framings.learn(self.framing, ending);
        }
        self.place = Place::AtEnd;
    }
}

fn second_file() -> Error {
    Error::caller(
        ErrorCode::BadRequest,
        Stage::Read,
        "the form has more than one file: send one file a request",
    )
}

impl Body for FormFile {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let place = self.place;
            if matches!(place, Place::AtEnd) {
                return Poll::Ready(None);
            }
            match (ready!(self.reader.poll_event(cx)?), place) {
                (Some(FormEvent::Data(data)), Place::InFile) => {
                    self.reader.beside = self.reader.beside.saturating_sub(data.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                (Some(FormEvent::PartEnd), Place::InFile) => {
                    self.place = Place::Behind(self.reader.parser.consumed())
                }
                (Some(event), _) => self.behind(event)?,
                (None, _) => self.at_end(),
            }
        }
    }
}

/// The form as events, with a bound on all that isn't the file.
struct Reader {
    body: BoxBody,
    parser: FormParser,
    /// An event that was only looked at.
    next: Option<FormEvent>,
    /// Bytes that were read and aren't known to be the file's.
    beside: u64,
}

impl Reader {
    /// The next event, or None at the end of a whole form.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<FormEvent>, Error>> {
        if let Some(event) = self.next.take() {
            return Poll::Ready(Ok(Some(event)));
        }
        loop {
            if let Some(event) = self.parser.next_event()? {
                return Poll::Ready(Ok(Some(event)));
            }
            if self.beside > LARGEST_FRAME {
                let detail = "the form holds more than 1 MiB beside the file: send the file and the documented fields only";
                return Poll::Ready(Err(Error::caller(ErrorCode::TooLarge, Stage::Read, detail)));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)?) {
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.beside += data.len() as u64;
                        self.parser.push(data);
                    }
                }
                None => return Poll::Ready(self.parser.finish().map(|()| None)),
            }
        }
    }

    async fn event(&mut self) -> Result<Option<FormEvent>, Error> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Whether the part that has just begun has no byte. Its end is taken then, its first bytes
    /// aren't.
    async fn ends_here(&mut self) -> Result<bool, Error> {
        self.next = self
            .event()
            .await?
            .filter(|event| *event != FormEvent::PartEnd);
        Ok(self.next.is_none())
    }
}

/// A field that means something, being collected.
struct Field {
    name: &'static str,
    value: BytesMut,
}

impl Field {
    fn open(part: &PartHead) -> Option<Self> {
        let name = UploadFields::known(part.name.as_deref()?)?;
        Some(Self {
            name,
            value: BytesMut::new(),
        })
    }

    /// Does nothing for a field that isn't collected.
    fn extend(open: &mut Option<Self>, data: &[u8]) -> Result<(), Error> {
        let Some(field) = open else { return Ok(()) };
        if field.value.len() + data.len() > LONGEST_VALUE {
            return Err(too_long(field.name, Stage::Read));
        }
        field.value.extend_from_slice(data);
        Ok(())
    }

    fn text(&self) -> Cow<'_, str> {
        charset::decode(&self.value)
    }
}
