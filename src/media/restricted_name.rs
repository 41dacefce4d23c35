//! Half of a MIME type (RFC 6838 section 4.2).

/// Whether this can be a type or a subtype: it has no wildcard, and nothing that a pattern could
/// take for one.
pub(super) fn is_restricted_name(name: &str) -> bool {
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte));
    is_plain && name.len() <= 127 && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}
