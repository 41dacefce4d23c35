//! The body of `POST /assets`, checked to the letter: exactly the fields that eGain documents.

use http::StatusCode;
use serde_json::{Map, Value};

use super::reply::ApiRefusal;
use super::types;

/// The senders that eGain documents. Channels have no such list.
const SENDERS: [&str; 5] = [
    "customer",
    "custom_bot",
    "egain_bot",
    "egain_agent",
    "custom_agent",
];

/// Characters that a text may have.
const LONGEST: usize = 255;

/// An asset as it was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CreateAssetBody {
    pub(super) channel: String,
    pub(super) sender: String,
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
}

impl CreateAssetBody {
    /// Reads a declaration of at most `max_size` bytes.
    pub(super) fn read(json: &[u8], max_size: u64) -> Result<Self, ApiRefusal> {
        let value: Value = match serde_json::from_slice(json) {
            Ok(value) => value,
            Err(error) => return Err(invalid("body", &error.to_string())),
        };
        let body = fields(&value, "body", &["channel", "sender", "name", "size"])?;
        Ok(Self {
            channel: kind(body, "channel")?,
            sender: sender(body)?,
            name: name(body)?,
            size: size(body, max_size)?,
        })
    }
}

fn sender(body: &Map<String, Value>) -> Result<String, ApiRefusal> {
    let sender = kind(body, "sender")?;
    if SENDERS.contains(&sender.as_str()) {
        Ok(sender)
    } else {
        Err(invalid("sender.type", "not a known sender"))
    }
}

fn name(body: &Map<String, Value>) -> Result<String, ApiRefusal> {
    let name = text(required(body, "name", "name")?, "name")?;
    if types::has_extension(&name) {
        Ok(name)
    } else {
        Err(invalid("name", "it has no extension"))
    }
}

fn size(body: &Map<String, Value>, max: u64) -> Result<u64, ApiRefusal> {
    match required(body, "size", "size")?.as_u64() {
        Some(size) if (1..=max).contains(&size) => Ok(size),
        _ => Err(invalid(
            "size",
            &format!("not a whole number from 1 to {max}"),
        )),
    }
}

/// The `type` inside of `channel` or `sender`.
fn kind(body: &Map<String, Value>, field: &str) -> Result<String, ApiRefusal> {
    let path = format!("{field}.type");
    let inner = fields(required(body, field, field)?, field, &["type"])?;
    text(required(inner, "type", &path)?, &path)
}

/// The fields of an object that has no others than these.
fn fields<'v>(
    value: &'v Value,
    path: &str,
    known: &[&str],
) -> Result<&'v Map<String, Value>, ApiRefusal> {
    let Value::Object(object) = value else {
        return Err(invalid(path, "not an object"));
    };
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(object),
        Some(unknown) => {
            Err(refusal("400-420", "a field isn't in the schema").detail("attribute", unknown))
        }
    }
}

fn required<'v>(
    object: &'v Map<String, Value>,
    field: &str,
    path: &str,
) -> Result<&'v Value, ApiRefusal> {
    match object.get(field) {
        Some(value) => Ok(value),
        None => Err(refusal("400-143", "an attribute is missing").detail("attribute", path)),
    }
}

fn text(value: &Value, path: &str) -> Result<String, ApiRefusal> {
    let Value::String(text) = value else {
        return Err(invalid(path, "not text"));
    };
    match text.chars().count() {
        1..=LONGEST => Ok(text.clone()),
        length => Err(invalid(
            path,
            &format!("{length} characters instead of 1 to {LONGEST}"),
        )),
    }
}

fn invalid(path: &str, why: &str) -> ApiRefusal {
    refusal("400-152", "an attribute has an invalid value")
        .detail("attribute", path)
        .detail("reason", why)
}

fn refusal(code: &'static str, message: &str) -> ApiRefusal {
    ApiRefusal::new(StatusCode::BAD_REQUEST, code, message)
}

#[cfg(test)]
mod tests {
    use super::super::reply::ReplyContent;
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "channel": {"type": "sms"},
            "sender": {"type": "customer"},
            "name": "a.txt",
            "size": 5,
        })
    }

    fn code(body: &Value) -> String {
        match CreateAssetBody::read(body.to_string().as_bytes(), 100) {
            Ok(_) => "taken".to_owned(),
            Err(refusal) => match refusal.into_reply(false).content {
                ReplyContent::Json(body) => body["code"].as_str().unwrap().to_owned(),
                _ => unreachable!("refusals are JSON"),
            },
        }
    }

    #[test]
    fn the_documented_fields_are_taken() {
        let declared = CreateAssetBody::read(good().to_string().as_bytes(), 5).unwrap();
        assert_eq!(
            (
                declared.channel.as_str(),
                declared.name.as_str(),
                declared.size
            ),
            ("sms", "a.txt", 5)
        );
    }

    #[test]
    fn every_field_is_required() {
        for path in ["channel", "sender", "name", "size"] {
            let mut body = good();
            body.as_object_mut().unwrap().remove(path);
            assert_eq!(code(&body), "400-143", "{path}");
        }
        let mut body = good();
        body["channel"] = json!({});
        assert_eq!(code(&body), "400-143");
    }

    #[test]
    fn no_other_field_is_allowed() {
        let mut body = good();
        body["contentType"] = json!("text/plain");
        assert_eq!(code(&body), "400-420");
        body = good();
        body["sender"]["id"] = json!("7");
        assert_eq!(code(&body), "400-420");
    }

    #[test]
    fn values_are_held_to_their_limits() {
        for (field, value) in [
            ("name", json!("none")),
            ("name", json!("")),
            ("name", json!(format!("{}.txt", "x".repeat(252)))),
            ("name", json!(1)),
            ("size", json!(0)),
            ("size", json!(101)),
            ("size", json!("5")),
            ("size", json!(5.5)),
            ("sender", json!({"type": "nobody"})),
            ("channel", json!("sms")),
        ] {
            let mut body = good();
            body[field] = value.clone();
            assert_eq!(code(&body), "400-152", "{field}: {value}");
        }
        assert_eq!(code(&json!([])), "400-152");
    }
}
