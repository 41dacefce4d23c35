//! `asset-gateway key new`.

use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use sha2::{Digest, Sha256};

use crate::telemetry::log_output::say;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Makes a caller's key, and the settings entry with its hash.
    New(New),
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// The caller's name in settings and logs.
    #[arg(long, default_value = "my-adapter")]
    id: String,
    /// What it may do: reader, adapter or operator.
    #[arg(long, default_value = "adapter", value_parser = ["reader", "adapter", "operator"])]
    role: String,
}

/// Prints both; nothing is stored.
pub(super) fn run(KeyCommand::New(new): &KeyCommand) -> ExitCode {
    let mut random = [0; 32];
    if let Err(error) = getrandom::fill(&mut random) {
        say(&format!("the system has no randomness: {error}"));
        return ExitCode::FAILURE;
    }
    let key = format!("agw_{}", URL_SAFE_NO_PAD.encode(random));
    println!("# Give this key to the caller over a safe channel; it is stored nowhere:\n{key}\n");
    println!("# And this into the gateway's settings file:");
    println!(
        "[[auth.keys]]\nid = {:?}\nsha256 = {:?}\nrole = {:?}",
        new.id,
        hex::encode(Sha256::digest(&key)),
        new.role
    );
    ExitCode::SUCCESS
}
