//! What a look at the bytes gives.

use crate::media::charset::CharsetEvidence;
use crate::media::table::{self, MediaForm, MediaRow};

/// The type that the bytes have, and the forms of types that a claim may choose instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) struct Detection {
    /// The type that the bytes have when no claim says more.
    pub(in crate::media) row: &'static MediaRow,
    /// A type of one of these forms may be claimed by the extension or the declared type.
    pub(in crate::media) alternatives: &'static [MediaForm],
    /// The `codecs` parameter, where the bytes show the codec (RFC 6381).
    pub(in crate::media) codecs: Option<&'static str>,
    /// What the bytes of a text show of its character set.
    pub(in crate::media) charset: CharsetEvidence,
}

impl Detection {
    /// Bytes that are of this type and no other.
    pub(super) fn only(essence: &str) -> Self {
        Self::with_alternatives(essence, &[])
    }

    /// Bytes that are of this type unless one of the forms is claimed.
    pub(super) fn with_alternatives(essence: &str, alternatives: &'static [MediaForm]) -> Self {
        Self {
            row: table::row(essence),
            alternatives,
            codecs: None,
            charset: CharsetEvidence::Nothing,
        }
    }
}
