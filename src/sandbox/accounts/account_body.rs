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

/// The account, with its defaults filled in. `read_only` fields are let pass; `channel_type` tells
/// a channel's type by its id.
pub(super) fn check(
    json: &[u8],
    read_only: &[&str],
    channel_type: impl Fn(&str) -> Option<String>,
) -> Result<Map<String, Value>, ApiRefusal> {
    let mut account: Map<String, Value> =
        serde_json::from_slice(json).map_err(|error| invalid("body", &error.to_string()))?;
    known_only("", &account, read_only)?;
    for (path, kind, required) in FIELDS {
        match at(&account, path) {
            Some(value) => kind.check(path, value)?,
            None if *required => return Err(missing(path)),
            None => {}
        }
    }
    let channel = at(&account, "channel.id")
        .and_then(Value::as_str)
        .and_then(channel_type);
    fits_channel(
        &account,
        &channel.ok_or_else(|| invalid("channel.id", "there is no such channel"))?,
    )?;
    fill_in(&mut account);
    Ok(account)
}

fn at<'v>(account: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = account.get(first)?;
    match rest {
        None => Some(value),
        Some(rest) => at(value.as_object()?, rest),
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
        known_only(
            &below,
            value
                .as_object()
                .ok_or_else(|| invalid(&path, "not an object"))?,
            read_only,
        )?;
    }
    Ok(())
}

impl Kind {
    fn check(&self, path: &str, value: &Value) -> Result<(), ApiRefusal> {
        let fits = match self {
            Text(longest) => is_text(value, *longest),
            Id => value.as_str().is_some_and(|id| id.len() == 36),
            Flag => value.is_boolean(),
            Whole(least, most) => value
                .as_u64()
                .is_some_and(|number| (*least..=*most).contains(&number)),
            OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Attributes => are_attributes(value),
        };
        if fits {
            Ok(())
        } else {
            Err(invalid(path, "outside of its limits"))
        }
    }
}

fn is_text(value: &Value, longest: usize) -> bool {
    value
        .as_str()
        .is_some_and(|text| (1..=longest).contains(&text.chars().count()))
}

fn are_attributes(value: &Value) -> bool {
    let Some(list) = value.as_array() else {
        return false;
    };
    let is_one = |value: &Value| {
        let named = value.get("name").is_some_and(|name| is_text(name, 255));
        named && value.get("value").is_some_and(|text| is_text(text, 1023))
    };
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
    let attributes = account
        .get("attributes")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let has = |name: &str| attributes.iter().any(|attribute| attribute["name"] == name);
    match ["accountSid", "authToken"]
        .into_iter()
        .find(|name| WITH_CREDENTIALS.contains(&channel) && !has(name))
    {
        None => Ok(()),
        Some(name) => Err(missing(&format!("attributes.{name}"))),
    }
}

fn fill_in(account: &mut Map<String, Value>) {
    account.entry("active").or_insert(true.into());
    let Some(chat) = account
        .get_mut("chatConfigurations")
        .and_then(Value::as_object_mut)
    else {
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
