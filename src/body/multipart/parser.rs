//! The parser of forms: bytes are pushed in, events come out.
//!
//! A state machine that holds back no more than what may turn out to be a delimiter, or a part's
//! head. Every state names what the next byte belongs to.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::body::multipart::boundary::Boundary;
use crate::body::multipart::delimiter::{
    DelimiterFinder, DelimiterKind, DelimiterProgress, DelimiterStep,
};
use crate::body::multipart::derived::FormEnding;
use crate::body::multipart::head::{self, PartHead};
use crate::body::multipart::malformed::{bare_line_feed, malformed};
use crate::types::error::Error;

/// Largest head of one part, in bytes with its blank line. Real ones stay below 1 KiB.
pub const HEAD_LIMIT: usize = 16 * 1024;

/// Largest preamble of a form, in bytes. Mail libraries write a sentence there, HTTP clients
/// nothing.
const PREAMBLE_LIMIT: usize = 1024;

/// Most parts of one form. Each costs the caller a few bytes and the reader an allocation.
pub const PARTS_LIMIT: usize = 1_000;

/// What comes next in a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormEvent {
    /// A part begins; its data follows.
    Part(PartHead),
    /// Some of the part's data, never empty.
    Data(Bytes),
    /// The part is whole.
    PartEnd,
    /// The closing delimiter was seen: no part follows.
    End,
}

/// Reads one form.
///
/// Push a chunk, take events until there are none, push the next, and [finish](Self::finish). In
/// that order, it holds no more than one chunk and [`HEAD_LIMIT`] bytes.
#[derive(Debug)]
pub struct FormParser {
    delimiter: DelimiterFinder,
    state: State,
    /// Chunks that wait behind `chunk`; only where they are pushed faster than read.
    waiting: VecDeque<Bytes>,
    chunk: Bytes,
    /// What came before `chunk` and can't be decided yet: the preamble, a possible delimiter, or
    /// half a head.
    held: BytesMut,
    consumed: u64,
    parts: usize,
}

#[derive(Debug)]
enum State {
    /// Nothing was read yet.
    Start,
    /// In what may be the first delimiter; `first` where nothing is in front of it.
    Opening {
        progress: DelimiterProgress,
        first: bool,
    },
    /// In front of the first delimiter.
    Preamble,
    /// Within a part's head.
    Head,
    /// Within a part's data.
    Data,
    /// Within a part's data, on what may be a delimiter.
    Line(DelimiterProgress),
    /// Behind a delimiter of this number of bytes, which aren't counted as consumed yet.
    Delimited(DelimiterKind, u64),
    /// Behind the closing delimiter, on its line or below.
    Epilogue { own_line: bool },
    /// Broken for good.
    Failed(Error),
}

enum Step {
    Emit(FormEvent),
    Again,
    Starved,
}

impl FormParser {
    /// A parser in front of a body's first byte.
    pub fn new(boundary: &Boundary) -> Self {
        Self {
            delimiter: DelimiterFinder::new(boundary),
            state: State::Start,
            waiting: VecDeque::new(),
            chunk: Bytes::new(),
            held: BytesMut::new(),
            consumed: 0,
            parts: 0,
        }
    }

    /// Takes the body's next bytes, any number of them.
    pub fn push(&mut self, chunk: Bytes) {
        self.waiting.push_back(chunk);
    }

