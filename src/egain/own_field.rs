//! Which of the caller's own fields eGain refused: it says so in `details`, in more than one way.

use serde_json::Value;

use super::response::ApiResponse;

/// What a caller gives of a new asset, in eGain's words.
const FIELDS: [&str; 4] = ["channel", "name", "sender", "size"];

/// Codes that speak of how the gateway asks, not of what a caller gave: an unsupported query
/// parameter, a field that isn't in the schema.
const NOT_THE_CALLERS: [&str; 2] = ["400-101", "400-420"];

/// The code of a value that isn't valid; all values are the caller's.
const INVALID_VALUE: &str = "400-152";

/// More entries of `details` aren't looked at.
const MOST_DETAILS: usize = 32;

/// The field that a refused `POST /assets` was refused for: one of the caller's, or "field" where
/// it isn't said which.
pub fn refused_field(answer: &ApiResponse) -> Option<&'static str> {
    let document: Value = serde_json::from_slice(&answer.body)
        .ok()
        .filter(|_| answer.status.as_u16() == 400)?;
    let code = document
        .get("code")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if NOT_THE_CALLERS.contains(&code) {
        return None;
    }
    let details = document
        .get("details")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let named = details
        .iter()
        .take(MOST_DETAILS)
        .flat_map(|detail| [detail.get("key"), detail.get("value")]);
    let field = named.flatten().filter_map(Value::as_str).find_map(own);
    field.or((code == INVALID_VALUE).then_some("field"))
}

/// `channel.type`, `$.channel` and `/channel/type` as `channel`.
fn own(path: &str) -> Option<&'static str> {
    let first = path
        .split(['.', '/', '['])
        .find(|part| !matches!(*part, "" | "$" | "body"))?;
    FIELDS
        .into_iter()
        .find(|field| first.eq_ignore_ascii_case(field))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use serde_json::json;

    use super::*;

    fn field(status: u16, body: Value) -> Option<&'static str> {
        let body = Bytes::from(body.to_string());
        refused_field(&ApiResponse::of(
            StatusCode::from_u16(status).unwrap(),
            HeaderMap::new(),
            body,
        ))
    }

    #[test]
    fn a_callers_field_is_found_however_it_is_named() {
        for (key, value, found) in [
            ("name", "has a character that isn't allowed", "name"),
            ("attribute", "channel.type", "channel"),
            ("channel.type", "not a known type", "channel"),
            ("$.sender.type", "x", "sender"),
            ("/size", "x", "size"),
            ("field", "Name", "name"),
        ] {
            let body = json!({"code": "400-152", "details": [{"key": "reason", "value": "why"}, {"key": key, "value": value}]});
            assert_eq!(field(400, body), Some(found), "{key}: {value}");
        }
        assert_eq!(field(400, json!({"code": "400-152"})), Some("field"));
    }

    #[test]
    fn what_isnt_about_a_callers_field_isnt_the_callers() {
        let details = json!([{"key": "attribute", "value": "channel"}]);
        for (status, body) in [
            (400, json!({"code": "400-420", "details": details})),
            (400, json!({"code": "400-101"})),
            (400, json!({"code": "400-143", "developerMessage": "name"})),
            (
                400,
                json!({"details": [{"key": "names"}, {"value": 7}, "name"]}),
            ),
            (400, json!("name")),
            (500, json!({"code": "400-152", "details": details})),
        ] {
            assert_eq!(field(status, body.clone()), None, "{body}");
        }
    }
}
