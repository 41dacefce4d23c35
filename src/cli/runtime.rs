//! The async runtime that a command runs on.

use std::process::ExitCode;
use std::time::Duration;

use crate::telemetry::log_output::say;

/// How long the end waits for blocking work: a resolver that hangs, a file on a mount that is gone.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Runs a command's future on a runtime of its own; a failure is one or more lines on standard
/// error.
pub(super) fn block_on<E: std::fmt::Display>(
    command: impl Future<Output = Result<ExitCode, E>>,
) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(command).map_err(|error| error.to_string());
            runtime.shutdown_timeout(LAST_WORK);
            outcome
        }
        Err(error) => Err(format!("can't start: {error}")),
    };
    outcome.unwrap_or_else(|error| {
        say(&error);
        ExitCode::FAILURE
    })
}
