//! What a file is and what it should be called: types from bytes, names that agree with them.
//!
//! Nothing here reads, waits or decides what is allowed: [`sniff()`] says what the first bytes
//! show, [`agree`] what the file will be called, and policy matches [`MediaPattern`]s on
//! these.

mod bytes;
pub mod charset;
mod clean_name;
mod disposition;
mod extension;
#[cfg(test)]
mod fixtures;
mod kind;
mod name;
mod pattern;
mod restricted_name;
mod sniff;
mod table;

pub use clean_name::clean;
pub use disposition::{
    InlineViewer, adds_parameters, content_disposition, is_utf8, lacks_charset, viewer,
};
pub use kind::MediaKind;
pub use name::{ExtensionOutcome, StoredName, agree};
pub use pattern::{BadPattern, MediaPattern};
pub use sniff::{SniffedType, sniff};
pub use table::EXECUTABLE_PATTERNS;
