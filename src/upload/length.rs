//! The ladder of lengths: eGain wants the exact size before the first byte, so it is declared, or
//! known from the look-ahead, or derived from the request's own length, or found out by spooling.

use super::framing::{DerivedLength, SafetyCopy};
use super::look_ahead::LookAhead;
use super::parse::ParsedUpload;
use super::replay::ReplayableFile;
use super::spool::SharedSpool;
use crate::body::exact_length::OnLengthMismatch;
use crate::policy::attachments;
use crate::types::attachment_limit::{AttachmentLimit, LimitSource};
use crate::types::error::{Error, ErrorCode, Stage};

/// How the length was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthSource {
    /// The caller said it.
    Declared,
    /// The whole file lay in the look-ahead.
    LookAhead,
    /// From the request's length, less what frames the file.
    Derived,
    /// It was held until its end was seen.
    Spooled,
}

impl LengthSource {
    /// The name in answers and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::LookAhead => "lookahead",
            Self::Derived => "derived",
            Self::Spooled => "spooled",
        }
    }
}

/// A file whose exact length is known, or promised, or guessed.
pub struct SizedFile {
    /// Bytes.
    pub length: u64,
    /// How that is known.
    pub source: LengthSource,
    /// The bytes.
    pub file: ReplayableFile,
    /// The guess, where it is one.
    derived: Option<DerivedLength>,
    limits: LengthLimits,
}

impl SizedFile {
    /// What a body of another length means.
    pub fn on_mismatch(&self) -> OnLengthMismatch {
        let length = self.length;
        match self.derived.clone() {
            None => Box::new(move |actual| mismatch(length, actual)),
            Some(derived) => Box::new(move |_| derived.mispredicted()),
        }
    }

    /// Puts a wrong guess right, by reading on to the end into the safety copy. False where there
    /// is none that is whole.
    pub async fn correct(&mut self) -> Result<bool, Error> {
        let Some(derived) = self.derived.take() else {
            return Ok(false);
        };
        match self
            .file
            .read_to_end(|length| self.limits.check(length))
            .await?
        {
            Some(length) => {
                (self.length, self.source) = (length, LengthSource::Spooled);
                Ok(true)
            }
            None => {
                derived.refused();
                Ok(false)
            }
        }
    }
}

/// Finds out the length of a caller's file, by the first rung of the ladder that holds.
pub async fn measure(
    caller: &str,
    mut offer: ParsedUpload,
    mut ahead: LookAhead,
    spools: &SharedSpool,
    limits: &LengthLimits,
) -> Result<SizedFile, Error> {
    let declared = offer.declared;
    // A guess beyond the limit may be wrong; what is spooled is refused by what it is.
    offer.derived = offer
        .derived
        .filter(|derived| limits.check(derived.size).is_ok());
    if let Some(size) =
        declared.filter(|size| ahead.length() > *size || ahead.ended && ahead.length() < *size)
    {
        return Err(mismatch(size, ahead.length()));
    }
    let expected = declared.or(offer.derived.as_ref().map(|derived| derived.size));
    if !ahead.ended && expected.is_none_or(|size| size <= ahead.length()) {
        // One byte more tells a file that just fills the look-ahead from a longer one.
        let beyond = ahead.length().max(limits.look_ahead) + 1;
        ahead.fill(&mut offer.body, beyond).await?;
    }
    limits.check(ahead.length())?;
    if ahead.ended && (declared.is_some() || ahead.length() <= limits.look_ahead) {
        return held(ahead, declared, *limits);
    }
    let known = |length, source, file| SizedFile {
        length,
        source,
        file,
        derived: None,
        limits: *limits,
    };
    match (declared, offer.whole.take(), offer.derived.take()) {
        (Some(size), Some(whole), _) if size != whole.length => Err(mismatch(size, whole.length)),
        (_, Some(whole), _) => Ok(known(whole.length, LengthSource::Spooled, whole.file)),
        (Some(length), None, _) => Ok(known(
            length,
            LengthSource::Declared,
            ReplayableFile::stream(ahead.chunks.take(), offer.body),
        )),
        // Where the last frame happened to bring the end as well, a wrong guess is seen before it
        // does harm.
        (None, None, Some(guess)) if ahead.ended && guess.size == ahead.length() => Ok(known(
            guess.size,
            LengthSource::Derived,
            ReplayableFile::held(ahead.chunks.take()),
        )),
        (None, None, Some(guess)) if !ahead.ended => {
            derive(caller, offer, ahead, guess, spools, limits).await
        }
        (None, None, _) => spool(caller, offer, ahead, spools, limits).await,
    }
}

