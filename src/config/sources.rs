//! Where values come from: a TOML file, and the environment over it.

pub(super) mod environment;
pub(super) mod file;
pub(super) mod reader;
pub(super) mod value;
