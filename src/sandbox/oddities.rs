//! Answers of another form than documented, which a client has to take all the same: each can be
//! switched on.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::faults::Operation;
use super::reply::{Content, Reply};

/// One way in which the answers of the API or of the token endpoint are odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// `"size": "4"`, also where an asset is created.
    SizeAsText,
    /// `"size": 4.0`, also where an asset is created.
    SizeAsFraction,
    /// `"contentUrlExpiry": 1790000000`.
    ExpiryInSeconds,
    /// `"contentUrlExpiry": 1790000000000`.
    ExpiryInMilliseconds,
    /// `"contentUrlExpiry": "1790000000000"`.
    ExpiryAsDigits,
    /// `"contentType": ["text/plain"]`, also where an asset is created.
    TypeAsList,
    /// `"name": {"value": "a.txt"}`, also where an asset is created.
    NameAsObject,
    /// `"id": 7` for assets that are created from now on.
    IdAsNumber,
    /// `"Id"`, `"ContentUrl"` and so on.
    CapitalNames,
    /// `"content_url"` and so on.
    NamesWithUnderscores,
    /// `{"asset": {...}}`.
    Wrapped,
    /// `[{...}]`.
    Listed,
    /// Line breaks and blanks around the JSON.
    Blanks,
    /// A byte order mark before the JSON.
    ByteOrderMark,
    /// A line of text behind the JSON.
    TrailingText,
    /// Fields that nobody knows, before and behind those that are documented.
    UnknownFields,
    /// No `Content-Type`.
    NoContentType,
    /// `Content-Type: text/plain`.
    PlainContentType,
    /// 200 where another success is documented, and for tokens.
    Ok,
    /// 201 where another success is documented, and for tokens.
    Created,
    /// 202 where another success is documented, and for tokens.
    Accepted,
    /// `"expires_in": "3600"`.
    LifeAsText,
    /// `"expires_in": 0`.
    LifeOfNothing,
    /// No `expires_in`.
    NoLife,
}

impl Oddity {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::SizeAsText,
        Self::SizeAsFraction,
        Self::ExpiryInSeconds,
        Self::ExpiryInMilliseconds,
        Self::ExpiryAsDigits,
        Self::TypeAsList,
        Self::NameAsObject,
        Self::IdAsNumber,
        Self::CapitalNames,
        Self::NamesWithUnderscores,
        Self::Wrapped,
        Self::Listed,
        Self::Blanks,
        Self::ByteOrderMark,
        Self::TrailingText,
        Self::UnknownFields,
        Self::NoContentType,
        Self::PlainContentType,
        Self::Ok,
        Self::Created,
        Self::Accepted,
        Self::LifeAsText,
        Self::LifeOfNothing,
        Self::NoLife,
    ];
}

/// Those that are switched on.
#[derive(Debug, Default)]
pub(super) struct Oddities(Mutex<BTreeSet<Oddity>>);

impl Oddities {
    /// These and no others from now on.
    pub(super) fn set(&self, oddities: impl IntoIterator<Item = Oddity>) {
        *self.0.lock() = oddities.into_iter().collect();
    }

    pub(super) fn has(&self, oddity: Oddity) -> bool {
        self.0.lock().contains(&oddity)
    }

    /// Alters a success of the token endpoint or of assets; refusals and storage's answers stay as
    /// they are.
    pub(super) fn alter(&self, operation: Operation, reply: &mut Reply) {
        use Operation::{CreateAsset, DeleteAsset, GetAsset, Token};
        if !matches!(operation, Token | CreateAsset | GetAsset | DeleteAsset)
            || !reply.status.is_success()
        {
            return;
        }
        for oddity in self.0.lock().iter() {
            if let Content::Json(Value::Object(object)) = &mut reply.content {
                alter_fields(*oddity, operation, object);
            }
        }
        // What the whole looks like comes when its fields are settled.
        for oddity in self.0.lock().iter() {
            alter_whole(*oddity, operation, reply);
        }
    }
}

