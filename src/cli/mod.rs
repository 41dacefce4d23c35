//! The command line.

mod config;
mod dev;
mod health;
mod key;
mod sandbox;
mod serve;
mod stop;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::telemetry::log_output::say;

/// How long the end waits for blocking work: a resolver that hangs, a file on a mount that is gone.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Moves media in and out of eGain Conversation Manager with one plain HTTP call.
#[derive(Debug, Parser)]
#[command(name = "asset-gateway", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service.
    Serve(Settings),
    /// Runs the service with an embedded eGain stand-in on loopback; needs no settings.
    Dev(dev::DevArgs),
    /// Runs the eGain stand-in alone, for the tests of adapters.
    Sandbox(sandbox::SandboxArgs),
    /// Asks a running service on this machine whether it is alive; for a container without a shell.
    Health(Settings),
    /// Keys of callers.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Shows the effective settings, secrets hidden.
    Config(Settings),
}

#[derive(Debug, clap::Args)]
struct Settings {
    /// The settings' TOML file; else the one that ASSET_GATEWAY_CONFIG names.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(settings) => serve::run(settings.config.as_deref()),
        Command::Dev(dev) => dev::run(&dev),
        Command::Sandbox(stand) => sandbox::run(&stand),
        Command::Health(settings) => health::run(settings.config.as_deref()),
        Command::Key(command) => key::run(&command),
        Command::Config(settings) => config::run(settings.config.as_deref()),
    }
}

/// Runs a command's future on a runtime of its own; a failure is one or more lines on standard
/// error.
fn block_on<E: std::fmt::Display>(command: impl Future<Output = Result<ExitCode, E>>) -> ExitCode {
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
