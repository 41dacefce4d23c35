//! Finds a file's length. eGain needs the exact size before the first byte, so the size is
//! declared, or known from the look-ahead, or derived from the request's own length, or found by
//! spooling: the first of these that the request allows.

use bytes::Bytes;

use super::framing::{DerivedLength, SafetyCopy};
use super::length_source::LengthSource;
use super::look_ahead::LookAhead;
use super::parsed::{ParsedUpload, WholeFile};
use super::replay::ReplayableFile;
use super::size_limit::SizeLimit;
use super::spool::SharedSpool;
use crate::body::BoxBody;
use crate::body::exact_length::OnLengthMismatch;
use crate::types::error::{Error, ErrorCode, Stage};

/// A file whose exact length is known, or promised, or guessed.
pub struct SizedFile {
    /// Its length in bytes.
    pub length: u64,
    /// How that is known.
    pub source: LengthSource,
    /// The bytes.
    pub file: ReplayableFile,
    /// Where the length is a guess.
    guess: Option<Guess>,
}

/// A guess, and what holds for the length that turns out to be the right one.
struct Guess {
    derived: DerivedLength,
    limit: SizeLimit,
}

impl SizedFile {
    fn new(length: u64, source: LengthSource, file: ReplayableFile) -> Self {
        Self {
            length,
            source,
            file,
            guess: None,
        }
    }

    /// A file of which `ahead` was read and `rest` is still to come, with its length declared.
    pub fn declared(length: u64, ahead: Vec<Bytes>, rest: BoxBody) -> Self {
        let file = ReplayableFile::stream(ahead, rest);
        Self::new(length, LengthSource::Declared, file)
    }

    /// What a body of another length means.
    pub fn on_mismatch(&self) -> OnLengthMismatch {
        let length = self.length;
        match &self.guess {
            None => Box::new(move |actual| mismatch(length, actual)),
            Some(guess) => {
                let derived = guess.derived.clone();
                Box::new(move |_| derived.mispredicted())
            }
        }
    }

    /// Corrects a wrong guess by reading on to the end into the safety copy. False where there is
    /// no complete copy.
    pub async fn correct(&mut self) -> Result<bool, Error> {
        let Some(Guess { derived, limit }) = self.guess.take() else {
            return Ok(false);
        };
        let end = self.file.read_to_end(|length| limit.check(length)).await?;
        let Some(length) = end else {
            derived.refused();
            return Ok(false);
        };
        self.length = length;
        self.source = LengthSource::Spooled;
        Ok(true)
    }
}

/// Finds the length of one upload's file.
pub(super) struct LengthResolver<'a> {
    /// The caller's id, for its share of the spool.
    pub caller: &'a str,
    /// Where files of unknown length wait.
    pub spools: &'a SharedSpool,
    /// The upload's limit.
    pub limit: SizeLimit,
    /// Bytes that are read before any call to eGain.
    pub look_ahead: u64,
}

