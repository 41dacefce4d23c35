//! What the service tells about itself, and how it is told to stop or that a file has changed.

pub mod changes;
pub mod drain;
mod json_line;
pub mod log_output;
pub mod metrics;
pub mod telemetry;
pub mod transfer;
pub mod upstream;
