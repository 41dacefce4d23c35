//! Responses of another form than documented, which a client has to take all the same: each can
//! be switched on.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strum::VariantArray;

use super::operation::SandboxOperation;
use super::reply::{ReplyContent, SandboxReply};

/// One way in which the responses of the API or of the token endpoint are odd.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, VariantArray,
)]
#[serde(rename_all = "snake_case")]
pub enum ResponseOddity {
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

impl ResponseOddity {
    /// All of them.
    pub const ALL: &'static [Self] = Self::VARIANTS;
}

/// Those that are switched on.
#[derive(Debug, Default)]
pub(super) struct ActiveOddities(Mutex<BTreeSet<ResponseOddity>>);

impl ActiveOddities {
    /// These and no others from now on.
    pub(super) fn set(&self, oddities: impl IntoIterator<Item = ResponseOddity>) {
        *self.0.lock() = oddities.into_iter().collect();
    }

    pub(super) fn has(&self, oddity: ResponseOddity) -> bool {
        self.0.lock().contains(&oddity)
    }

    /// Alters a success of the token endpoint or of assets; refusals and storage's responses stay
    /// as they are.
    pub(super) fn alter(&self, operation: SandboxOperation, reply: &mut SandboxReply) {
        use SandboxOperation::{CreateAsset, DeleteAsset, GetAsset, Token};
        if !matches!(operation, Token | CreateAsset | GetAsset | DeleteAsset)
            || !reply.status.is_success()
        {
            return;
        }
        for oddity in self.0.lock().iter() {
            if let ReplyContent::Json(Value::Object(object)) = &mut reply.content {
                alter_fields(*oddity, operation, object);
            }
        }
        // The form of the whole is changed last, when its fields are final.
        for oddity in self.0.lock().iter() {
            alter_whole(*oddity, operation, reply);
        }
    }
}

fn alter_fields(
    oddity: ResponseOddity,
    operation: SandboxOperation,
    object: &mut Map<String, Value>,
) {
    let is_token = operation == SandboxOperation::Token;
    let mut set = |field: &str, value: Value| drop(object.insert(field.to_owned(), value));
    match oddity {
        ResponseOddity::LifeAsText if is_token => set("expires_in", json!("3600")),
        ResponseOddity::LifeOfNothing if is_token => set("expires_in", json!(0)),
        ResponseOddity::NoLife if is_token => drop(object.remove("expires_in")),
        _ if is_token => {}
        ResponseOddity::SizeAsText => alter_one(object, "size", |size| {
            json!(size.as_u64().unwrap_or(4).to_string())
        }),
        ResponseOddity::SizeAsFraction => alter_one(object, "size", |size| {
            json!(size.as_u64().unwrap_or(4) as f64)
        }),
        ResponseOddity::ExpiryInSeconds => alter_one(object, "contentUrlExpiry", |expiry| {
            json!(milliseconds(expiry) / 1000)
        }),
        ResponseOddity::ExpiryInMilliseconds => alter_one(object, "contentUrlExpiry", |expiry| {
            json!(milliseconds(expiry))
        }),
        ResponseOddity::ExpiryAsDigits => alter_one(object, "contentUrlExpiry", |expiry| {
            json!(milliseconds(expiry).to_string())
        }),
        ResponseOddity::TypeAsList => {
            alter_one(object, "contentType", |content_type| json!([content_type]))
        }
        ResponseOddity::NameAsObject => alter_one(object, "name", |name| json!({ "value": name })),
        ResponseOddity::IdAsNumber => {
            alter_one(object, "id", |id| number(id).unwrap_or_else(|| id.clone()))
        }
        _ => {}
    }
}

/// Where there is no such field, as with a new asset, it is set.
fn alter_one(object: &mut Map<String, Value>, field: &str, alter: impl FnOnce(&Value) -> Value) {
    let value = alter(object.get(field).unwrap_or(&Value::Null));
    object.insert(field.to_owned(), value);
}

fn number(id: &Value) -> Option<Value> {
    let number: u64 = id.as_str()?.parse().ok()?;
    Some(number.into())
}

fn milliseconds(expiry: &Value) -> i64 {
    match expiry.as_str().map(str::parse::<Timestamp>) {
        Some(Ok(expiry)) => expiry.as_millisecond(),
        _ => 0,
    }
}

fn alter_whole(oddity: ResponseOddity, operation: SandboxOperation, reply: &mut SandboxReply) {
    match oddity {
        ResponseOddity::Ok => reply.status = StatusCode::OK,
        ResponseOddity::Created => reply.status = StatusCode::CREATED,
        ResponseOddity::Accepted => reply.status = StatusCode::ACCEPTED,
        _ => {}
    }
    let ReplyContent::Json(json) = &mut reply.content else {
        return;
    };
    let text = |text: String| ReplyContent::Text("application/json", Bytes::from(text));
    match oddity {
        ResponseOddity::CapitalNames => rename(json, |name| name[..1].to_uppercase() + &name[1..]),
        ResponseOddity::NamesWithUnderscores => rename(json, with_underscores),
        ResponseOddity::UnknownFields => *json = surrounded(json),
        ResponseOddity::Wrapped if operation != SandboxOperation::Token => {
            *json = json!({ "asset": json })
        }
        ResponseOddity::Listed if operation != SandboxOperation::Token => *json = json!([json]),
        ResponseOddity::Blanks => reply.content = text(format!("\r\n  \t{json:#}\n\n")),
        ResponseOddity::ByteOrderMark => reply.content = text(format!("\u{feff}{json}")),
        ResponseOddity::TrailingText => reply.content = text(format!("{json}\nserved by node 7")),
        ResponseOddity::PlainContentType => {
            reply.content = ReplyContent::Text("text/plain", Bytes::from(json.to_string()))
        }
        ResponseOddity::NoContentType => {
            reply.content = ReplyContent::Untyped(Bytes::from(json.to_string()))
        }
        _ => {}
    }
}

/// `content_url` for `contentUrl`.
fn with_underscores(name: &str) -> String {
    let mut underscored = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            underscored.push('_');
        }
        underscored.extend(c.to_lowercase());
    }
    underscored
}

fn rename(json: &mut Value, name: impl Fn(&str) -> String) {
    if let Value::Object(object) = json {
        for (known, value) in std::mem::take(object) {
            object.insert(name(&known), value);
        }
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
            json!({
                "id": "7",
                "name": "a.txt",
                "size": 4,
                "contentType": "text/plain",
                "contentUrl": "u",
                "contentUrlExpiry": expiry,
            })
        };
        let token = || json!({"access_token": "t", "expires_in": 60});
        for oddity in ResponseOddity::ALL {
            let oddities = ActiveOddities::default();
            oddities.set([*oddity]);
            let altered = |operation, json: Value| {
                let mut reply =
                    SandboxReply::json(StatusCode::NON_AUTHORITATIVE_INFORMATION, json.clone());
                oddities.alter(operation, &mut reply);
                !matches!(&reply.content, ReplyContent::Json(left) if *left == json)
                    || reply.status.as_u16() != 203
            };
            assert!(
                altered(SandboxOperation::GetAsset, asset())
                    || altered(SandboxOperation::Token, token()),
                "{oddity:?}"
            );
        }
    }
}
