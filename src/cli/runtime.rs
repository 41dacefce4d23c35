//! The async runtime that a command runs on.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use crate::telemetry::log_output::say;

/// How long the end waits for blocking work: a resolver that hangs, a file on a mount that is gone.
const LAST_WORK: Duration = Duration::from_secs(1);

/// How a command ends: with its exit code, or with what went wrong.
pub(super) type CommandResult = Result<ExitCode, Box<dyn Error>>;

/// Runs a command's future on a runtime of its own; a failure is one or more lines on standard
/// error.
pub(super) fn block_on(command: impl Future<Output = CommandResult>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(command);
            runtime.shutdown_timeout(LAST_WORK);
            outcome
        }
        Err(error) => Err(format!("can't start: {error}").into()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
