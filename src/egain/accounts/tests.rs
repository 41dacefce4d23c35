//! Each field at each bound, and what an operator is told. The texts are read by a person: keep
//! them so.

use serde_json::{Map, Value, json};

use super::*;

fn good() -> Value {
    json!({
        "name": "Support",
        "address": "+14155550100",
        "channel": {"id": "00000000-0000-4000-8000-000000000001"},
        "chatConfigurations": {
            "orchestration": {"id": "0f8fad5b-d9cb-469f-a165-70867728950e"},
            "entryPoint": {"id": "1001"},
        },
        "attributes": [
            {"name": "accountSid", "value": "AC1"},
            {"name": "authToken", "value": "hidden"},
        ],
    })
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

/// What an operator is told about the good account with one value changed; null takes it away.
fn told(variant: AccountVariant, pointer: &str, value: Value) -> String {
    let mut account = good();
    let (above, name) = pointer.rsplit_once('/').unwrap();
    let above = account.pointer_mut(above).unwrap();
    match (above, value) {
        (Value::Array(items), value) => items[name.parse::<usize>().unwrap()] = value,
        (Value::Object(fields), Value::Null) => drop(fields.remove(name)),
        (fields, value) => fields[name] = value,
    }
    match Account::read(object(&account), variant, None) {
        Ok(_) => "taken".to_owned(),
        Err(errors) => errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; "),
    }
}

#[test]
fn a_field_outside_its_bounds_is_named() {
    let text = |length: usize| json!("x".repeat(length));
    for (pointer, value, expected) in [
        ("/name", text(255), "taken"),
        ("/name", text(256), "name: 1 to 255 characters, has 256"),
        ("/name", text(0), "name: 1 to 255 characters, has 0"),
        ("/name", json!(7), "name: a string, is a number"),
        ("/name", Value::Null, "name: missing: 1 to 255 characters"),
        ("/description", text(1023), "taken"),
        (
            "/description",
            text(1024),
            "description: 1 to 1023 characters, has 1024",
        ),
        ("/active", json!("yes"), "active: true or false, is \"yes\""),
        (
            "/address",
            Value::Null,
            "address: missing: 1 to 255 characters",
        ),
        (
            "/channel",
            Value::Null,
            "channel: missing: an object with the channel's id",
        ),
        ("/channel", json!("sms"), "channel: an object, is a string"),
        (
            "/channel",
            json!({"id": "1"}),
            "channel.id: 36 characters, has 1",
        ),
        (
            "/channel",
            json!({}),
            "channel.id: missing: an id of eGain's",
        ),
        (
            "/channel/kind",
            json!("sms"),
            "channel.kind: unknown: there are id",
        ),
        (
            "/caseManagement",
            json!({"sameCaseDuration": 10_080}),
            "taken",
        ),
        (
            "/caseManagement",
            json!({"sameCaseDuration": 0}),
            "caseManagement.sameCaseDuration: 1 to 10080, is 0",
        ),
        (
            "/caseManagement",
            json!({"sameCaseDuration": 1.5}),
            "caseManagement.sameCaseDuration: 1 to 10080, is 1.5",
        ),
        (
            "/chatConfigurations",
            Value::Null,
            "chatConfigurations: missing: an object with orchestration and entryPoint",
        ),
        ("/chatConfigurations/timeout", json!(3), "taken"),
        (
            "/chatConfigurations/timeout",
            json!(2),
            "chatConfigurations.timeout: 3 to 10080, is 2",
        ),
        (
            "/chatConfigurations/timeout",
            json!(10_081),
            "chatConfigurations.timeout: 3 to 10080, is 10081",
        ),
        (
            "/chatConfigurations/timeout",
            json!("240"),
            "chatConfigurations.timeout: 3 to 10080, is \"240\"",
        ),
        (
            "/chatConfigurations/onAgentUnavailability",
            json!("hang_up"),
            "chatConfigurations.onAgentUnavailability: off_hours or retain_and_retry, is \
             \"hang_up\"",
        ),
        (
            "/chatConfigurations/timeOut",
            json!(4),
            "chatConfigurations.timeOut: unknown: did you mean timeout?",
        ),
        (
            "/chatConfigurations/entryPoint",
            Value::Null,
            "chatConfigurations.entryPoint: missing: an object with the entry point's id",
        ),
        (
            "/adress",
            json!("x"),
            "adress: unknown: did you mean address?",
        ),
        (
            "/attributes",
            json!([]),
            "attributes: 1 to 10 items, has 0; \
             attributes.accountSid: missing: Twilio SMS needs it; \
             attributes.authToken: missing: Twilio SMS needs it",
        ),
        (
            "/attributes/0",
            json!({"name": "accountSid"}),
            "attributes[0].value: missing: 1 to 1023 characters",
        ),
        (
            "/attributes/1",
            json!({"name": "token", "value": text(1024)}),
            "attributes[1].value: 1 to 1023 characters, has 1024; \
             attributes.authToken: missing: Twilio SMS needs it",
        ),
        (
            "/attributes/0",
            json!("AC1"),
            "attributes[0]: an object, is a string; \
             attributes.accountSid: missing: Twilio SMS needs it",
        ),
    ] {
        assert_eq!(
            told(AccountVariant::TwilioSms, pointer, value),
            expected,
            "{pointer}"
        );
    }
}

#[test]
fn an_address_is_as_its_provider_writes_it() {
    let uuid = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    let brand = format!("brands/{uuid}/agents/{uuid}");
    for (variant, right, wrong) in [
        (AccountVariant::TwilioSms, "+14155550100", "14155550100"),
        (
            AccountVariant::TwilioSms,
            "+123456789012345",
            "+1234567890123456",
        ),
        (AccountVariant::WhatsApp, "14155550100", "+14155550100"),
        (
            AccountVariant::GoogleBusinessMessaging,
            &brand,
            "brands/1/agents/2",
        ),
    ] {
        assert_eq!(told(variant, "/address", json!(right)), "taken", "{right}");
        assert!(
            told(variant, "/address", json!(wrong)).starts_with("address: "),
            "{wrong}"
        );
    }
    assert_eq!(
        told(AccountVariant::Custom, "/address", json!("anything at all")),
        "taken"
    );
    let said = "address: + and up to 15 digits for Twilio SMS, is \"+1 415\"";
    assert_eq!(
        told(AccountVariant::TwilioSms, "/address", json!("+1 415")),
        said
    );
}

#[test]
fn all_mistakes_are_reported_and_none_shows_a_secret() {
    let document = json!({
        "name": "",
        "chatConfigurations": {"timeout": 1},
        "attributes": [{"name": "authToken", "value": ["planted"]}],
    });
    let errors = Account::read(object(&document), AccountVariant::WhatsApp, None).unwrap_err();
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    let expected = [
        "name",
        "chatConfigurations.timeout",
        "chatConfigurations.orchestration",
        "chatConfigurations.entryPoint",
        "attributes[0].value",
        "attributes.accountSid",
        "address",
        "channel",
    ];
    assert_eq!(paths, expected);
    assert!(!format!("{errors:?}").contains("planted"));
}

#[test]
fn defaults_are_explicit_and_secrets_go_only_to_egain() {
    let account = Account::read(object(&good()), AccountVariant::TwilioSms, None).unwrap();
    let sent = serde_json::to_value(&account).unwrap();
    assert_eq!(
        (&sent["active"], &sent["chatConfigurations"]["timeout"]),
        (&json!(true), &json!(240))
    );
    assert_eq!(
        sent["chatConfigurations"]["onAgentUnavailability"],
        "off_hours"
    );
    assert_eq!(sent["attributes"][1]["value"], "hidden");
    assert!(!format!("{account:?}").contains("hidden"));
}

#[test]
fn what_egain_sends_beyond_its_documents_survives_a_replacement() {
    let mut current = good();
    current["department"] = json!({"id": 7});
    current["modified"] = json!("2026-01-01T00:00:00.000Z");
    current["chatConfigurations"]["colour"] = json!("red");
    let mut document = without_secrets(current.clone());
    assert_eq!(
        document["attributes"][1],
        json!({"name": "authToken", "isSet": true})
    );
    document["department"] = json!({"id": 8});
    document["chatConfigurations"]
        .as_object_mut()
        .unwrap()
        .remove("colour");
    let account =
        Account::read(object(&document), AccountVariant::TwilioSms, Some(&current)).unwrap();
    let sent = serde_json::to_value(&account).unwrap();
    assert_eq!(
        (&sent["department"], &sent["chatConfigurations"]["colour"]),
        (&json!({"id": 8}), &json!("red"))
    );
    assert_eq!(
        sent["attributes"][1]["value"], "hidden",
        "a secret that isn't given stays"
    );
    assert!(sent.get("modified").is_none());
    document["departments"] = json!(1);
    assert!(Account::read(object(&document), AccountVariant::TwilioSms, Some(&current)).is_err());
}

#[test]
fn secrets_are_known_by_the_end_of_their_names() {
    for name in ["authToken", "TOKEN", "clientSecret", "api_key", "Password"] {
        assert!(is_secret(name), "{name}");
    }
    assert!(!is_secret("accountSid") && !is_secret("tokenCount"));
    let odd = json!({"attributes": [{"name": 7, "value": "hidden"}, {"value": "hidden"}]});
    assert!(
        !without_secrets(odd).to_string().contains("hidden"),
        "without a readable name it isn't shown"
    );
}
