//! Redaction: takes a secret out of text that others wrote, also where they quote it in another
//! encoding.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;

/// What replaces a secret.
const HIDDEN: &str = "[hidden]";
/// Longer text isn't searched in every encoding, and so isn't shown, in bytes.
const LONGEST_TEXT: usize = 16 * 1024;
/// Fewer base64 digits than this are a word.
const SHORTEST_BASE64: usize = 4;

/// The text without the secret. Where the secret is quoted in another encoding (as a form, in JSON,
/// HTML or base64, or in two of them one over the other), nothing of the text is shown.
pub fn redact(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let text = text.replace(secret, HIDDEN);
    if text.len() > LONGEST_TEXT || quotes(&text, secret) {
        HIDDEN.to_owned()
    } else {
        text
    }
}

/// Whether any reading of the text has the secret.
fn quotes(text: &str, secret: &str) -> bool {
    let has = |text: &str| text.contains(secret);
    readings(text)
        .iter()
        .any(|once| has(once) || readings(once).iter().any(|twice| has(twice)))
}

/// The text in all encodings that a sender of forms and JSON may quote it in, taken for one of them
/// at a time.
fn readings(text: &str) -> [String; 5] {
    let percent = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    [
        percent(text),
        percent(&text.replace('+', " ")),
        without_escapes(text),
        without_entities(text),
        without_base64(text),
    ]
}

/// `a\/b\u0026c` as `a/b&c`.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let escaped = if c == '\\' { rest.next() } else { None };
        let digits = match escaped {
            None => {
                plain.push(c);
                continue;
            }
            Some('u') => 4,
            Some('x') => 2,
            Some(other) => {
                plain.push(other);
                continue;
            }
        };
        let number: String = rest.by_ref().take(digits).collect();
        plain.extend(
            u32::from_str_radix(&number, 16)
                .ok()
                .and_then(char::from_u32),
        );
    }
    plain
}

/// `a&amp;b&#39;` as `a&b'`.
fn without_entities(text: &str) -> String {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let entity = part
            .split_once(';')
            .and_then(|(name, rest)| Some((entity(name)?, rest)));
        match entity {
            Some((c, rest)) => {
                plain.push(c);
                plain.push_str(rest);
            }
            None => {
                plain.push('&');
                plain.push_str(part);
            }
        }
    }
    plain
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let hex = number
                .strip_prefix(['x', 'X'])
                .map(|digits| u32::from_str_radix(digits, 16));
            char::from_u32(hex.unwrap_or_else(|| number.parse()).ok()?)
        }
    }
}

/// `Basic YTpi` as ` a:b`, as far as it is base64.
fn without_base64(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let decoded = |run: &str| {
        let standard: Cow<'_, str> = run.replace('-', "+").replace('_', "/").into();
        let bytes = STANDARD_NO_PAD
            .decode(&*standard)
            .or_else(|_| URL_SAFE_NO_PAD.decode(run))
            .ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let runs = text
        .split(|c| !is_digit(c))
        .filter(|run| run.len() >= SHORTEST_BASE64);
    runs.filter_map(decoded).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use url::form_urlencoded::byte_serialize;

    use super::*;

    const SECRETS: [&str; 5] = [
        "hun/ter+2&x",
        "a b\"c\\d",
        "p%41ss~word",
        "<fünf>'&",
        "plain-secret",
    ];

    #[test]
    fn a_secret_in_clear_leaves_the_rest_readable() {
        for secret in SECRETS {
            assert_eq!(
                redact(&format!("no client with {secret}, sorry"), secret),
                "no client with [hidden], sorry"
            );
        }
    }

    #[test]
    fn a_secret_in_any_encoding_hides_the_whole_text() {
        for secret in SECRETS {
            let form: String = byte_serialize(secret.as_bytes()).collect();
            let percent = form.replace('+', "%20");
            let json = serde_json::to_string(secret)
                .unwrap()
                .trim_matches('"')
                .to_owned();
            let in_ascii: String = secret
                .encode_utf16()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect();
            let html: String = secret.chars().map(|c| format!("&#{};", c as u32)).collect();
            let quoted = [
                form.clone(),
                lower_hex(&form),
                percent,
                json.replace('/', "\\/"),
                in_ascii,
                html,
                secret
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;"),
                STANDARD.encode(format!("client:{secret}")),
                URL_SAFE.encode(format!("client:{form}")),
                STANDARD.encode(format!("grant_type=x&client_secret={form}")),
                serde_json::to_string(&json).unwrap(),
            ];
            for quoted in quoted {
                let shown = redact(&format!("why: Basic {quoted}, no"), secret);
                assert!(
                    shown.contains(HIDDEN) && !shown.contains(&quoted),
                    "{quoted}: {shown}"
                );
            }
        }
    }

    /// `%2F` as `%2f`.
    fn lower_hex(form: &str) -> String {
        let mut parts = form.split('%');
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |text, part| {
            text + "%" + &part[..2].to_lowercase() + &part[2..]
        })
    }

    #[test]
    fn text_that_quotes_nothing_stays_as_it_is() {
        for text in [
            "AADSTS7000215: Invalid client secret provided.",
            "50% of a+b \\ &c; YWJj",
            "",
        ] {
            assert_eq!(redact(text, "hunter2"), text);
        }
        assert_eq!(redact("anything", ""), "anything");
    }

    #[test]
    fn text_too_long_to_be_searched_isnt_shown() {
        assert_eq!(redact(&"x".repeat(LONGEST_TEXT + 1), "secret"), HIDDEN);
    }
}
