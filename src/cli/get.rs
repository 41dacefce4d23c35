//! `asset-gateway get`: fetches a file.

mod file_download;
mod part_file;
mod target_name;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use reqwest::Method;
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, HeaderName};
use serde_json::json;

use super::client::client_error::{ClientError, FailureKind};
use super::client::client_options::{ClientOptions, EXIT_CODES};
use super::client::command_output::printable;
use super::client::command_run::run_command;
use super::client::gateway_client::{GatewayClient, send};
use super::client::retry::retrying;
use super::client::transfer_progress::ProgressDisplay;
use file_download::{DownloadSink, FileDownload};
use part_file::PartFile;
use target_name::safe_name;

/// The name of standard output.
const STANDARD_OUTPUT: &str = "-";

#[derive(Debug, Args)]
#[command(
    after_help = EXIT_CODES,
    long_about = "Fetches a file through a gateway.\n\nWhat has arrived of it is in FILE.part, and \
                  the next get of the same id goes on from there."
)]
pub(super) struct GetArgs {
    /// The asset's id.
    id: String,
    /// Where to write it: a file, a folder, or - for standard output. Default: the asset's own
    /// name in the current folder.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrites a file that exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    options: ClientOptions,
}

/// Fetches the file, or what is missing of it.
pub(super) fn run(args: &GetArgs) -> ExitCode {
    run_command(args.options.json, get(args))
}

/// What is known before the first byte.
struct RemoteFile {
    name: String,
    size: Option<u64>,
}

async fn get(args: &GetArgs) -> Result<ExitCode, ClientError> {
    let to_output = args.output.as_deref() == Some(Path::new(STANDARD_OUTPUT));
    if to_output && args.options.json {
        let detail = "--json and -o - both write to standard output: choose one";
        return Err(ClientError::new(FailureKind::Usage, detail));
    }
    let client = GatewayClient::new(&args.options)?;
    let display = ProgressDisplay::new();
    let wait = args.options.wait;
    let describe = async || describe(&client, &args.id).await;
    let remote = retrying(wait, |line| display.say(line), describe).await?;
    let target = target(args, &remote.name);
    let sink = if to_output {
        DownloadSink::output()
    } else {
        let part = PartFile::open(&target, &args.id, args.force).await?;
        DownloadSink::Part(part)
    };
    let mut download = FileDownload {
        client: &client,
        id: &args.id,
        size: remote.size,
        wait,
        progress: display.transfer(&target.to_string_lossy(), remote.size.unwrap_or_default()),
        sink,
    };
    let size = download.run().await?;
    if let DownloadSink::Part(part) = download.sink {
        part.finish().await?;
        let file = target.to_string_lossy();
        if args.options.json {
            display.print(&json!({"id": args.id, "file": file, "size": size}).to_string());
        } else {
            display.print(&format!("{}\t{size}", printable(&file)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn describe(client: &GatewayClient, id: &str) -> Result<RemoteFile, ClientError> {
    let request = client.request(Method::HEAD, &["assets", id, "content"], &[]);
    let response = match send(request).await {
        // The response to a HEAD has no document that says why.
        Err(error) if error.code().is_none() && error.is_response() => {
            send(client.request(Method::GET, &["assets", id], &[])).await?;
            return Err(error);
        }
        sent => sent?,
    };
    let header = |name: HeaderName| response.headers().get(name);
    let disposition = header(CONTENT_DISPOSITION).map(|value| value.as_bytes());
    let size = header(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(RemoteFile {
        name: safe_name(disposition.unwrap_or_default(), id),
        size,
    })
}

fn target(args: &GetArgs, name: &str) -> PathBuf {
    match &args.output {
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(file) => file.clone(),
        None => PathBuf::from(name),
    }
}
