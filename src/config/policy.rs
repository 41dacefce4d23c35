//! `[policy]`: which files may pass.

use super::rules::{each, given, mime_pattern, some};
use super::section::section;
use super::setting::words;

words! {
    /// What to do with a name or a declared type that the bytes contradict.
    OnMismatch {
        /// Correct it.
        Rename = "rename",
        /// Refuse the file.
        Refuse = "refuse",
    }
}

section! {
    /// Which files may pass.
    Policy as "policy" {
        /// MIME patterns of what is refused, in place of the built-in list.
        deny: Option<Vec<String>> => "executables and scripts" where given(each(mime_pattern));
        /// MIME patterns of what may pass.
        allow: Vec<String> = "*/*" where some(mime_pattern);
        /// When name or declared type contradict the bytes: rename or refuse.
        on_mismatch: OnMismatch = "rename";
        /// Whether what would be refused is only counted and logged.
        report_only: bool = "false";
    }
}
