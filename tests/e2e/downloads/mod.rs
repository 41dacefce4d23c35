//! Files on their way back, and what is known of an asset.

mod broken;
mod cacheable;
pub(crate) mod content;
mod delete;
mod foreign_answers;
pub(crate) mod leaving;
pub(crate) mod metadata;
mod pending;
mod ranges;
mod refused;
mod steady;
