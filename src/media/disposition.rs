//! How a download presents itself (RFC 6266): under its name, and shown in place only where that
//! can't run anything.

use mime::Mime;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::clean_name::clean;
use super::table;

/// All but the `attr-char` of RFC 8187, section 3.2.1.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The `Content-Disposition` of a download: ASCII, safe as a header's value whatever the name.
///
/// `inline` for pictures other than SVG, sound, film and plain text; `attachment` for all that may
/// carry script (HTML, SVG, XML, PDF) and all that is unknown. `content_type` may have parameters.
pub fn content_disposition(name: &str, content_type: &str) -> String {
    let kind = if viewer(content_type).is_some() {
        "inline"
    } else {
        "attachment"
    };
    let Some(name) = clean(name) else {
        return kind.to_owned();
    };
    let plain = plain(&name);
    if plain == name {
        format!("{kind}; filename=\"{plain}\"")
    } else {
        format!(
            "{kind}; filename=\"{plain}\"; filename*=UTF-8''{}",
            utf8_percent_encode(&name, NOT_ATTR_CHAR)
        )
    }
}

/// With what a browser shows a file in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InlineViewer {
    /// A picture.
    Image,
    /// Sound or film.
    Media,
    /// Plain text.
    Text,
}

/// None for what may carry script or is unknown, which is only ever saved. PDFs, too: browsers
/// don't show them in a sandbox.
pub fn viewer(content_type: &str) -> Option<InlineViewer> {
    let essence = essence(content_type);
    let essence = table::canonical(&essence);
    match essence.split_once('/')? {
        ("image", subtype) if subtype.contains("xml") || subtype.contains("svg") => None,
        ("image", _) => Some(InlineViewer::Image),
        ("audio" | "video", _) => Some(InlineViewer::Media),
        ("text", "plain") => Some(InlineViewer::Text),
        _ => None,
    }
}

/// Whether `exact` is the type `plain` with parameters (`charset`, `codecs`), of which `plain` has
/// none.
pub fn adds_parameters(exact: &str, plain: &str) -> bool {
    let (Ok(exact), Ok(plain)) = (exact.parse::<Mime>(), plain.parse::<Mime>()) else {
        return false;
    };
    exact.essence_str() == plain.essence_str()
        && exact.params().next().is_some()
        && plain.params().next().is_none()
}

/// Whether it is text of which nothing says in what characters, neither `content_type` nor the text
/// itself as HTML and XML do.
pub fn lacks_charset(content_type: &str) -> bool {
    let names_one = content_type.split(';').skip(1).any(|parameter| {
        parameter
            .trim_start()
            .to_ascii_lowercase()
            .starts_with("charset")
    });
    matches!(
        essence(content_type).as_str(),
        "text/plain" | "text/csv" | "text/markdown"
    ) && !names_one
}

fn essence(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Whether text that begins like this is UTF-8; its last character may be cut.
pub fn is_utf8(beginning: &[u8]) -> bool {
    let is_text = match std::str::from_utf8(beginning) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_text && !beginning.contains(&0)
}

/// For clients that know only `filename`. A quote or backslash would need escapes that browsers
/// read differently, and a percent sign is decoded by some (RFC 6266, appendix D).
fn plain(name: &str) -> String {
    let safe = |c: char| match c {
        '"' | '\\' | '%' => '_',
        ' '..='~' => c,
        _ => '_',
    };
    name.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_nothing_is_shown_in_place() {
        for inline in [
            "image/png",
            "IMAGE/JPEG",
            "audio/ogg;codecs=opus",
            "video/mp4",
            "text/plain; charset=utf-8",
        ] {
            assert!(
                content_disposition("a", inline).starts_with("inline; "),
                "{inline}"
            );
        }
        let attached = [
            "image/svg+xml",
            "image/svg",
            "text/html",
            "text/xml",
            "application/pdf",
            "text/csv",
            "",
            "image",
            "text/javascript",
        ];
        for attached in attached {
            assert!(
                content_disposition("a", attached).starts_with("attachment; "),
                "{attached}"
            );
        }
    }

    #[test]
    fn a_charset_is_lacking_only_where_nothing_names_it() {
        for lacking in [
            "text/plain",
            "Text/Plain; format=flowed",
            "text/csv;header=present",
            "text/markdown",
        ] {
            assert!(lacks_charset(lacking), "{lacking}");
        }
        for told in [
            "text/plain; charset=iso-8859-1",
            "text/plain;Charset=utf-8",
            "text/html",
            "text/xml",
            "image/png",
            "",
        ] {
            assert!(!lacks_charset(told), "{told}");
        }
    }

    #[test]
    fn text_with_a_cut_last_character_is_utf_8() {
        let text = "Gr\u{fc}\u{df}e \u{4f60}".as_bytes();
        assert!((0..=text.len()).all(|end| is_utf8(&text[..end])));
        for other in [&b"Gr\xfc\xdfe"[..], b"\xff\xfeG\0", b"G\0r\0"] {
            assert!(!is_utf8(other), "{other:?}");
        }
    }

    #[test]
    fn a_plain_name_stands_alone() {
        assert_eq!(
            content_disposition("my photo.jpg", "image/jpeg"),
            "inline; filename=\"my photo.jpg\""
        );
    }

    #[test]
    fn any_other_name_is_given_twice() {
        assert_eq!(
            content_disposition("Grüße \"€\".pdf", "application/pdf"),
            "attachment; filename=\"Gr__e ___.pdf\"; \
             filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%22%E2%82%AC%22.pdf"
        );
        assert_eq!(
            content_disposition("100%.txt", "text/plain"),
            "inline; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"
        );
    }

    #[test]
    fn a_hostile_name_can_not_leave_its_header() {
        assert_eq!(
            content_disposition("../..\\a\r\nSet-Cookie: x=1\u{202e}", "image/png"),
            "inline; filename=\"aSet-Cookie: x=1\""
        );
        assert_eq!(content_disposition("..", "image/png"), "inline");
    }

    #[test]
    fn parameters_are_added_only_to_the_same_bare_type() {
        let plain = "text/plain";
        assert!(adds_parameters("text/plain; charset=iso-8859-1", plain));
        assert!(adds_parameters("Text/Plain;Charset=big5", plain));
        assert!(adds_parameters("audio/ogg; codecs=opus", "audio/ogg"));
        for (exact, plain) in [
            ("text/plain", plain),
            ("text/csv; charset=utf-8", plain),
            ("text/plain; charset=big5", "text/plain; charset=utf-8"),
            ("no type; charset=big5", plain),
            ("", plain),
        ] {
            assert!(!adds_parameters(exact, plain), "{exact} over {plain}");
        }
    }
}
