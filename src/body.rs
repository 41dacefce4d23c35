//! Bodies in, bodies out: adapters over `http_body::Body`, one a file.
//!
//! Every adapter carries [`Error`] as its error, so that a failure keeps its meaning on the way
//! through hyper. No adapter holds more than it says in its own documentation.

pub mod arrival;
mod box_body;
pub mod compact;
pub mod digest;
pub mod exact_length;
pub mod frame_gate;
pub mod in_span;
pub mod min_rate;
pub mod multipart;
pub mod observed;
pub mod paced;
pub mod peek;
pub mod request_body;

pub use box_body::BoxBody;
