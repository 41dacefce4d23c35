//! How a listener stops (graceful shutdown).

use tokio_util::sync::CancellationToken;

/// How serving ends, step by step.
#[derive(Debug, Clone)]
pub struct ShutdownTokens {
    /// HTTP/2 connections get a GOAWAY; HTTP/1.1 ones get `Connection: close` with their responses.
    pub not_ready: CancellationToken,
    /// The listener closes, idle connections close, and requests in flight finish.
    pub close: CancellationToken,
    /// What is left is cut.
    pub abort: CancellationToken,
}

impl ShutdownTokens {
    /// Without a time in which connections are shut down while new ones are still accepted.
    pub fn new(close: CancellationToken, abort: CancellationToken) -> Self {
        Self {
            not_ready: close.clone(),
            close,
            abort,
        }
    }
}
