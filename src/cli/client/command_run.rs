//! A client command from its start to its exit code.

use std::process::ExitCode;

use serde_json::json;

use super::client_error::ClientError;
use super::command_output::print_line;
use crate::cli::runtime::block_on;
use crate::telemetry::log_output::say;

/// Runs it. A failure is one line on standard error, and with `--json` a document on standard
/// output.
pub(in crate::cli) fn run_command(
    json: bool,
    command: impl Future<Output = Result<ExitCode, ClientError>>,
) -> ExitCode {
    block_on(async {
        let outcome = command.await;
        Ok(outcome.unwrap_or_else(|error| failed(json, &error)))
    })
}

fn failed(json: bool, error: &ClientError) -> ExitCode {
    if json {
        print_line(&json!({"error": error.to_json()}).to_string());
    }
    say(&error.to_string());
    error.exit_code()
}
