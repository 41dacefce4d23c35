//! `asset-gateway put`: stores files.

mod file_upload;
mod source_file;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, value_parser};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::client::client_error::{ClientError, FailureKind};
use super::client::client_options::{ClientOptions, EXIT_CODES};
use super::client::command_output::printable;
use super::client::command_run::run_command;
use super::client::gateway_client::GatewayClient;
use super::client::transfer_progress::ProgressDisplay;
use crate::telemetry::log_output::say;
use file_upload::{FileUpload, UploadFields};
use source_file::SourceFile;

/// The name of standard input.
const STANDARD_INPUT: &str = "-";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct PutArgs {
    /// Files to store; - is standard input, which is written to a temporary file first.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// eGain's channel type, such as sms or whatsapp.
    #[arg(long)]
    channel: String,
    /// Who sends.
    #[arg(
        long,
        value_parser = ["customer", "custom_bot", "egain_bot", "egain_agent", "custom_agent"]
    )]
    sender: Option<String>,
    /// The name to store one file under, in place of its own.
    #[arg(long)]
    name: Option<String>,
    /// The key of one file's upload. Without it, one is made of the file's digest and fields, so
    /// that the same command stores the same file once in 24 hours.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How many files are sent at a time.
    #[arg(
        long,
        default_value_t = 3,
        value_name = "FILES",
        value_parser = value_parser!(u8).range(1..=16)
    )]
    parallel: u8,
    #[command(flatten)]
    options: ClientOptions,
}

/// Stores each file, and says of each what became of it.
pub(super) fn run(args: &PutArgs) -> ExitCode {
    if let Err(mistake) = args.check() {
        say(&mistake.to_string());
        return mistake.exit_code();
    }
    run_command(args.options.json, put(args))
}

impl PutArgs {
    fn check(&self) -> Result<(), ClientError> {
        let wrong = |detail| Err(ClientError::new(FailureKind::Usage, detail));
        let is_input = |file: &&PathBuf| file.as_path() == Path::new(STANDARD_INPUT);
        let inputs = self.files.iter().filter(is_input).count();
        if self.files.len() > 1 && self.name.is_some() {
            return wrong("--name is for one file: give each its own put");
        }
        if self.files.len() > 1 && self.idempotency_key.is_some() {
            return wrong("--idempotency-key is for one file: give each its own put");
        }
        if inputs > 0 && self.name.is_none() {
            return wrong("standard input has no name: give one with --name");
        }
        Ok(())
    }

    fn fields(&self) -> UploadFields {
        UploadFields {
            channel: self.channel.clone(),
            sender: self.sender.clone(),
            idempotency_key: self.idempotency_key.clone(),
            wait: self.options.wait,
        }
    }
}

async fn put(args: &PutArgs) -> Result<ExitCode, ClientError> {
    let client = GatewayClient::new(&args.options)?;
    let display = ProgressDisplay::new();
    let uploads = args.files.iter().map(async |path| {
        let outcome = put_one(args, &client, &display, path).await;
        report(args, &display, path, &outcome);
        outcome.err()
    });
    let failures: Vec<_> = stream::iter(uploads)
        .buffered(args.parallel.into())
        .filter_map(async |failure| failure)
        .collect()
        .await;
    let first = failures.first().map(ClientError::exit_code);
    Ok(first.unwrap_or(ExitCode::SUCCESS))
}

async fn put_one(
    args: &PutArgs,
    client: &GatewayClient,
    display: &ProgressDisplay,
    path: &Path,
) -> Result<Value, ClientError> {
    let source = if path == Path::new(STANDARD_INPUT) {
        SourceFile::spool_input(args.name.as_deref()).await?
    } else {
        SourceFile::open(path, args.name.as_deref()).await?
    };
    let upload = FileUpload {
        client,
        fields: args.fields(),
        progress: display.transfer(&source.label, source.size),
        source,
    };
    upload.run().await
}

fn report(
    args: &PutArgs,
    display: &ProgressDisplay,
    path: &Path,
    outcome: &Result<Value, ClientError>,
) {
    let file = path.to_string_lossy();
    match outcome {
        Ok(receipt) if args.options.json => {
            let mut shown = receipt.clone();
            shown["file"] = json!(file);
            display.print(&shown.to_string());
        }
        Ok(receipt) => {
            let text = |key: &str| printable(receipt[key].as_str().unwrap_or_default());
            display.print(&format!(
                "{}\t{}\t{}\t{}",
                text("id"),
                text("name"),
                text("contentType"),
                receipt["size"]
            ));
        }
        Err(error) => {
            if args.options.json {
                display.print(&json!({"file": file, "error": error.to_json()}).to_string());
            }
            display.say(&format!("{}: {error}", printable(&file)));
        }
    }
}
