//! A file inside a form: the fields before it, its bytes, and all that must be true of what follows it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

use super::fields::{Fields, LONGEST_VALUE, too_long};
use super::framing::{Framing, Framings};
use crate::body::Frames;
use crate::body::multipart::{Boundary, Event, Parser, PartHead};
use crate::words::fault::{Code, Fault, Stage};

/// The most that a form may hold beside the file, in bytes: fields, heads, padding, an epilogue.
pub const LARGEST_FRAME: u64 = 1024 * 1024;

/// A form, read up to its file's first byte.
pub struct OpenForm {
    /// The query's fields and those of the form.
    pub fields: Fields,
    /// What the file's part says of itself.
    pub part: PartHead,
    /// Bytes of the request before the file.
    pub file_start: u64,
    reader: Reader,
}

impl OpenForm {
    /// Reads the fields up to the file: the first part with a file name, or named `file`.
    pub async fn read(body: Frames, boundary: &Boundary, mut fields: Fields) -> Result<Self, Fault> {
        let mut reader = Reader { body, parser: Parser::new(boundary), beside: 0 };
        let mut open = None;
        while let Some(event) = reader.event().await? {
            match event {
                Event::Part(part) if is_file(&part) => {
                    let file_start = reader.parser.consumed();
                    return Ok(Self { fields, part, file_start, reader });
                }
                Event::Part(part) => open = Field::open(&part),
                Event::Data(data) => Field::extend(&mut open, &data)?,
                Event::PartEnd => {
                    if let Some(field) = open.take() {
                        fields.give(field.name, &field.text()?, Stage::Read)?;
                    }
                }
                Event::End => {}
            }
        }
        let detail = "the form has no file: send a part named file, with a filename";
        Err(Fault::caller(Code::MissingField, Stage::Read, detail))
    }

    /// The file's bytes. The body ends only when the whole form was read and is in order.
    pub fn into_file(self, framing: Framing, framings: Framings) -> FormFile {
        let Self { fields, reader, .. } = self;
        FormFile { reader, fields, place: Place::InFile, late: None, framing, framings }
    }
}

fn is_file(part: &PartHead) -> bool {
    part.file_name.is_some() || part.name.as_deref() == Some("file")
}

/// The file's bytes, and after them the rest of the form.
pub struct FormFile {
    reader: Reader,
    fields: Fields,
    place: Place,
    late: Option<Field>,
    framing: Framing,
    framings: Framings,
}

#[derive(Clone, Copy)]
enum Place {
    InFile,
    /// The file ended at this byte of the request.
    Behind(u64),
    AtEnd,
}

impl FormFile {
    /// Takes what follows the file. Nothing of it may change what was decided before.
    fn behind(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::Part(part) if is_file(&part) => {
                let detail = "the form has more than one file: send one file a request";
                return Err(Fault::caller(Code::BadRequest, Stage::Read, detail));
            }
            Event::Part(part) => self.late = Field::open(&part),
            Event::Data(data) => Field::extend(&mut self.late, &data)?,
            Event::PartEnd => {
                if let Some(field) = self.late.take() {
                    self.fields.confirm_late(field.name, &field.text()?)?;
                }
            }
            Event::End => {}
        }
        Ok(())
    }

    fn at_end(&mut self) {
        if let Place::Behind(file_end) = self.place {
            self.framings.learn(&self.framing, self.reader.parser.ended_as_assumed(file_end));
        }
        self.place = Place::AtEnd;
    }
}

impl Body for FormFile {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            let place = self.place;
            if matches!(place, Place::AtEnd) {
                return Poll::Ready(None);
            }
            match (ready!(self.reader.poll_event(cx)?), place) {
                (Some(Event::Data(data)), Place::InFile) => {
                    self.reader.beside = self.reader.beside.saturating_sub(data.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                (Some(Event::PartEnd), Place::InFile) => self.place = Place::Behind(self.reader.parser.consumed()),
                (Some(event), _) => self.behind(event)?,
                (None, _) => self.at_end(),
            }
        }
    }
}

/// The form as events, with a bound on all that isn't the file.
struct Reader {
    body: Frames,
    parser: Parser,
    /// Bytes that were read and aren't known to be the file's.
    beside: u64,
}

impl Reader {
    /// The next event, or None at the end of a whole form.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Event>, Fault>> {
        loop {
            if let Some(event) = self.parser.next_event()? {
                return Poll::Ready(Ok(Some(event)));
            }
            if self.beside > LARGEST_FRAME {
                let detail = "the form holds more than 1 MiB beside the file: send the file and the documented fields only";
                return Poll::Ready(Err(Fault::caller(Code::TooLarge, Stage::Read, detail)));
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

    async fn event(&mut self) -> Result<Option<Event>, Fault> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }
}

/// A field that means something, being collected.
struct Field {
    name: &'static str,
    value: BytesMut,
}

impl Field {
    fn open(part: &PartHead) -> Option<Self> {
        let name = Fields::known(part.name.as_deref()?)?;
        Some(Self { name, value: BytesMut::new() })
    }

    /// Does nothing for a field that isn't collected.
    fn extend(open: &mut Option<Self>, data: &[u8]) -> Result<(), Fault> {
        let Some(field) = open else { return Ok(()) };
        if field.value.len() + data.len() > LONGEST_VALUE {
            return Err(too_long(field.name, Stage::Read));
        }
        field.value.extend_from_slice(data);
        Ok(())
    }

    fn text(&self) -> Result<String, Fault> {
        let text = std::str::from_utf8(&self.value).map_err(|_| {
            let detail = format!("the field {} isn't UTF-8: send it as UTF-8", self.name);
            Fault::caller(Code::InvalidField, Stage::Read, detail)
        })?;
        Ok(text.to_owned())
    }
}
