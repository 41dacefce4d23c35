//! `asset-gateway accounts` and `channels`: operators' work at eGain, through a gateway.

mod account_changes;
mod account_edit;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

use super::client::client_error::{ClientError, FailureKind};
use super::client::client_options::{ClientOptions, EXIT_CODES};
use super::client::command_output::{print_line, printable};
use super::client::command_run::run_command;
use super::client::gateway_client::{GatewayClient, fetch, read_json, send};
use super::client::retry::retrying;
use crate::egain::accounts::{Account, AccountVariant, without_secrets};
use crate::telemetry::log_output::say;
use account_changes::changes;
use account_edit::AccountEdit;

#[derive(Debug, Subcommand)]
pub(super) enum AccountsCommand {
    /// Lists the accounts: id, name, address, and whether they are active.
    List(ListArgs),
    /// Prints an account, without its secrets.
    Show(ShowArgs),
    /// Creates an account.
    Create(Box<CreateArgs>),
    /// Changes what is given of an account, and only if nobody else changed it meanwhile.
    Update(Box<UpdateArgs>),
    /// Deletes accounts.
    Delete(DeleteArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum ChannelsCommand {
    /// Lists the channels: id, name and type.
    List(ListArgs),
    /// Prints a channel.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct ListArgs {
    /// Which page, from 1.
    #[arg(long, requires = "page_size")]
    page: Option<u32>,
    /// How many a page has. Without it, eGain decides.
    #[arg(long)]
    page_size: Option<u32>,
    #[command(flatten)]
    options: ClientOptions,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct ShowArgs {
    /// Its id.
    id: String,
    #[command(flatten)]
    options: ClientOptions,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    edit: AccountEdit,
    /// Checks the account and prints it, and creates nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: ClientOptions,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct UpdateArgs {
    /// The account's id.
    id: String,
    #[command(flatten)]
    edit: AccountEdit,
    /// Checks the account and prints the changes, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: ClientOptions,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct DeleteArgs {
    /// The account's id.
    id: String,
    /// Prints the account, and deletes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: ClientOptions,
}

/// Does what the command line says.
pub(super) fn run(command: &AccountsCommand) -> ExitCode {
    match command {
        AccountsCommand::List(args) => {
            run_command(args.options.json, list(args, "accounts", account_line))
        }
        AccountsCommand::Show(args) => run_command(args.options.json, show(args, "accounts")),
        AccountsCommand::Create(args) => run_command(args.options.json, create(args)),
        AccountsCommand::Update(args) => run_command(args.options.json, update(args)),
        AccountsCommand::Delete(args) => run_command(args.options.json, delete(args)),
    }
}

/// Does what the command line says.
pub(super) fn run_channels(command: &ChannelsCommand) -> ExitCode {
    match command {
        ChannelsCommand::List(args) => {
            run_command(args.options.json, list(args, "channels", channel_line))
        }
        ChannelsCommand::Show(args) => run_command(args.options.json, show(args, "channels")),
    }
}

async fn list(
    args: &ListArgs,
    what: &str,
    line: fn(&Value) -> String,
) -> Result<ExitCode, ClientError> {
    let client = GatewayClient::new(&args.options)?;
    let numbers = [("$pagenum", args.page), ("$pagesize", args.page_size)]
        .map(|(name, number)| Some((name, number?.to_string())));
    let query: Vec<_> = numbers
        .iter()
        .flatten()
        .map(|(name, number)| (*name, number.as_str()))
        .collect();
    let call = async || fetch(client.request(Method::GET, &[what], &query)).await;
    let found: Value = retrying(args.options.wait, say, call).await?;
    if args.options.json {
        print_line(&found.to_string());
    } else {
        for each in items(&found) {
            print_line(&line(each));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// eGain's documents use the singular for lists; another implementation may well use the plural.
fn items(list: &Value) -> impl Iterator<Item = &Value> {
    ["account", "accounts", "channel", "channels"]
        .iter()
        .filter_map(|key| list[key].as_array())
        .flatten()
}

fn account_line(account: &Value) -> String {
    let active = if account["active"] == false {
        "inactive"
    } else {
        "active"
    };
    let cells = ["id", "name", "address"].map(|key| cell(&account[key]));
    format!("{}\t{active}", cells.join("\t"))
}

fn channel_line(channel: &Value) -> String {
    ["id", "name", "type"]
        .map(|key| cell(&channel[key]))
        .join("\t")
}

fn cell(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}

async fn show(args: &ShowArgs, what: &str) -> Result<ExitCode, ClientError> {
    let client = GatewayClient::new(&args.options)?;
    let call = async || fetch(client.request(Method::GET, &[what, &args.id], &[])).await;
    let found: Value = retrying(args.options.wait, say, call).await?;
    print_document(&found, args.options.json);
    Ok(ExitCode::SUCCESS)
}

/// On one line for programs, indented for people.
fn print_document(document: &Value, json: bool) {
    print_line(&if json {
        document.to_string()
    } else {
        format!("{document:#}")
    });
}

/// A creation isn't repeated: eGain may have made the account although its response was lost.
async fn create(args: &CreateArgs) -> Result<ExitCode, ClientError> {
    let client = GatewayClient::new(&args.options)?;
    let mut document = args.edit.document()?;
    if let Some(kind) = &args.edit.channel_type {
        let id = channel_of_type(&client, kind).await?;
        document.insert("channel".to_owned(), json!({"id": id}));
    }
    if args.dry_run {
        check(&client, &document, None).await?;
        print_document(&without_secrets(document.into()), args.options.json);
        return Ok(ExitCode::SUCCESS);
    }
    let request = client.request(Method::POST, &["accounts"], &[]);
    let created: Value = fetch(with_json(request, &document.into())).await?;
    if args.options.json {
        print_line(&created.to_string());
    } else {
        print_line(&cell(&created["id"]));
    }
    Ok(ExitCode::SUCCESS)
}

async fn update(args: &UpdateArgs) -> Result<ExitCode, ClientError> {
    let client = GatewayClient::new(&args.options)?;
    let path = ["accounts", args.id.as_str()];
    let read = async || {
        let response = send(client.request(Method::GET, &path, &[])).await?;
        let version = response.headers().get(ETAG).cloned();
        Ok((read_json::<Map<String, Value>>(response).await?, version))
    };
    let (before, version) = retrying(args.options.wait, say, read).await?;
    let mut after = before.clone();
    args.edit.apply(&mut after)?;
    if let Some(kind) = &args.edit.channel_type {
        let id = channel_of_type(&client, kind).await?;
        after.insert("channel".to_owned(), json!({"id": id}));
    }
    let before = Value::from(before);
    let changes = changes(&before, &Value::from(after.clone()));
    if args.options.json {
        print_line(&json!({"id": args.id, "changes": changes, "dryRun": args.dry_run}).to_string());
    } else {
        for change in &changes {
            print_line(&change.to_string());
        }
    }
    if changes.is_empty() {
        say("nothing to change");
    } else if args.dry_run {
        check(&client, &after, Some(&before)).await?;
    } else {
        let mut request = client.request(Method::PUT, &path, &[]);
        if let Some(version) = version {
            request = request.header(IF_MATCH, version);
        }
        send(with_json(request, &after.into())).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn delete(args: &DeleteArgs) -> Result<ExitCode, ClientError> {
    let client = GatewayClient::new(&args.options)?;
    let path = ["accounts", args.id.as_str()];
    if args.dry_run {
        let call = async || fetch(client.request(Method::GET, &path, &[])).await;
        let found: Value = retrying(args.options.wait, say, call).await?;
        print_document(&found, args.options.json);
        return Ok(ExitCode::SUCCESS);
    }
    let call = async || send(client.request(Method::DELETE, &path, &[])).await;
    retrying(args.options.wait, say, call).await?;
    if args.options.json {
        print_line(&json!({"id": args.id, "deleted": true}).to_string());
    } else {
        print_line(&format!("{}\tdeleted", printable(&args.id)));
    }
    Ok(ExitCode::SUCCESS)
}

fn with_json(request: RequestBuilder, document: &Value) -> RequestBuilder {
    request
        .header(CONTENT_TYPE, "application/json")
        .body(document.to_string())
}

async fn channel_of_type(client: &GatewayClient, kind: &str) -> Result<String, ClientError> {
    let channels: Value = fetch(client.request(Method::GET, &["channels"], &[])).await?;
    let ids: Vec<&str> = items(&channels)
        .filter(|channel| channel["type"] == kind)
        .filter_map(|channel| channel["id"].as_str())
        .collect();
    match ids[..] {
        [id] => Ok(id.to_owned()),
        [] => Err(ClientError::failed(format!(
            "eGain has no channel of type {kind}: see asset-gateway channels list"
        ))),
        _ => Err(ClientError::failed(format!(
            "eGain has several channels of type {kind}, choose with --channel-id: {}",
            ids.join(", ")
        ))),
    }
}

/// The gateway's own rules for accounts, without a call that changes anything.
async fn check(
    client: &GatewayClient,
    document: &Map<String, Value>,
    current: Option<&Value>,
) -> Result<(), ClientError> {
    let variant = match document
        .get("channel")
        .and_then(|channel| channel["id"].as_str())
    {
        Some(id) => {
            let channel: Value = fetch(client.request(Method::GET, &["channels", id], &[])).await?;
            AccountVariant::of_channel(channel["type"].as_str().unwrap_or_default())
        }
        None => AccountVariant::Custom,
    };
    // A secret that stays isn't shown, and has some value.
    let document = with_stored_secrets(document);
    Account::read(&document, variant, current)
        .map(drop)
        .map_err(|mistakes| {
            let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            ClientError::new(FailureKind::Refused, told.join("; "))
        })
}

fn with_stored_secrets(document: &Map<String, Value>) -> Map<String, Value> {
    let mut document = document.clone();
    let attributes = document.get_mut("attributes").and_then(Value::as_array_mut);
    for attribute in attributes.into_iter().flatten() {
        if attribute["isSet"] == true && attribute["value"].is_null() {
            attribute["value"] = json!("stored");
        }
    }
    document
}
