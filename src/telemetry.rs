//! Metrics and logs.

mod json_line;
pub mod log_output;
pub mod logging;
pub mod metrics;
pub mod traces;
pub mod transfer;
pub mod upstream;
