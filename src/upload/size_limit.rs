//! The largest file that an upload may bring.
//!
//! [`UploadRules::size_limit`](super::rules::UploadRules::size_limit) makes the limit once channel
//! and sender are known, and makes it again once the file's kind is known. It is checked wherever a
//! length becomes known: declared, read into the look-ahead, spooled, or read to the end after a
//! wrong guess. Before the channel is known there is only the limit of the settings; a form is
//! checked against that one (`parse_form.rs`).

use crate::policy::attachments;
use crate::types::attachment_limit::{AttachmentLimit, LimitSource};
use crate::types::error::{Error, ErrorCode, Stage};

/// The size in eGain's documented sample of a channel, which operators copied into real ones.
const SAMPLE_SIZE: u64 = 12_345;

/// A largest size in bytes, and who sets it.
#[derive(Debug, Clone, Copy)]
pub struct SizeLimit {
    /// Bytes.
    pub max_bytes: u64,
    /// Who sets it.
    pub source: LimitSource,
}

impl SizeLimit {
    /// The limit of the settings, which holds for every upload.
    pub fn of_settings(max_bytes: u64) -> Self {
        let source = if max_bytes < attachments::LARGEST {
            LimitSource::Setting
        } else {
            LimitSource::EgainMaximum
        };
        Self { max_bytes, source }
    }

    /// The stricter one of the two; this one where they are equal.
    pub fn min(self, other: Self) -> Self {
        if other.max_bytes < self.max_bytes {
            other
        } else {
            self
        }
    }

    /// Whether a file of this length may be sent.
    pub fn allows(self, length: u64) -> bool {
        length <= self.max_bytes
    }

    /// Refuses a file of this length, or longer, if it is too large.
    pub fn check(self, length: u64) -> Result<(), Error> {
        if self.allows(length) {
            return Ok(());
        }
        let max_bytes = self.max_bytes;
        let whose = match self.source {
            LimitSource::Setting => "the most that is allowed",
            LimitSource::EgainChannel => "the most that the channel takes at eGain",
            LimitSource::EgainMaximum => "eGain's most",
        };
        let hint = if self.source == LimitSource::EgainChannel && max_bytes == SAMPLE_SIZE {
            "; an operator should look at the channel, as this is the sample of eGain's \
             documentation"
        } else {
            ""
        };
        let detail =
            format!("the file is larger than {max_bytes} bytes, {whose}: send a smaller one{hint}");
        let limit = AttachmentLimit {
            source: self.source,
            max_size: Some(max_bytes),
            allowed: None,
        };
        Err(Error::caller(ErrorCode::TooLarge, Stage::Policy, detail).with_limit(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_limit_wins_and_names_who_sets_it() {
        let settings = SizeLimit::of_settings(1000);
        let channel = SizeLimit {
            max_bytes: 7,
            source: LimitSource::EgainChannel,
        };
        let limit = settings.min(channel);
        assert!(limit.check(7).is_ok());
        let error = limit.check(8).unwrap_err();
        assert_eq!(error.code(), ErrorCode::TooLarge);
        assert!(error.detail().contains("the channel takes at eGain"));
    }

    #[test]
    fn equal_limits_are_those_of_the_settings() {
        let settings = SizeLimit::of_settings(7);
        let channel = SizeLimit {
            max_bytes: 7,
            source: LimitSource::EgainChannel,
        };
        assert_eq!(settings.min(channel).source, LimitSource::Setting);
    }
}
