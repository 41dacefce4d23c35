//! `multipart/form-data` (RFC 7578, RFC 2046 section 5.1), read as it arrives, with exact offsets.
//!
//! Bytes are pushed into a [`FormParser`] and events come out. File data comes out as slices of
//! what was pushed; only what may turn out to be a delimiter, or a part's head, is held until more
//! is known. How the body is cut into chunks never changes what is read from it, and every input
//! costs time in proportion to its length.
//!
//! Where RFC 2046 leaves room:
//! - A preamble, which is in front of the first delimiter, is bounded and ignored.
//! - A line that only begins like a delimiter is data.
//! - What follows the closing delimiter's line is ignored. Anything but padding on that line is
//!   refused, as it may as well be part of the file.
//!
//! This module never waits, reads or writes, and never decides what a field means.

mod boundary;
mod continued;
mod delimiter;
mod derived;
mod disposition;
mod envelope;
mod head;
mod malformed;
mod parameters;
mod parser;

pub use boundary::{Boundary, is_form};
pub use derived::FormEnding;
pub use disposition::file_name;
pub use envelope::form_inside;
pub use head::PartHead;
pub use parser::{FormEvent, FormParser, HEAD_LIMIT, PARTS_LIMIT};
