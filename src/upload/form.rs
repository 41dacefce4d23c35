//! A file inside a form: the fields before it, its bytes, and the checks of what follows it.

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

/// The most bytes that a form may hold beside the file: fields, heads, padding, an epilogue.
pub(super) const LARGEST_FRAME: u64 = 1024 * 1024;

/// Transfer encodings that leave the bytes as they are.
const PLAIN_ENCODINGS: [&str; 3] = ["binary", "8bit", "7bit"];

/// Types of a part that holds parts (RFC 2388 section 4.2). Not `multipart/related`, which browsers
/// use for saved pages.
const NESTED: [&str; 4] = [
    "multipart/mixed",
    "multipart/form-data",
    "multipart/alternative",
    "multipart/parallel",
];

/// A form, read up to its file's first byte.
pub(super) struct OpenForm {
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
    pub(super) async fn read(
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
        let mut open_field = None;
        let mut has_empty_input = false;
        let mut names = DefaultHasher::new();
        while let Some(event) = reader.event().await? {
            match event {
                FormEvent::Part(part) => {
                    check(&part)?;
                    let file_start = reader.parser.consumed();
                    open_field = Field::open(&part);
                    let is_empty_input =
                        is_file(&part) && !is_chosen(&part) && reader.ends_here().await?;
                    if is_file(&part) && !is_empty_input {
                        return Ok(Self {
                            fields,
                            part,
                            file_start,
                            field_names: names.finish(),
                            reader,
                        });
                    }
                    has_empty_input |= is_empty_input;
                    part.name.hash(&mut names);
                }
                FormEvent::Data(data) => Field::extend(&mut open_field, &data)?,
                FormEvent::PartEnd => {
                    if let Some(field) = open_field.take() {
                        fields.add(field.name, &field.text(), Stage::Read)?;
                    }
                }
                FormEvent::End => {}
            }
        }
        Err(no_file(has_empty_input))
    }

    /// The file's bytes. The body ends only when the whole form was read and is in order. How the
    /// form ends is learnt.
    pub(super) fn into_file(
        self,
        after: FieldsAfter,
        framing: Framing,
        framings: KnownFramings,
    ) -> FormFile {
        FormFile {
            after,
            place: Place::InFile,
            part: self.reader.parser.parts(),
            reader: self.reader,
            late: None,
            in_empty_input: false,
            framing,
            framings,
        }
    }
}

fn no_file(has_empty_input: bool) -> Error {
    if has_empty_input {
        let detail = "the form's file input was left empty: choose a file";
        return Error::caller(ErrorCode::EmptyFile, Stage::Read, detail);
    }
    let detail = "the form has no file: send a part named file, with a filename";
    Error::caller(ErrorCode::MissingField, Stage::Read, detail)
}

fn is_file(part: &PartHead) -> bool {
    part.file_name.is_some() || part.name.as_deref() == Some("file")
}

/// Whether a file was chosen. A file input that was left empty is sent with an empty name and
/// without a byte (WHATWG HTML, "constructing the entry list").
fn is_chosen(part: &PartHead) -> bool {
    part.file_name.as_deref() != Some("")
}

/// Refuses a part whose bytes are encoded: fields would be misread, and files stored encoded.
fn check(part: &PartHead) -> Result<(), Error> {
    if let Some(encoding) = &part.transfer_encoding
        && !is_one_of(&PLAIN_ENCODINGS, encoding.trim())
    {
        let detail = "a part's Content-Transfer-Encoding isn't supported, as encoded bytes would \
                      be stored: send it as binary";
        let code = ErrorCode::EncodingNotAllowed;
        return Err(Error::caller(code, Stage::Read, detail));
    }
    if let Some(content_type) = &part.content_type {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if is_one_of(&NESTED, essence) {
            let detail = "a part is a form of its own, as RFC 7578 section 4.3 has it no more: \
                          send each file as a part, one a request";
            let code = ErrorCode::MalformedMultipart;
            return Err(Error::caller(code, Stage::Read, detail));
        }
    }
    Ok(())
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What fields mean that come after the file.
pub(super) enum FieldsAfter {
    /// The file may have been sent already: they may only repeat what was declared before it.
    Repeat(UploadFields),
    /// The file waits for them: they count as if they came before it.
    Count(Arc<Mutex<UploadFields>>),
}

impl FieldsAfter {
    fn accept(&self, name: &str, value: &str) -> Result<(), Error> {
        match self {
            Self::Repeat(fields) => fields.confirm_late(name, value),
            Self::Count(fields) => fields.lock().add(name, value, Stage::Read),
        }
    }
}

/// The file's bytes, and after them the rest of the form.
pub(super) struct FormFile {
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
    /// Checks what follows the file.
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
                    self.after.accept(field.name, &field.text())?;
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
    /// An event that was read ahead.
    next: Option<FormEvent>,
    /// Bytes that were read and don't belong to the file, as far as is known yet.
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
                let detail = "the form holds more than 1 MiB beside the file: send the file and \
                              the documented fields only";
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

    /// Whether the part that has just begun has no bytes. If so, its end is consumed.
    async fn ends_here(&mut self) -> Result<bool, Error> {
        self.next = self
            .event()
            .await?
            .filter(|event| *event != FormEvent::PartEnd);
        Ok(self.next.is_none())
    }
}

/// A field that means something, while it is read.
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

    /// Adds to the field, if it is one that is collected.
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
