//! The service as a whole: from settings to listeners, and from the stop signal to the end
//! (graceful shutdown).

mod background;
mod bind;
mod descriptors;
mod error;
mod reload;
mod run;

pub use bind::{BoundService, bind, bind_with};
pub use error::StartError;
pub use run::ShutdownOutcome;
