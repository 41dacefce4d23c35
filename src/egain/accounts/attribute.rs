//! The attributes of an account: what its provider needs, of which some are secret.

use std::ops::RangeInclusive;

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::field_reader::FieldReader;

/// eGain's limits, in characters.
const NAME: RangeInclusive<usize> = 1..=255;
const VALUE: RangeInclusive<usize> = 1..=1023;

/// A name with a value, of which some are secret.
#[derive(Debug, Clone, Serialize)]
pub struct Attribute {
    /// 1 to 255 characters.
    pub name: String,
    /// 1 to 1023 characters. Never printed, as a name doesn't always tell that its value is a
    /// secret.
    #[serde(serialize_with = "exposed")]
    pub value: SecretString,
}

/// Only eGain is sent what this writes.
fn exposed<S: Serializer>(value: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.expose_secret())
}

impl Attribute {
    pub(super) fn of(fields: &mut FieldReader, current: Option<&Value>) -> Self {
        let name = fields.text("name", NAME);
        let name = fields.required("name", "1 to 255 characters", name);
        // As shown: that a value is set, and not which.
        fields.pass("isSet");
        let value = fields
            .text("value", VALUE)
            .or_else(|| stored_secret(&name, current));
        let value = fields.required("value", "1 to 1023 characters", value);
        fields.rest(None);
        Self {
            name,
            value: value.into(),
        }
    }
}

/// A secret's value as eGain has it.
fn stored_secret(name: &str, current: Option<&Value>) -> Option<String> {
    let attributes = current?.get("attributes")?.as_array()?;
    let same = attributes
        .iter()
        .find(|attribute| is_secret(name) && attribute["name"] == name)?;
    same["value"].as_str().map(str::to_owned)
}

/// Whether an attribute's value is never shown, by its name.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["token", "secret", "password", "key"]
        .iter()
        .any(|end| name.ends_with(end))
}
