//! What a file is and what it should be called: types from bytes, names that agree with them.
//!
//! Nothing here reads, waits or decides what is allowed: [`sniff`] says what the first bytes show,

mod bytes;
#[cfg(test)]
mod fixtures;
mod name;
mod sniff;
mod table;

pub use name::{AgreedName, Extension, agree};
pub use sniff::{Sniffed, sniff};
pub use table::EXECUTABLE_PATTERNS;
