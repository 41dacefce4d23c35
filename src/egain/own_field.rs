//! Which of the client's own fields eGain refused: `details` names it in more than one form.

use http::StatusCode;
use serde_json::Value;

use super::response::ApiResponse;

/// The fields of a new asset that the client chooses, by eGain's names.
const FIELDS: [&str; 4] = ["channel", "name", "sender", "size"];

/// Codes for a fault in the gateway's request, not in the client's values: an unsupported query
/// parameter, a field that isn't in the schema.
const NOT_THE_CLIENTS: [&str; 2] = ["400-101", "400-420"];

/// The code of a value that isn't valid; all values are the client's.
const INVALID_VALUE: &str = "400-152";

/// Further entries of `details` are ignored.
const MOST_DETAILS: usize = 32;

/// The field that a `POST /assets` was refused for: one of the client's, or "field" if the response
/// doesn't name it.
pub(super) fn refused_field(response: &ApiResponse) -> Option<&'static str> {
    if response.status != StatusCode::BAD_REQUEST {
        return None;
    }
    let document: Value = serde_json::from_slice(&response.body).ok()?;
    let code = document
        .get("code")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if NOT_THE_CLIENTS.contains(&code) {
        return None;
    }
    let details = document
        .get("details")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut field = None;
    for detail in details.iter().take(MOST_DETAILS) {
        for named in [detail.get("key"), detail.get("value")] {
            if field.is_none()
                && let Some(Value::String(path)) = named
            {
                field = own_field(path);
            }
        }
    }
    if field.is_none() && code == INVALID_VALUE {
        return Some("field");
    }
    field
}

/// `channel.type`, `$.channel` and `/channel/type` as `channel`.
fn own_field(path: &str) -> Option<&'static str> {
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
    use http::HeaderMap;
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
    fn a_clients_field_is_found_in_every_form() {
        for (key, value, found) in [
            ("name", "has a character that isn't allowed", "name"),
            ("attribute", "channel.type", "channel"),
            ("channel.type", "not a known type", "channel"),
            ("$.sender.type", "x", "sender"),
            ("/size", "x", "size"),
            ("field", "Name", "name"),
        ] {
            let reason = json!({"key": "reason", "value": "why"});
            let details = json!([reason, {"key": key, "value": value}]);
            let body = json!({"code": "400-152", "details": details});
            assert_eq!(field(400, body), Some(found), "{key}: {value}");
        }
        assert_eq!(field(400, json!({"code": "400-152"})), Some("field"));
    }

    #[test]
    fn other_refusals_name_no_field() {
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
