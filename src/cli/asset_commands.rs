//! `asset-gateway url`, `rm` and `limits`: small calls of a gateway.

use std::process::ExitCode;

use clap::Args;
use reqwest::Method;
use reqwest::header::CACHE_CONTROL;
use serde_json::{Value, json};

use super::client::client_error::ClientError;
use super::client::client_options::{ClientOptions, EXIT_CODES};
use super::client::command_output::{print_line, printable};
use super::client::command_run::run_command;
use super::client::gateway_client::{GatewayClient, fetch, send};
use super::client::retry::retrying;
use crate::telemetry::log_output::say;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct UrlArgs {
    /// The asset's id.
    id: String,
    /// Gets a new URL from eGain, which spends a call of the budget.
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    options: ClientOptions,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct RmArgs {
    /// The assets' ids.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    options: ClientOptions,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct LimitsArgs {
    /// eGain's channel type, such as sms or whatsapp.
    #[arg(long)]
    channel: Option<String>,
    /// Who sends: customer, custom_bot, egain_bot, egain_agent or custom_agent.
    #[arg(long)]
    sender: Option<String>,
    #[command(flatten)]
    options: ClientOptions,
}

/// Prints the signed URL.
pub(super) fn url(args: &UrlArgs) -> ExitCode {
    run_command(args.options.json, async {
        let client = GatewayClient::new(&args.options)?;
        let call = async || {
            let mut request = client.request(Method::GET, &["assets", &args.id], &[]);
            if args.fresh {
                request = request.header(CACHE_CONTROL, "no-cache");
            }
            fetch(request).await
        };
        let asset: Value = retrying(args.options.wait, say, call).await?;
        if args.options.json {
            print_line(&asset.to_string());
        } else {
            let url = asset["contentUrl"].as_str().map(printable);
            print_line(&url.ok_or_else(|| ClientError::failed("the gateway gave no URL"))?);
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Deletes each asset, and says of each what became of it.
pub(super) fn rm(args: &RmArgs) -> ExitCode {
    run_command(args.options.json, async {
        let client = GatewayClient::new(&args.options)?;
        let mut code = ExitCode::SUCCESS;
        for id in &args.ids {
            let call = async || send(client.request(Method::DELETE, &["assets", id], &[])).await;
            let deleted = retrying(args.options.wait, say, call).await;
            if let Err(error) = report_deletion(args, id, deleted.map(drop))
                && code == ExitCode::SUCCESS
            {
                code = error.exit_code();
            }
        }
        Ok(code)
    })
}

fn report_deletion(
    args: &RmArgs,
    id: &str,
    deleted: Result<(), ClientError>,
) -> Result<(), ClientError> {
    let shown = printable(id);
    match &deleted {
        Ok(()) if args.options.json => print_line(&json!({"id": id, "deleted": true}).to_string()),
        Ok(()) => print_line(&format!("{shown}\tdeleted")),
        Err(error) => {
            if args.options.json {
                let failure = json!({"id": id, "deleted": false, "error": error.to_json()});
                print_line(&failure.to_string());
            }
            say(&format!("{shown}: {error}"));
        }
    }
    deleted
}

/// Prints what may be sent.
pub(super) fn limits(args: &LimitsArgs) -> ExitCode {
    run_command(args.options.json, async {
        let client = GatewayClient::new(&args.options)?;
        let fields = [("channel", &args.channel), ("sender", &args.sender)];
        let query: Vec<(&str, &str)> = fields
            .iter()
            .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
            .collect();
        let call = async || fetch(client.request(Method::GET, &["limits"], &query)).await;
        let limits: Value = retrying(args.options.wait, say, call).await?;
        if args.options.json {
            print_line(&limits.to_string());
        } else {
            limit_lines(&limits)
                .iter()
                .for_each(|line| print_line(line));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// A line for each kind of media: the largest file, whose limit that is, and the types.
fn limit_lines(limits: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if limits["attachments"] == false {
        lines.push("the channel takes no attachments".to_owned());
    }
    for (kind, rule) in limits["kinds"].as_object().into_iter().flatten() {
        let mut line = format!(
            "{kind}\t{} bytes\t{}",
            rule["maxSize"],
            text(&rule["source"])
        );
        if let Some(types) = list(&rule["allowedTypes"]) {
            line.push_str(&format!("\t{types}"));
        }
        lines.push(printable_tabs(&line));
    }
    for (key, what) in [
        ("allowedExtensions", "only these extensions"),
        ("blockedExtensions", "not these extensions"),
    ] {
        if let Some(extensions) = list(&limits[key]) {
            lines.push(format!("{what}: {}", printable(&extensions)));
        }
    }
    lines
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> Option<String> {
    let texts: Vec<&str> = value.as_array()?.iter().filter_map(Value::as_str).collect();
    Some(texts.join(", "))
}

fn printable_tabs(line: &str) -> String {
    let cells: Vec<String> = line.split('\t').map(printable).collect();
    cells.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_a_line_for_each_kind() {
        let limits = json!({
            "attachments": true,
            "kinds": {
                "image": {"maxSize": 5, "source": "setting", "allowedTypes": ["image/png"]},
                "other": {"maxSize": 7, "source": "egain"},
            },
            "allowedExtensions": ["pdf", "png"],
        });
        assert_eq!(
            limit_lines(&limits),
            [
                "image\t5 bytes\tsetting\timage/png",
                "other\t7 bytes\tegain",
                "only these extensions: pdf, png",
            ]
        );
    }
}
