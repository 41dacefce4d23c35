//! Bodies in, bodies out: adapters over `http_body::Body`, one a file.
//!
//! Every adapter carries [`Error`] as its error, so that a failure keeps its meaning on the way
//! through hyper. No adapter holds more than it says in its own documentation.

pub mod compact;
pub mod digest;
pub mod exact;
pub mod in_span;
pub mod inbound;
pub mod leash;
pub mod meter;
pub mod multipart;
pub mod pace;
pub mod peek;

use bytes::Bytes;
use http_body_util::combinators;

use crate::words::fault::Error;

/// A body whose layers don't matter any more.
pub type BoxBody = combinators::BoxBody<Bytes, Error>;
