//! The body type that crosses module boundaries.

use bytes::Bytes;
use http_body_util::combinators;

use crate::types::error::Error;

/// A body whose layers no longer matter, with the gateway's own error.
pub type BoxBody = combinators::BoxBody<Bytes, Error>;