fn alter_fields(oddity: Oddity, operation: Operation, object: &mut Map<String, Value>) {
    let is_token = operation == Operation::Token;
    let mut set = |field: &str, value: Value| drop(object.insert(field.to_owned(), value));
    match oddity {
        Oddity::LifeAsText if is_token => set("expires_in", json!("3600")),
        Oddity::LifeOfNothing if is_token => set("expires_in", json!(0)),
        Oddity::NoLife if is_token => drop(object.remove("expires_in")),
        _ if is_token => {}
        Oddity::SizeAsText => alter_one(object, "size", |size| {
            json!(size.as_u64().unwrap_or(4).to_string())
        }),
        Oddity::SizeAsFraction => alter_one(object, "size", |size| {
            json!(size.as_u64().unwrap_or(4) as f64)
        }),
        Oddity::ExpiryInSeconds => alter_one(object, "contentUrlExpiry", |expiry| {
            json!(milliseconds(expiry) / 1000)
        }),
        Oddity::ExpiryInMilliseconds => alter_one(object, "contentUrlExpiry", |expiry| {
            json!(milliseconds(expiry))
        }),
        Oddity::ExpiryAsDigits => alter_one(object, "contentUrlExpiry", |expiry| {
            json!(milliseconds(expiry).to_string())
        }),
        Oddity::TypeAsList => {
            alter_one(object, "contentType", |content_type| json!([content_type]))
        }
        Oddity::NameAsObject => alter_one(object, "name", |name| json!({ "value": name })),
        Oddity::IdAsNumber => alter_one(object, "id", |id| {
            id.as_str()
                .and_then(|id| id.parse::<u64>().ok())
                .map_or(id.clone(), Value::from)
        }),
        _ => {}
    }
}

/// Where there is no such field, as with a new asset, it is set.
fn alter_one(object: &mut Map<String, Value>, field: &str, alter: impl FnOnce(&Value) -> Value) {
    let value = alter(object.get(field).unwrap_or(&Value::Null));
    object.insert(field.to_owned(), value);
}

fn milliseconds(expiry: &Value) -> i64 {
    expiry
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .map_or(0, Timestamp::as_millisecond)
}

fn alter_whole(oddity: Oddity, operation: Operation, reply: &mut Reply) {
    match oddity {
        Oddity::Ok => reply.status = StatusCode::OK,
        Oddity::Created => reply.status = StatusCode::CREATED,
        Oddity::Accepted => reply.status = StatusCode::ACCEPTED,
        _ => {}
    }
    let Content::Json(json) = &mut reply.content else {
        return;
    };
    let text = |text: String| Content::Text("application/json", Bytes::from(text));
    match oddity {
        Oddity::CapitalNames => rename(json, |name| name[..1].to_uppercase() + &name[1..]),
        Oddity::NamesWithUnderscores => rename(json, |name| {
            name.chars()
                .flat_map(|c| {
                    c.is_uppercase()
                        .then_some('_')
                        .into_iter()
                        .chain(c.to_lowercase())
                })
                .collect()
        }),
        Oddity::UnknownFields => *json = surrounded(json),
        Oddity::Wrapped if operation != Operation::Token => *json = json!({ "asset": json }),
        Oddity::Listed if operation != Operation::Token => *json = json!([json]),
        Oddity::Blanks => reply.content = text(format!("\r\n  \t{json:#}\n\n")),
        Oddity::ByteOrderMark => reply.content = text(format!("\u{feff}{json}")),
        Oddity::TrailingText => reply.content = text(format!("{json}\nserved by node 7")),
        Oddity::PlainContentType => {
            reply.content = Content::Text("text/plain", Bytes::from(json.to_string()))
        }
        Oddity::NoContentType => reply.content = Content::Untyped(Bytes::from(json.to_string())),
        _ => {}
    }
}

fn rename(json: &mut Value, name: impl Fn(&str) -> String) {
    if let Value::Object(object) = json {
        *object = std::mem::take(object)
            .into_iter()
            .map(|(known, value)| (name(&known), value))
            .collect();
    }
}

fn surrounded(json: &Value) -> Value {
    let mut all = Map::new();
    all.insert("_links".to_owned(), json!([{"rel": "self", "href": {}}]));
    all.extend(json.as_object().cloned().unwrap_or_default());
    all.insert(
        "zone".to_owned(),
        json!({"id": "another-id", "size": "large"}),
    );
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_oddity_alters_an_assets_answer_or_a_tokens() {
        let asset = || {
            let expiry = "2026-09-21T14:13:20Z";
            json!({"id": "7", "name": "a.txt", "size": 4, "contentType": "text/plain", "contentUrl": "u", "contentUrlExpiry": expiry})
        };
        let token = || json!({"access_token": "t", "expires_in": 60});
        for oddity in Oddity::ALL {
            let oddities = Oddities::default();
            oddities.set([*oddity]);
            let altered = |operation, json: Value| {
                let mut reply =
                    Reply::json(StatusCode::NON_AUTHORITATIVE_INFORMATION, json.clone());
                oddities.alter(operation, &mut reply);
                !matches!(&reply.content, Content::Json(left) if *left == json)
                    || reply.status.as_u16() != 203
            };
            assert!(
                altered(Operation::GetAsset, asset()) || altered(Operation::Token, token()),
                "{oddity:?}"
            );
        }
    }
}
