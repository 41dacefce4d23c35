//! `asset-gateway dev`.
use std::process::ExitCode;
#[derive(Debug, clap::Args)]
pub struct Dev {}
pub fn run(_: &Dev) -> ExitCode {
    ExitCode::SUCCESS
}