    /// What comes next, or `None` when that takes another chunk or the body's end.
    ///
    /// # Errors
    /// `malformed-multipart` when the bytes aren't a form or exceed a limit. It stays that way.
    pub fn next_event(&mut self) -> Result<Option<FormEvent>, Error> {
        loop {
            match self.step() {
                Ok(Step::Emit(event)) => return Ok(Some(event)),
                Ok(Step::Again) => {}
                Ok(Step::Starved) => match self.waiting.pop_front() {
                    Some(chunk) => self.chunk = chunk,
                    None => {
                        // Empty, and yet it would keep the buffer alive until the next chunk comes.
                        self.chunk = Bytes::new();
                        return Ok(None);
                    }
                },
                Err(error) => {
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// Confirms that the body may end here. To be called after [`Self::next_event`] returned
    /// `None`.
    ///
    /// # Errors
    /// `malformed-multipart` unless the closing delimiter was seen: without it nobody can tell a
    /// whole file from a shorter one.
    pub fn finish(&self) -> Result<(), Error> {
        match &self.state {
            State::Epilogue { .. } => Ok(()),
            State::Failed(error) => Err(error.clone()),
            State::Preamble | State::Opening { first: false, .. } => Err(never_begins()),
            _ => Err(malformed(
                "the body ended before the closing boundary: \
                 send the form whole, up to --boundary--",
            )),
        }
    }

    /// Bytes of the body up to where the parser is.
    ///
    /// That is the part's first data byte after [`FormEvent::Part`], just past its last one after
    /// [`FormEvent::PartEnd`], and just past `--boundary--` after [`FormEvent::End`]. Then it
    /// counts the epilogue.
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// How many parts have begun.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// What followed the part of this number, the first being 1, whose data ended at `part_end`.
    ///
    /// Only meaningful once [`Self::finish`] succeeded.
    pub fn ending(&self, part: usize, part_end: u64) -> Option<FormEnding> {
        let bytes = self.consumed.checked_sub(part_end)?;
        // Those of the parts that came after it, and the closing one.
        let boundaries = self.parts.checked_sub(part)? + 1;
        FormEnding::of(bytes, boundaries as u64, self.delimiter.boundary_len())
    }

    fn step(&mut self) -> Result<Step, Error> {
        match self.state {
            State::Start => Ok(self.start()),
            State::Opening { progress, first } => self.open(progress, first),
            State::Preamble => self.skip_preamble(),
            State::Head => self.read_head(),
            State::Data => Ok(self.pass_data()),
            State::Line(progress) => self.read_line(progress),
            State::Delimited(ending, length) => self.leave_delimiter(ending, length),
            State::Epilogue { own_line } => self.read_epilogue(own_line),
            State::Failed(ref error) => Err(error.clone()),
        }
    }

    fn start(&mut self) -> Step {
        let Some(&first) = self.chunk.first() else {
            return Step::Starved;
        };
        let progress = if first == b'\r' {
            DelimiterProgress::START
        } else {
            DelimiterProgress::LINE_START
        };
        self.state = State::Opening {
            progress,
            first: true,
        };
        Step::Again
    }

    fn open(&mut self, progress: DelimiterProgress, first: bool) -> Result<Step, Error> {
        match self.read_delimiter(progress)? {
            DelimiterStep::Reading(progress) => {
                self.state = State::Opening { progress, first };
                Ok(Step::Starved)
            }
            DelimiterStep::Not
                if first
                    && self.chunk.first() == Some(&b'\n')
                    && self.delimiter.mentions(&self.held) > 0 =>
            {
                Err(bare_line_feed())
            }
            DelimiterStep::Not => {
                self.state = State::Preamble;
                Ok(Step::Again)
            }
            // Others might have taken the earlier one for the first delimiter.
            DelimiterStep::Found(_) if self.delimiter.mentions(&self.held) > 1 => {
                Err(never_begins())
            }
            DelimiterStep::Found(ending) => {
                self.enter_delimiter(ending);
                Ok(Step::Again)
            }
        }
    }

    /// Keeps the preamble until the delimiter is found, whose length it then counts to.
    fn skip_preamble(&mut self) -> Result<Step, Error> {
        let skipped = self.delimiter.data_before(&self.chunk);
        if self.held.len() + skipped > PREAMBLE_LIMIT {
            return Err(never_begins());
        }
        self.held.put_slice(&self.chunk.split_to(skipped));
        if self.chunk.is_empty() {
            return Ok(Step::Starved);
        }
        self.state = State::Opening {
            progress: DelimiterProgress::START,
            first: false,
        };
        Ok(Step::Again)
    }

    /// Copies at most [`HEAD_LIMIT`] bytes, and takes from the chunk only those of the head.
    fn read_head(&mut self) -> Result<Step, Error> {
        let before = self.held.len();
        let taken = self.chunk.len().min(HEAD_LIMIT - before);
        self.held.put_slice(&self.chunk[..taken]);
        if let Some(end) = head::end(&self.held, before) {
            self.chunk.advance(end - before);
            self.held.truncate(end);
            return self.enter_part().map(Step::Emit);
        }
        self.chunk.advance(taken);
        if self.held.len() == HEAD_LIMIT && head::has_bare_line_feed(&self.held) {
            return Err(bare_line_feed());
        }
        if self.held.len() == HEAD_LIMIT {
            return Err(malformed(
                "a part's head is larger than 16 KiB: send fewer and shorter header fields",
            ));
        }
        Ok(Step::Starved)
    }

    fn enter_part(&mut self) -> Result<FormEvent, Error> {
        let head = PartHead::parse(&self.held)?;
        self.consumed += self.held.len() as u64;
        // Up to 16 KiB were copied to find the head's end, and the part may take long.
        self.held = BytesMut::new();
        // The blank line's CRLF may be the next delimiter's too: a part without any body.
        self.state = State::Line(DelimiterProgress::LINE_START);
        Ok(FormEvent::Part(head))
    }

    fn pass_data(&mut self) -> Step {
        let sure = self.delimiter.data_before(&self.chunk);
        if sure < self.chunk.len() {
            self.state = State::Line(DelimiterProgress::START);
        } else if sure == 0 {
            return Step::Starved;
        }
        let data = self.chunk.split_to(sure);
        self.emit_data(data)
    }

    fn read_line(&mut self, progress: DelimiterProgress) -> Result<Step, Error> {
        match self.read_delimiter(progress)? {
            DelimiterStep::Reading(progress) => {
                self.state = State::Line(progress);
                Ok(Step::Starved)
            }
            DelimiterStep::Not => {
                // No delimiter can begin within the held bytes: CR is only ever their first, or
                // their last with something else than LF behind it.
                self.state = State::Data;
                let data = self.held.split().freeze();
                Ok(self.emit_data(data))
            }
            DelimiterStep::Found(ending) => {
                self.enter_delimiter(ending);
                Ok(Step::Emit(FormEvent::PartEnd))
            }
        }
    }

    fn emit_data(&mut self, data: Bytes) -> Step {
        self.consumed += data.len() as u64;
        if data.is_empty() {
            Step::Again
        } else {
            Step::Emit(FormEvent::Data(data))
        }
    }

    /// Moves bytes from the chunk to `held` for as long as they continue a delimiter.
    fn read_delimiter(&mut self, mut progress: DelimiterProgress) -> Result<DelimiterStep, Error> {
        while let Some(&byte) = self.chunk.first() {
            let verdict = self.delimiter.step(progress, byte)?;
            if matches!(verdict, DelimiterStep::Not) {
                return Ok(verdict);
            }
            self.held.put_u8(byte);
            self.chunk.advance(1);
            match verdict {
                DelimiterStep::Reading(further) => progress = further,
                _ => return Ok(verdict),
            }
        }
        Ok(DelimiterStep::Reading(progress))
    }

    fn enter_delimiter(&mut self, ending: DelimiterKind) {
        self.state = State::Delimited(ending, self.held.len() as u64);
        self.held.clear();
    }

    fn leave_delimiter(&mut self, ending: DelimiterKind, length: u64) -> Result<Step, Error> {
        self.consumed += length;
        match ending {
            DelimiterKind::Close => {
                self.state = State::Epilogue { own_line: true };
                Ok(Step::Emit(FormEvent::End))
            }
            DelimiterKind::Part if self.parts == PARTS_LIMIT => Err(malformed(
                "the form has more than 1000 parts: \
                 send one file and only the fields that are documented",
            )),
            DelimiterKind::Part => {
                self.parts += 1;
                self.state = State::Head;
                Ok(Step::Again)
            }
        }
    }

    fn read_epilogue(&mut self, own_line: bool) -> Result<Step, Error> {
        if own_line && let Some(byte) = self.chunk.iter().find(|byte| !matches!(byte, b' ' | b'\t'))
        {
            if !matches!(byte, b'\r' | b'\n') {
                return Err(malformed(
                    "something follows the closing boundary on its line: \
                     end the form with --boundary-- and CRLF",
                ));
            }
            self.state = State::Epilogue { own_line: false };
        }
        self.consumed += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(Step::Starved)
    }
}

fn never_begins() -> Error {
    malformed(
        "the body doesn't begin with the boundary that its Content-Type names, \
         on a line of its own",
    )
}

#[cfg(test)]
mod tests;
