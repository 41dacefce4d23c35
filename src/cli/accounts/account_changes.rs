//! What an update changes, field by field and without secrets.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::cli::client::command_output::printable;
use crate::egain::accounts::is_secret;

/// One field that changes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct FieldChange {
    field: String,
    from: Option<String>,
    to: Option<String>,
}

/// What differs.
pub(super) fn changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    let (before, after) = (fields(before), fields(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differing = names.into_iter().filter(|name| {
        let (from, to) = (before.get(*name), after.get(*name));
        from.map(|field| &field.compared) != to.map(|field| &field.compared)
    });
    differing
        .map(|name| FieldChange {
            field: name.clone(),
            from: before.get(name).map(|field| field.shown.clone()),
            to: after.get(name).map(|field| field.shown.clone()),
        })
        .collect()
}

struct LeafField {
    compared: String,
    shown: String,
}

/// Every value by its path; attributes by their name.
fn fields(document: &Value) -> BTreeMap<String, LeafField> {
    let mut found = BTreeMap::new();
    collect("", document, &mut found);
    found
}

fn collect(path: &str, value: &Value, found: &mut BTreeMap<String, LeafField>) {
    let inside = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(&inside(name), value, found);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                match item["name"].as_str() {
                    Some(name) => {
                        found.insert(inside(name), attribute(name, item));
                    }
                    None => collect(&inside(&at.to_string()), item, found),
                }
            }
        }
        leaf => {
            let text = leaf.to_string();
            let field = LeafField {
                compared: text.clone(),
                shown: text,
            };
            found.insert(path.to_owned(), field);
        }
    }
}

fn attribute(name: &str, item: &Value) -> LeafField {
    let compared = item
        .get("value")
        .map_or_else(|| item.to_string(), Value::to_string);
    let shown = if is_secret(name) {
        "(secret)".to_owned()
    } else {
        compared.clone()
    };
    LeafField { compared, shown }
}

/// One line.
impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |side: &Option<String>| match side {
            Some(text) => printable(text),
            None => "(none)".to_owned(),
        };
        let (from, to) = (shown(&self.from), shown(&self.to));
        write!(f, "{}: {from} -> {to}", printable(&self.field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_lines_without_secrets() {
        let before = json!({"name": "a", "chat": {"timeout": 4}, "gone": true, "attributes": [
            {"name": "authToken", "isSet": true}, {"name": "sid", "value": "1"}]});
        let after = json!({"name": "a", "chat": {"timeout": 5}, "attributes": [
            {"name": "authToken", "value": "hunter2"}, {"name": "sid", "value": "1"}]});
        let lines: Vec<String> = changes(&before, &after)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            lines,
            [
                "attributes.authToken: (secret) -> (secret)",
                "chat.timeout: 4 -> 5",
                "gone: true -> (none)",
            ]
        );
        assert!(changes(&after, &after).is_empty());
    }
}