fn held(
    mut ahead: LookAhead,
    declared: Option<u64>,
    limits: LengthLimits,
) -> Result<SizedFile, Error> {
    let length = ahead.length();
    if let Some(size) = declared.filter(|size| *size != length) {
        return Err(mismatch(size, length));
    }
    if length == 0 {
        return Err(Error::caller(
            ErrorCode::EmptyFile,
            Stage::Read,
            "the file is empty: eGain takes files of at least one byte",
        ));
    }
    let source = if declared.is_some() {
        LengthSource::Declared
    } else {
        LengthSource::LookAhead
    };
    Ok(SizedFile {
        length,
        source,
        file: ReplayableFile::held(ahead.chunks.take()),
        derived: None,
        limits,
    })
}

/// Believes a guess, with a safety copy where its framing asks for one and there is room.
async fn derive(
    caller: &str,
    offer: ParsedUpload,
    mut ahead: LookAhead,
    guess: DerivedLength,
    spools: &SharedSpool,
    limits: &LengthLimits,
) -> Result<SizedFile, Error> {
    let copy = match guess.safety {
        SafetyCopy::None => None,
        SafetyCopy::Copy | SafetyCopy::CopyOrSpool => spools.reserve(caller, guess.size),
    };
    let file = match copy {
        Some(mut copy) => {
            ahead
                .chunks
                .take()
                .into_iter()
                .try_for_each(|chunk| copy.append(chunk))?;
            ReplayableFile::copied(copy, offer.body)
        }
        None if guess.safety == SafetyCopy::CopyOrSpool => {
            return spool(caller, offer, ahead, spools, limits).await;
        }
        None => ReplayableFile::stream(ahead.chunks.take(), offer.body),
    };
    Ok(SizedFile {
        length: guess.size,
        source: LengthSource::Derived,
        file,
        derived: Some(guess),
        limits: *limits,
    })
}

async fn spool(
    caller: &str,
    mut offer: ParsedUpload,
    ahead: LookAhead,
    spools: &SharedSpool,
    limits: &LengthLimits,
) -> Result<SizedFile, Error> {
    if !spools.is_on() {
        let detail = "the file's length isn't known: send Content-Length (raw), or size in the query or as a form field before the file";
        return Err(Error::caller(
            ErrorCode::LengthRequired,
            Stage::Read,
            detail,
        ));
    }
    let spooled = spools
        .collect(caller, ahead, &mut offer.body, |length| {
            limits.check(length)
        })
        .await?;
    let (length, file) = (spooled.length(), ReplayableFile::spooled(spooled));
    Ok(SizedFile {
        length,
        source: LengthSource::Spooled,
        file,
        derived: None,
        limits: *limits,
    })
}

/// Sizes that are refused, or looked at first.
#[derive(Debug, Clone, Copy)]
pub struct LengthLimits {
    /// The largest file in bytes.
    pub max_asset_size: u64,
    /// Who sets it.
    pub source: LimitSource,
    /// What is read before anything is asked of eGain, in bytes.
    pub look_ahead: u64,
}

/// The size in eGain's documented sample of a channel, which operators copied into real ones.
const SAMPLE_SIZE: u64 = 12_345;

impl LengthLimits {
    /// Those of the settings, in bytes.
    pub fn new(max_asset_size: u64, look_ahead: u64) -> Self {
        let source = if max_asset_size < attachments::LARGEST {
            LimitSource::Setting
        } else {
            LimitSource::EgainMaximum
        };
        Self {
            max_asset_size,
            source,
            look_ahead,
        }
    }

    /// With another limit, where that is stricter.
    pub fn at_most(self, max_asset_size: u64, source: LimitSource) -> Self {
        if max_asset_size < self.max_asset_size {
            Self {
                max_asset_size,
                source,
                ..self
            }
        } else {
            self
        }
    }

    /// Refuses a file of so many bytes, or more, if it is too large.
    pub fn check(&self, length: u64) -> Result<(), Error> {
        if length <= self.max_asset_size {
            return Ok(());
        }
        let most = self.max_asset_size;
        let whose = match self.source {
            LimitSource::Setting => "the most that is allowed",
            LimitSource::EgainChannel => "the most that the channel takes at eGain",
            LimitSource::EgainMaximum => "eGain's most",
        };
        let hint = match (self.source, most) {
            (LimitSource::EgainChannel, SAMPLE_SIZE) => {
                "; an operator should look at the channel, as this is the sample of eGain's documentation"
            }
            _ => "",
        };
        let detail =
            format!("the file is larger than {most} bytes, {whose}: send a smaller one{hint}");
        let limit = AttachmentLimit {
            source: self.source,
            max_size: Some(most),
            allowed: None,
        };
        Err(Error::caller(ErrorCode::TooLarge, Stage::Policy, detail).with_limit(limit))
    }
}

/// Both numbers: the caller has to find out which one is wrong.
fn mismatch(declared: u64, actual: u64) -> Error {
    let compared = if actual > declared { "at least " } else { "" };
    let detail = format!(
        "{declared} bytes were declared, {compared}{actual} arrived: declare the exact length of the file"
    );
    Error::caller(ErrorCode::LengthMismatch, Stage::Read, detail)
}