impl LengthResolver<'_> {
    /// Finds the length of a file of which `ahead` was read. Refuses a file that it reads too much
    /// of; a declared length is checked by the caller of this.
    pub(super) async fn resolve(
        &self,
        mut upload: ParsedUpload,
        mut ahead: LookAhead,
    ) -> Result<SizedFile, Error> {
        let declared = upload.declared;
        // A guess beyond the limit may be wrong; a spooled file is refused by its actual length.
        let guess = upload.derived.take();
        let guess = guess.filter(|derived| self.limit.allows(derived.size));
        if let Some(size) = declared {
            refuse_contradiction(size, &ahead)?;
        }
        let expected = declared.or(guess.as_ref().map(|derived| derived.size));
        if !ahead.ended && expected.is_none_or(|size| size <= ahead.length()) {
            // One byte more distinguishes a file that just fills the look-ahead from a longer one.
            let beyond = ahead.length().max(self.look_ahead) + 1;
            ahead.fill(&mut upload.body, beyond).await?;
        }
        self.limit.check(ahead.length())?;
        if ahead.ended && (declared.is_some() || ahead.length() <= self.look_ahead) {
            return in_memory(ahead, declared);
        }
        if let Some(spooled) = upload.spooled.take() {
            return in_spool(spooled, declared);
        }
        if let Some(length) = declared {
            let chunks = ahead.chunks.take();
            return Ok(SizedFile::declared(length, chunks, upload.body));
        }
        match guess {
            Some(derived) if !ahead.ended => self.derive(upload.body, ahead, derived).await,
            // The last frame happened to bring the end as well, so the guess is known to be right.
            Some(derived) if derived.size == ahead.length() => {
                let file = ReplayableFile::held(ahead.chunks.take());
                Ok(SizedFile::new(derived.size, LengthSource::Derived, file))
            }
            _ => self.spool(upload.body, ahead).await,
        }
    }

    /// Uses a guess, with a safety copy where its framing needs one and there is room.
    async fn derive(
        &self,
        body: BoxBody,
        mut ahead: LookAhead,
        derived: DerivedLength,
    ) -> Result<SizedFile, Error> {
        let copy = match derived.safety {
            SafetyCopy::None => None,
            SafetyCopy::Copy | SafetyCopy::CopyOrSpool => {
                self.spools.reserve(self.caller, derived.size)
            }
        };
        let file = if let Some(mut copy) = copy {
            for chunk in ahead.chunks.take() {
                copy.append(chunk)?;
            }
            ReplayableFile::copied(copy, body)
        } else if derived.safety == SafetyCopy::CopyOrSpool {
            return self.spool(body, ahead).await;
        } else {
            ReplayableFile::stream(ahead.chunks.take(), body)
        };
        let limit = self.limit;
        Ok(SizedFile {
            length: derived.size,
            source: LengthSource::Derived,
            file,
            guess: Some(Guess { derived, limit }),
        })
    }

    async fn spool(&self, mut body: BoxBody, ahead: LookAhead) -> Result<SizedFile, Error> {
        if !self.spools.is_on() {
            let detail = "the file's length isn't known: send Content-Length (raw), or size in the \
                          query or as a form field before the file";
            let code = ErrorCode::LengthRequired;
            return Err(Error::caller(code, Stage::Read, detail));
        }
        let check = |length| self.limit.check(length);
        let collected = self.spools.collect(self.caller, ahead, &mut body, check);
        let spooled = collected.await?;
        let length = spooled.length();
        let file = ReplayableFile::spooled(spooled);
        Ok(SizedFile::new(length, LengthSource::Spooled, file))
    }
}

/// Refuses a declared size that what was read already contradicts.
fn refuse_contradiction(declared: u64, ahead: &LookAhead) -> Result<(), Error> {
    let length = ahead.length();
    if length > declared || ahead.ended && length < declared {
        return Err(mismatch(declared, length));
    }
    Ok(())
}

/// A file that the look-ahead holds as a whole.
fn in_memory(mut ahead: LookAhead, declared: Option<u64>) -> Result<SizedFile, Error> {
    let length = ahead.length();
    if let Some(size) = declared
        && size != length
    {
        return Err(mismatch(size, length));
    }
    if length == 0 {
        let detail = "the file is empty: eGain takes files of at least one byte";
        return Err(Error::caller(ErrorCode::EmptyFile, Stage::Read, detail));
    }
    let source = if declared.is_some() {
        LengthSource::Declared
    } else {
        LengthSource::LookAhead
    };
    let file = ReplayableFile::held(ahead.chunks.take());
    Ok(SizedFile::new(length, source, file))
}

/// A file that had to be read whole for the fields behind it.
fn in_spool(spooled: WholeFile, declared: Option<u64>) -> Result<SizedFile, Error> {
    let WholeFile { file, length } = spooled;
    if let Some(size) = declared
        && size != length
    {
        return Err(mismatch(size, length));
    }
    Ok(SizedFile::new(length, LengthSource::Spooled, file))
}

/// Both numbers: the caller has to find out which one is wrong.
fn mismatch(declared: u64, actual: u64) -> Error {
    let compared = if actual > declared { "at least " } else { "" };
    let detail = format!(
        "{declared} bytes were declared, {compared}{actual} arrived: declare the exact length of \
         the file"
    );
    Error::caller(ErrorCode::LengthMismatch, Stage::Read, detail)
}
