//! The body of an account, checked to the letter: the fields, limits and variants that eGain
//! documents.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::sandbox::reply::ApiRefusal;

/// What a field may hold.
enum Kind {
    /// Characters, at most.
    Text(usize),
    /// Of 36 characters.
    Id,
    Flag,
    /// From the first to the second.
    Whole(u64, u64),
    OneOf(&'static [&'static str]),
    /// A list of name and value.
    Attributes,
}

use Kind::{Attributes, Flag, Id, OneOf, Text, Whole};

/// Path, what it holds, and whether it has to be there.
const FIELDS: &[(&str, Kind, bool)] = &[
    ("name", Text(255), true),
    ("description", Text(1023), false),
    ("active", Flag, false),
    ("address", Text(255), true),
    ("channel.id", Id, true),
    ("caseManagement.sameCaseDuration", Whole(1, 10080), false),
    ("caseManagement.copyCustomAttributes", Flag, false),
    ("chatConfigurations.timeout", Whole(3, 10080), false),
    ("chatConfigurations.defaultLanguage", Text(255), false),
    (
        "chatConfigurations.onAgentUnavailability",
        OneOf(&["off_hours", "retain_and_retry"]),
        false,
    ),
    ("chatConfigurations.allowLogoutWithOpenChats", Flag, false),
    (
        "chatConfigurations.allowQueueTransferOnAgentUnavailability",
        Flag,
        false,
    ),
    ("chatConfigurations.orchestration.id", Id, true),
    ("chatConfigurations.entryPoint.id", Text(255), true),
    ("attributes", Attributes, false),
];

const MOST_ATTRIBUTES: usize = 10;

/// Channels whose accounts sign in at a provider.
const WITH_CREDENTIALS: [&str; 2] = ["sms_twilio", "whatsapp"];

/// The account, with its defaults filled in. `read_only` fields are let pass; `channel_type` gives
/// a channel's type by its id.
pub(super) fn check(
    json: &[u8],
    read_only: &[&str],
    channel_type: impl Fn(&str) -> Option<String>,
) -> Result<Map<String, Value>, ApiRefusal> {
    let mut account: Map<String, Value> = match serde_json::from_slice(json) {
        Ok(account) => account,
        Err(error) => return Err(invalid("body", &error.to_string())),
    };
    known_only("", &account, read_only)?;
    for (path, kind, required) in FIELDS {
        match at(&account, path) {
            Some(value) => kind.check(path, value)?,
            None if *required => return Err(missing(path)),
            None => {}
        }
    }
    let channel = at(&account, "channel.id").and_then(Value::as_str);
    let Some(channel) = channel.and_then(channel_type) else {
        return Err(invalid("channel.id", "there is no such channel"));
    };
    fits_channel(&account, &channel)?;
    fill_in(&mut account);
    Ok(account)
}

fn at<'v>(account: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    match path.split_once('.') {
        None => account.get(path),
        Some((first, rest)) => at(account.get(first)?.as_object()?, rest),
    }
}

/// Fields that aren't in the schema, at any depth.
fn known_only(
    above: &str,
    object: &Map<String, Value>,
    read_only: &[&str],
) -> Result<(), ApiRefusal> {
    for (name, value) in object {
        let path = format!("{above}{name}");
        let below = format!("{path}.");
        if read_only.contains(&path.as_str()) || FIELDS.iter().any(|(known, ..)| *known == path) {
            continue;
        }
        if !FIELDS.iter().any(|(known, ..)| known.starts_with(&below)) {
            return Err(refusal("400-420", "a field isn't in the schema").detail("attribute", path));
        }
        match value {
            Value::Object(inner) => known_only(&below, inner, read_only)?,
            _ => return Err(invalid(&path, "not an object")),
        }
    }
    Ok(())
}

impl Kind {
    fn check(&self, path: &str, value: &Value) -> Result<(), ApiRefusal> {
        let fits = match (self, value) {
            (Text(longest), value) => is_text(value, *longest),
            (Id, Value::String(id)) => id.len() == 36,
            (Flag, value) => value.is_boolean(),
            (Whole(least, most), value) => match value.as_u64() {
                Some(number) => (*least..=*most).contains(&number),
                None => false,
            },
            (OneOf(words), Value::String(word)) => words.contains(&word.as_str()),
            (Attributes, value) => are_attributes(value),
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(invalid(path, "outside of its limits"))
        }
    }
}

fn is_text(value: &Value, longest: usize) -> bool {
    match value {
        Value::String(text) => (1..=longest).contains(&text.chars().count()),
        _ => false,
    }
}

fn are_attributes(value: &Value) -> bool {
    let Some(list) = value.as_array() else {
        return false;
    };
    // A field that isn't there is null, and so is no text.
    let is_one = |value: &Value| is_text(&value["name"], 255) && is_text(&value["value"], 1023);
    (1..=MOST_ATTRIBUTES).contains(&list.len()) && list.iter().all(is_one)
}

/// Each provider's addresses look alike, and some need credentials.
fn fits_channel(account: &Map<String, Value>, channel: &str) -> Result<(), ApiRefusal> {
    let address = account["address"].as_str().unwrap_or_default();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = match channel {
        "sms_twilio" => address.strip_prefix('+').is_some_and(digits),
        "whatsapp" => digits(address),
        "google_business_messaging" => matches!(
            address.split('/').collect::<Vec<_>>()[..],
            ["brands", _, "agents", _]
        ),
        _ => true,
    };
    if !fits {
        return Err(invalid("address", "not as this channel's addresses are"));
    }
    if !WITH_CREDENTIALS.contains(&channel) {
        return Ok(());
    }
    let attributes = match account.get("attributes") {
        Some(Value::Array(attributes)) => attributes.as_slice(),
        _ => &[],
    };
    for name in ["accountSid", "authToken"] {
        if !attributes.iter().any(|attribute| attribute["name"] == name) {
            return Err(missing(&format!("attributes.{name}")));
        }
    }
    Ok(())
}

fn fill_in(account: &mut Map<String, Value>) {
    account.entry("active").or_insert(true.into());
    let Some(Value::Object(chat)) = account.get_mut("chatConfigurations") else {
        return;
    };
    let defaults: [(&str, Value); 5] = [
        ("timeout", 240.into()),
        ("defaultLanguage", "en-US".into()),
        ("onAgentUnavailability", "off_hours".into()),
        ("allowLogoutWithOpenChats", false.into()),
        ("allowQueueTransferOnAgentUnavailability", false.into()),
    ];
    for (name, value) in defaults {
        chat.entry(name).or_insert(value);
    }
}

fn missing(path: &str) -> ApiRefusal {
    refusal("400-143", "an attribute is missing").detail("attribute", path)
}

fn invalid(path: &str, why: &str) -> ApiRefusal {
    refusal("400-152", "an attribute has an invalid value")
        .detail("attribute", path)
        .detail("reason", why)
}

fn refusal(code: &'static str, message: &str) -> ApiRefusal {
    ApiRefusal::new(StatusCode::BAD_REQUEST, code, message)
}
