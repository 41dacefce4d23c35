//! What a file is and what it should be called: types from bytes, names that agree with them.
//!
//! Nothing here reads, waits or decides what is allowed: [`sniff()`] says what the first bytes
//! show, [`agree`] what the file will be called, and policy matches [`Pattern`]s on the answer.

mod bytes;
pub mod charset;
mod disposition;
#[cfg(test)]
mod fixtures;
mod kind;
mod name;
mod pattern;
mod sniff;
mod table;

pub use disposition::{Viewer, content_disposition, is_utf8, lacks_charset, viewer};
pub use kind::MediaKind;
pub use name::{AgreedName, Extension, agree};
pub use pattern::{BadPattern, Pattern};
pub use sniff::{Sniffed, sniff};
pub use table::EXECUTABLE_PATTERNS;
