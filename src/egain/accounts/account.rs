//! An account as the Account API documents it, read from an operator's JSON with every limit
//! checked.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::attribute::{Attribute, is_secret};
use super::field_reader::{FieldError, FieldReader};
use super::variant::AccountVariant;

/// eGain's limits, in characters.
const NAME: std::ops::RangeInclusive<usize> = 1..=255;
const DESCRIPTION: std::ops::RangeInclusive<usize> = 1..=1023;
const ID: std::ops::RangeInclusive<usize> = 36..=36;
/// Minutes of a week, eGain's most.
const WEEK: u64 = 10_080;

/// Fields that eGain sets: shown, and never an operator's to choose.
const READ_ONLY: [&str; 3] = ["id", "created", "modified"];

/// An account to be written. Fields that eGain sends beyond the documented ones are in each `rest`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// 1 to 255 characters.
    pub name: String,
    /// 1 to 1023 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it takes messages; true by default.
    pub active: bool,
    /// Its name at its provider; its form depends on the variant.
    pub address: String,
    /// The channel, whose restrictions hold for it.
    pub channel: ObjectReference,
    /// How messages become cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case_management: Option<CaseManagement>,
    /// How chats go.
    pub chat_configurations: ChatConfigurations,
    /// What the provider wants to know, secrets among it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Something else of eGain's, by its id.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ObjectReference {
    /// 36 characters, but for an entry point.
    pub id: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// How messages become cases.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseManagement {
    /// Minutes within which messages belong to one case; 1 to 10080.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_case_duration: Option<u64>,
    /// Whether a case takes over the customer's attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_custom_attributes: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// How chats go.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatConfigurations {
    /// Minutes without a message after which a chat ends; 3 to 10080, 240 by default.
    pub timeout: u64,
    /// `en-US` by default.
    pub default_language: String,
    /// `off_hours`, the default, or `retain_and_retry`.
    pub on_agent_unavailability: String,
    /// False by default.
    pub allow_logout_with_open_chats: bool,
    /// False by default.
    pub allow_queue_transfer_on_agent_unavailability: bool,
    /// 36 characters.
    pub orchestration: ObjectReference,
    /// 1 to 255 characters.
    pub entry_point: ObjectReference,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Account {
    /// Reads an operator's document.
    ///
    /// `current` is the account as eGain has it, where one is replaced: from there come fields that
    /// aren't documented, and secret values that the document omits, as they are never shown.
    ///
    /// # Errors
    /// Everything that is wrong, a field each.
    pub fn read(
        document: &Map<String, Value>,
        variant: AccountVariant,
        current: Option<&Value>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let account = Self::of(
            &mut FieldReader::of(document, &mut errors),
            variant,
            current,
        );
        if errors.is_empty() {
            Ok(account)
        } else {
            Err(errors)
        }
    }

    fn of(fields: &mut FieldReader, variant: AccountVariant, current: Option<&Value>) -> Self {
        let name = fields.text("name", NAME);
        let address = fields.text("address", NAME);
        if let Some(wrong) = address
            .as_deref()
            .and_then(|address| variant.wrong_address(address))
        {
            fields.mistake::<()>("address", wrong);
        }
        let channel = fields.object("channel", |channel| {
            ObjectReference::of(channel, ID, within(current, "channel"))
        });
        let chat = within(current, "chatConfigurations");
        let chat_configurations = fields.object("chatConfigurations", |fields| {
            ChatConfigurations::of(fields, chat)
        });
        let attributes = read_attributes(fields, variant, current);
        let account = Self {
            name: fields.required("name", "1 to 255 characters", name),
            description: fields.text("description", DESCRIPTION),
            active: fields.flag("active").unwrap_or(true),
            address: fields.required("address", "1 to 255 characters", address),
            channel: fields.required("channel", "an object with the channel's id", channel),
            case_management: fields.object("caseManagement", |fields| {
                CaseManagement::of(fields, current)
            }),
            chat_configurations: fields.required(
                "chatConfigurations",
                "an object with orchestration and entryPoint",
                chat_configurations,
            ),
            attributes,
            rest: Map::new(),
        };
        for name in READ_ONLY {
            fields.pass(name);
        }
        Self {
            rest: undocumented(fields.rest(current)),
            ..account
        }
    }
}

fn read_attributes(
    fields: &mut FieldReader,
    variant: AccountVariant,
    current: Option<&Value>,
) -> Vec<Attribute> {
    let attributes = fields
        .list("attributes", 1..=10, |fields| {
            Attribute::of(fields, current)
        })
        .unwrap_or_default();
    for missing in variant.missing_attributes(&attributes) {
        fields.mistake::<()>(
            &format!("attributes.{missing}"),
            format!("missing: {variant} needs it"),
        );
    }
    attributes
}

/// Fields that eGain sets itself aren't sent back, except `modified`, which the call adds.
fn undocumented(mut rest: Map<String, Value>) -> Map<String, Value> {
    rest.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    rest
}

fn within<'v>(current: Option<&'v Value>, name: &str) -> Option<&'v Value> {
    current?.get(name)
}

impl ObjectReference {
    fn of(
        fields: &mut FieldReader,
        length: std::ops::RangeInclusive<usize>,
        current: Option<&Value>,
    ) -> Self {
        let id = fields.text("id", length);
        Self {
            id: fields.required("id", "an id of eGain's", id),
            rest: fields.rest(current),
        }
    }
}

impl CaseManagement {
    fn of(fields: &mut FieldReader, current: Option<&Value>) -> Self {
        Self {
            same_case_duration: fields.number("sameCaseDuration", 1..=WEEK),
            copy_custom_attributes: fields.flag("copyCustomAttributes"),
            rest: fields.rest(within(current, "caseManagement")),
        }
    }
}

impl ChatConfigurations {
    fn of(fields: &mut FieldReader, current: Option<&Value>) -> Self {
        let orchestration = fields.object("orchestration", |fields| {
            ObjectReference::of(fields, ID, within(current, "orchestration"))
        });
        let entry_point = fields.object("entryPoint", |fields| {
            ObjectReference::of(fields, NAME, within(current, "entryPoint"))
        });
        let unavailable = fields.word("onAgentUnavailability", &["off_hours", "retain_and_retry"]);
        Self {
            timeout: fields.number("timeout", 3..=WEEK).unwrap_or(240),
            default_language: fields
                .text("defaultLanguage", NAME)
                .unwrap_or_else(|| "en-US".to_owned()),
            on_agent_unavailability: unavailable.unwrap_or_else(|| "off_hours".to_owned()),
            allow_logout_with_open_chats: fields
                .flag("allowLogoutWithOpenChats")
                .unwrap_or_default(),
            allow_queue_transfer_on_agent_unavailability: fields
                .flag("allowQueueTransferOnAgentUnavailability")
                .unwrap_or_default(),
            orchestration: fields.required(
                "orchestration",
                "an object with the orchestration's id",
                orchestration,
            ),
            entry_point: fields.required(
                "entryPoint",
                "an object with the entry point's id",
                entry_point,
            ),
            rest: fields.rest(current),
        }
    }
}

/// An account of eGain's as it may be shown: of each secret only that it is set.
pub fn without_secrets(mut account: Value) -> Value {
    let attributes = account.get_mut("attributes").and_then(Value::as_array_mut);
    for attribute in attributes.into_iter().flatten() {
        if attribute["name"].as_str().is_none_or(is_secret) {
            let is_set = attribute.get("value").is_some_and(|value| !value.is_null());
            *attribute = json!({"name": attribute["name"], "isSet": is_set});
        }
    }
    account
}
