//! Faults on demand: what goes wrong, where, and how often. In JSON as in Rust.

mod effect;
mod fault;
pub(super) mod pending;

pub use super::operation::SandboxOperation;
pub use fault::Fault;
