//! The command line.

mod accounts;
mod asset_commands;
mod check;
mod client;
mod config;
#[cfg(feature = "sandbox")]
mod dev;
mod documentation;
mod get;
mod health;
mod key;
mod probe_ingress;
mod put;
mod runtime;
#[cfg(feature = "sandbox")]
mod sandbox;
mod serve;
mod stop;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// The release, and the commit that it was built from.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("ASSET_GATEWAY_COMMIT"),
    ")"
);

/// Moves media in and out of eGain Conversation Manager with one plain HTTP call.
#[derive(Debug, Parser)]
#[command(name = "asset-gateway", version = VERSION)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service.
    Serve(Settings),
    /// Runs the service with an embedded eGain stand-in on loopback; needs no settings.
    #[cfg(feature = "sandbox")]
    Dev(dev::DevArgs),
    /// Runs the eGain stand-in alone, for the tests of adapters.
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxArgs),
    /// Checks that a running service on this machine is alive; for a container without a shell.
    Health(Settings),
    /// Keys of callers.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Shows what an ingress or proxy in front of a gateway does to bodies, and what to change.
    ProbeIngress(probe_ingress::ProbeIngressArgs),
    /// Says whether a gateway of these settings works, and if not, why.
    Check(check::CheckArgs),
    /// Stores files through a gateway.
    Put(put::PutArgs),
    /// Fetches a file through a gateway, or what is missing of it.
    Get(get::GetArgs),
    /// Prints an asset's signed URL.
    Url(asset_commands::UrlArgs),
    /// Deletes assets.
    Rm(asset_commands::RmArgs),
    /// Prints what may be sent to a channel.
    Limits(asset_commands::LimitsArgs),
    /// Accounts at eGain, for operators.
    #[command(subcommand)]
    Accounts(accounts::AccountsCommand),
    /// Channels at eGain, for operators.
    #[command(subcommand)]
    Channels(accounts::ChannelsCommand),
    /// Prints a script that lets a shell complete command lines.
    Completions(documentation::CompletionsArgs),
    /// Prints a manual page, for man -l -.
    Man(documentation::ManArgs),
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
        #[cfg(feature = "sandbox")]
        Command::Dev(dev) => dev::run(&dev),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(stand) => sandbox::run(&stand),
        Command::Health(settings) => health::run(settings.config.as_deref()),
        Command::Key(command) => key::run(&command),
        Command::ProbeIngress(args) => probe_ingress::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Put(args) => put::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Url(args) => asset_commands::url(&args),
        Command::Rm(args) => asset_commands::rm(&args),
        Command::Limits(args) => asset_commands::limits(&args),
        Command::Accounts(command) => accounts::run(&command),
        Command::Channels(command) => accounts::run_channels(&command),
        Command::Completions(args) => documentation::completions(&args, Cli::command()),
        Command::Man(args) => documentation::man(&args, Cli::command()),
        Command::Config(settings) => config::run(settings.config.as_deref()),
    }
}
