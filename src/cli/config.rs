//! `asset-gateway config`.

use std::path::Path;
use std::process::ExitCode;

use crate::config::Settings;
use crate::telemetry::log_output::say;

/// Shows the effective settings; what `serve` still requires goes to standard error.
pub(super) fn run(file: Option<&Path>) -> ExitCode {
    let settings = match Settings::load(file) {
        Ok(settings) => settings,
        Err(mistakes) => {
            say(&mistakes.to_string());
            return ExitCode::FAILURE;
        }
    };
    print!("{}", settings.render());
    match settings.for_serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(mistakes) => {
            say(&mistakes.to_string());
            ExitCode::FAILURE
        }
    }
}
