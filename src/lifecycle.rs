//! When the service stops (graceful shutdown), and when its files have changed (reload).

pub mod file_watcher;
pub mod shutdown;
