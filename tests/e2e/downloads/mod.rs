//! Files on their way back, and what is known of an asset.

mod broken;
mod cacheable;
pub mod content;
mod delete;
mod foreign_answers;
pub mod leaving;
pub mod metadata;
mod pending;
mod ranges;
mod refused;
mod steady;
