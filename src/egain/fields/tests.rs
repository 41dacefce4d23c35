use serde_json::json;

use super::*;

fn metrics() -> ServiceMetrics {
    ServiceMetrics::new()
}

fn odd(metrics: &ServiceMetrics, field: &str) -> u64 {
    metrics.upstream_oddities.with_label_values(&[field]).get()
}

#[test]
fn what_is_documented_is_read_and_isnt_odd() {
    let metrics = metrics();
    let body = json!({
        "id": "a-1",
        "name": "a.txt",
        "size": 5,
        "contentUrlExpiry": "2022-01-27T20:04:25.498Z",
        "more": {},
    });
    let fields = JsonFields::read(body.to_string().as_bytes(), &metrics);
    assert_eq!(fields.id().unwrap().as_str(), "a-1");
    assert_eq!(
        (fields.text("name").as_deref(), fields.size("size")),
        (Some("a.txt"), Some(5))
    );
    assert_eq!(
        fields.expiry("contentUrlExpiry").unwrap().1.as_deref(),
        Some("2022-01-27T20:04:25.498Z")
    );
    assert_eq!(
        (fields.text("contentUrl"), fields.life("expires_in")),
        (None, None)
    );
    for field in [
        "id",
        "name",
        "size",
        "contentUrl",
        "contentUrlExpiry",
        "body",
    ] {
        assert_eq!(odd(&metrics, field), 0, "{field}");
    }
}

#[test]
fn a_field_of_another_form_is_read_and_counted() {
    for (body, id) in [
        (r#"{"id": 7}"#, "7"),
        (r#"{"ID": "a"}"#, "a"),
        (r#"{"Id": 12345678901234567890}"#, "12345678901234567890"),
    ] {
        let metrics = metrics();
        assert_eq!(
            JsonFields::read(body.as_bytes(), &metrics)
                .id()
                .unwrap()
                .as_str(),
            id
        );
        assert_eq!(odd(&metrics, "id"), 1);
    }
    for size in [json!("4"), json!(4.0), json!(" 4 ")] {
        let metrics = metrics();
        assert_eq!(
            JsonFields::read(json!({"size": size}).to_string().as_bytes(), &metrics).size("size"),
            Some(4)
        );
        assert_eq!(odd(&metrics, "size"), 1);
    }
    for (given, read) in [
        (json!(["a/b"]), Some("a/b")),
        (json!({"value": "a/b"}), Some("a/b")),
        (json!({}), None),
        (json!(7), None),
    ] {
        let metrics = metrics();
        assert_eq!(
            JsonFields::read(
                json!({"content_type": given}).to_string().as_bytes(),
                &metrics
            )
            .text("contentType")
            .as_deref(),
            read
        );
        assert_eq!(odd(&metrics, "contentType"), 1);
    }
}

#[test]
fn an_expiry_is_equal_in_every_notation() {
    for expiry in [
        json!(1_790_000_000),
        json!(1_790_000_000_000_u64),
        json!("1790000000"),
        json!("1790000000000"),
        json!(1.79e9),
    ] {
        let metrics = metrics();
        let fields = JsonFields::read(
            json!({"contentUrlExpiry": expiry}).to_string().as_bytes(),
            &metrics,
        );
        assert_eq!(
            fields.expiry("contentUrlExpiry").unwrap().1.as_deref(),
            Some("2026-09-21T14:13:20Z"),
            "{expiry}"
        );
        assert_eq!(odd(&metrics, "contentUrlExpiry"), 1);
    }
    for nonsense in [json!("soon"), json!({}), json!([]), json!(null)] {
        let metrics = metrics();
        let fields = JsonFields::read(
            json!({"contentUrlExpiry": nonsense}).to_string().as_bytes(),
            &metrics,
        );
        assert_eq!(fields.expiry("contentUrlExpiry"), None, "{nonsense}");
    }
}

#[test]
fn an_id_is_read_from_a_truncated_response() {
    for body in [
        r#"{"id": "a", "size": NaN, "contentUrl": "x"}"#,
        r#"{"id": "a", "contentUrl": "https://stor"#,
        r#"{"id": "a",}"#,
        r#"{"id": "a"} trailing"#,
        "\u{feff} \n {\"id\": \"a\"}",
        r#"[{"id": "a"}, 7]"#,
        r#"{"asset": {"id": "a"}}"#,
        r#"{"data": {"asset": [{"id": "a"}]}}"#,
    ] {
        assert_eq!(
            JsonFields::read(body.as_bytes(), &metrics())
                .id()
                .map(|id| id.to_string())
                .as_deref(),
            Some("a"),
            "{body}"
        );
    }
}

#[test]
fn what_is_no_object_has_no_fields() {
    for body in [
        "",
        "null",
        "7",
        "\"id\"",
        "<html>id</html>",
        "[]",
        "[[[[[[{\"id\": \"a\"}]]]]]]",
        "{\"id\": null}",
        "{\"id\": \"../x\"}",
    ] {
        assert!(
            JsonFields::read(body.as_bytes(), &metrics()).id().is_none(),
            "{body}"
        );
    }
}
