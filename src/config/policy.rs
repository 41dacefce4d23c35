//! `[policy]`: which files may pass.

use super::channels::Channels;
use super::rules::some;
use super::section::section;
use super::setting::words;
use crate::media::Pattern;
use crate::policy::OnMismatch;

words! {
    OnMismatch {
        Rename = "rename",
        Refuse = "refuse",
    }
}

section! {
    /// Which files may pass.
    Policy as "policy" {
        /// MIME patterns of what is refused, in place of the built-in list.
        deny: Option<Vec<Pattern>> => "executables and scripts";
        /// MIME patterns of what may pass.
        allow: Vec<Pattern> = "*/*" where some;
        /// When name or declared type contradict the bytes: rename or refuse.
        on_mismatch: OnMismatch = "rename";
        /// Whether what would be refused is only counted and logged.
        report_only: bool = "false";
        /// What a channel takes: `[policy.channels.<type>]` with `max_size`, `allow` and `deny`; in the file only.
        channels: Channels = "";
    }
}
