//! What a command line says of an account, as a document of the Account API.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::client::client_error::{ClientError, FailureKind};
use crate::egain::accounts::is_secret;

/// More than any account or secret has.
const LONGEST_FILE: u64 = 64 * 1024;

/// The fields of an account that are given; options are applied over the file.
#[derive(Debug, Args)]
pub(super) struct AccountEdit {
    /// The account as JSON, or some of its fields; - is standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Its name.
    #[arg(long)]
    name: Option<String>,
    /// Its address at the provider: a phone number, a page, or free text for a channel of your own.
    #[arg(long)]
    address: Option<String>,
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// Its channel by type, such as sms_twilio, whatsapp or custom.teams.
    #[arg(long = "channel", value_name = "TYPE", conflicts_with = "channel_id")]
    pub channel_type: Option<String>,
    /// Its channel by id.
    #[arg(long, value_name = "ID")]
    channel_id: Option<String>,
    /// Whether it takes messages.
    #[arg(long)]
    active: Option<bool>,
    /// The orchestration that chats begin with.
    #[arg(long, value_name = "ID")]
    orchestration: Option<String>,
    /// The entry point that chats begin at.
    #[arg(long, value_name = "ID")]
    entry_point: Option<String>,
    /// Minutes without a message after which a chat ends.
    #[arg(long, value_name = "MINUTES")]
    chat_timeout: Option<u64>,
    /// The language of chats, such as en-US.
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
    /// Minutes within which messages belong to one case.
    #[arg(long, value_name = "MINUTES")]
    case_duration: Option<u64>,
    /// What the provider needs, such as accountSid=AC1 for Twilio.
    #[arg(long, value_name = "NAME=VALUE")]
    attribute: Vec<NamedValue>,
    /// A secret that the provider needs, read from a file, such as authToken=/run/secrets/twilio.
    #[arg(long, value_name = "NAME=FILE")]
    secret: Vec<NamedValue>,
}

/// `name=value`.
#[derive(Debug, Clone)]
struct NamedValue {
    name: String,
    value: String,
}

impl FromStr for NamedValue {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("expected NAME=VALUE"),
        }
    }
}

impl AccountEdit {
    /// A new account.
    pub(super) fn document(&self) -> Result<Map<String, Value>, ClientError> {
        let mut document = Map::new();
        self.apply(&mut document)?;
        Ok(document)
    }

    /// Changes what is given. In a file, `null` removes a field (RFC 7396).
    pub(super) fn apply(&self, document: &mut Map<String, Value>) -> Result<(), ClientError> {
        if let Some(file) = &self.file {
            merge(document, parse(&read(file)?)?);
        }
        let texts = [
            ("/name", &self.name),
            ("/address", &self.address),
            ("/description", &self.description),
            ("/channel/id", &self.channel_id),
            ("/chatConfigurations/orchestration/id", &self.orchestration),
            ("/chatConfigurations/entryPoint/id", &self.entry_point),
            ("/chatConfigurations/defaultLanguage", &self.language),
        ];
        for (path, text) in texts {
            set(document, path, text.as_ref().map(|text| json!(text)));
        }
        let numbers = [
            ("/chatConfigurations/timeout", self.chat_timeout),
            ("/caseManagement/sameCaseDuration", self.case_duration),
        ];
        for (path, number) in numbers {
            set(document, path, number.map(|number| json!(number)));
        }
        set(document, "/active", self.active.map(|active| json!(active)));
        for NamedValue { name, value } in &self.attribute {
            if is_secret(name) {
                return Err(ClientError::new(
                    FailureKind::Usage,
                    format!(
                        "{name} is a secret, which others see on a command line: put it into \
                             a file and use --secret {name}=FILE"
                    ),
                ));
            }
            set_attribute(document, name, value);
        }
        for NamedValue { name, value } in &self.secret {
            set_attribute(document, name, read(Path::new(value))?.trim_end());
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, ClientError> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().take(LONGEST_FILE).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(LONGEST_FILE).read_to_string(&mut text))
    };
    read.map_err(|error| {
        ClientError::failed(format!("{} can't be read: {error}", path.display()))
    })?;
    Ok(text)
}

/// serde's own message may quote the input.
fn parse(text: &str) -> Result<Map<String, Value>, ClientError> {
    serde_json::from_str(text).map_err(|error| {
        ClientError::failed(format!(
            "--file isn't a JSON object: line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

fn merge(into: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match (value, into.get_mut(&name)) {
            (Value::Null, _) => {
                into.remove(&name);
            }
            (Value::Object(patch), Some(Value::Object(inner))) => merge(inner, patch),
            (value, _) => {
                into.insert(name, value);
            }
        }
    }
}

/// Sets the field at a path such as `/channel/id`.
fn set(document: &mut Map<String, Value>, path: &str, value: Option<Value>) {
    let Some(value) = value else {
        return;
    };
    let patch = path
        .split('/')
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .fold(value, |inner, name| json!({name: inner}));
    if let Value::Object(patch) = patch {
        merge(document, patch);
    }
}

fn set_attribute(document: &mut Map<String, Value>, name: &str, value: &str) {
    let attributes = document.entry("attributes").or_insert_with(|| json!([]));
    let Some(attributes) = attributes.as_array_mut() else {
        return;
    };
    let new = json!({"name": name, "value": value});
    match attributes
        .iter_mut()
        .find(|attribute| attribute["name"] == name)
    {
        Some(attribute) => *attribute = new,
        None => attributes.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        edit: AccountEdit,
    }

    fn edited(arguments: &[&str], mut document: Value) -> Result<Value, ClientError> {
        let line = Line::try_parse_from(["x"].iter().chain(arguments)).unwrap();
        line.edit.apply(document.as_object_mut().unwrap())?;
        Ok(document)
    }

    #[test]
    fn options_set_their_fields_and_leave_the_others() {
        let before = json!({"name": "a", "channel": {"id": "1"}, "beyond": true,
            "attributes": [{"name": "authToken", "isSet": true}, {"name": "b", "value": "1"}]});
        let arguments = [
            "--name",
            "c",
            "--chat-timeout",
            "300",
            "--attribute",
            "b=2=3",
        ];
        assert_eq!(
            edited(&arguments, before).unwrap(),
            json!({"name": "c", "channel": {"id": "1"}, "beyond": true,
            "chatConfigurations": {"timeout": 300},
            "attributes": [
                {"name": "authToken", "isSet": true},
                {"name": "b", "value": "2=3"},
            ]})
        );
    }

    #[test]
    fn a_secret_comes_from_a_file_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hunter2\n").unwrap();
        let from_file = format!("authToken={}", file.path().display());
        assert_eq!(
            edited(&["--secret", &from_file], json!({})).unwrap(),
            json!({"attributes": [{"name": "authToken", "value": "hunter2"}]})
        );
        let error = edited(&["--attribute", "authToken=hunter2"], json!({})).unwrap_err();
        assert_eq!(error.kind, FailureKind::Usage);
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn a_file_changes_some_fields_and_null_removes_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let patch = json!({"description": null, "chatConfigurations": {"timeout": 5}});
        fs::write(file.path(), patch.to_string()).unwrap();
        let before = json!({"description": "a", "chatConfigurations": {"timeout": 4, "x": 1}});
        let path = file.path().to_str().unwrap();
        assert_eq!(
            edited(&["--file", path], before).unwrap(),
            json!({"chatConfigurations": {"timeout": 5, "x": 1}})
        );
    }
}
