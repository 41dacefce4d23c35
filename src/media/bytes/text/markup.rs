//! What text that begins with `<` is: HTML, SVG or other XML, by its first element.

use crate::media::bytes::detection::Detection;
use crate::media::table::MediaForm;

/// Elements that begin nothing but a page (WHATWG MIME sniffing, section 7.1, less those that
/// also begin Markdown and plain prose).
const PAGE: &[&str] = &[
    "html", "head", "body", "script", "iframe", "style", "title", "meta", "link", "base",
];
/// Elements that begin a fragment of HTML, and many a README.
const FRAGMENT: &[&str] = &[
    "h1", "h2", "h3", "h4", "h5", "h6", "div", "span", "font", "table", "a", "b", "br", "p", "img",
    "ul", "ol", "center", "form", "object", "embed", "details",
];
/// The bound on comments, instructions and spaces in front of the first element.
const MAX_PROLOG: usize = 64;

/// What XML, or text that only begins like it, may be claimed to be.
const MARKUP: &[MediaForm] = &[
    MediaForm::Text,
    MediaForm::Script,
    MediaForm::Html,
    MediaForm::Xml,
];

/// The kind of a text that begins with `<`.
pub(super) fn read(start: &str) -> Detection {
    let prolog = Prolog::skip(start);
    let name = prolog.element();
    let is = |listed: &[&str]| {
        listed
            .iter()
            .any(|element| element.eq_ignore_ascii_case(name))
    };
    if local(name).eq_ignore_ascii_case("svg") {
        Detection::only("image/svg+xml")
    } else if prolog.html || is(PAGE) {
        Detection::with_alternatives("text/html", &[MediaForm::Script, MediaForm::Html])
    } else if prolog.xml {
        Detection::with_alternatives("text/xml", MARKUP)
    } else if is(FRAGMENT) && closes(prolog.rest) && has_end_tag(prolog.rest) {
        Detection::with_alternatives(
            "text/html",
            &[MediaForm::Text, MediaForm::Script, MediaForm::Html],
        )
    } else {
        Detection::with_alternatives("text/plain", MARKUP)
    }
}

/// What is in front of the first element, and what follows.
struct Prolog<'a> {
    xml: bool,
    html: bool,
    rest: &'a str,
}

impl<'a> Prolog<'a> {
    fn skip(start: &'a str) -> Self {
        let mut prolog = Self {
            xml: false,
            html: false,
            rest: start,
        };
        for _ in 0..MAX_PROLOG {
            let Some(rest) = prolog.step() else { break };
            prolog.rest = rest.trim_start();
        }
        prolog
    }

    /// What follows one comment, instruction or document type, or none if this is none of them.
    fn step(&mut self) -> Option<&'a str> {
        let rest = self.rest;
        if rest.starts_with("<!--") {
            after(rest, "-->")
        } else if rest.starts_with("<?") {
            self.xml |= rest.starts_with("<?xml");
            after(rest, "?>")
        } else if begins(rest, "<!doctype") {
            self.html |= begins(rest["<!doctype".len()..].trim_start(), "html");
            after_doctype(rest)
        } else {
            None
        }
    }

    fn element(&self) -> &'a str {
        let name = self.rest.strip_prefix('<').unwrap_or_default();
        &name[..name
            .find(|c: char| !c.is_alphanumeric() && !":-_.".contains(c))
            .unwrap_or(name.len())]
    }
}

fn after<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let at = text.find(end)?;
    Some(&text[at + end.len()..])
}

/// Whether a text begins with a word, in any case.
fn begins(text: &str, word: &str) -> bool {
    match text.get(..word.len()) {
        Some(start) => start.eq_ignore_ascii_case(word),
        None => false,
    }
}

/// A document type may hold declarations in brackets, each with a `>` of its own.
fn after_doctype(text: &str) -> Option<&str> {
    let end = text.find('>')?;
    match text.find('[') {
        Some(bracket) if bracket < end => after(after(&text[bracket..], "]")?, ">"),
        _ => Some(&text[end + 1..]),
    }
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Whether the first tag ends before another begins: `<a ` may open a sentence about sets.
fn closes(rest: &str) -> bool {
    let Some(tag) = rest.get(1..) else {
        return false;
    };
    match tag.find(['<', '>']) {
        Some(at) => tag[at..].starts_with('>'),
        None => false,
    }
}

fn has_end_tag(rest: &str) -> bool {
    rest.contains("</") || rest.contains("/>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn essence(text: &str) -> &'static str {
        read(text).row.essence
    }

    #[test]
    fn pages_are_known_behind_comments_and_prologs() {
        assert_eq!(essence("<!DOCTYPE html>\n<p>hi"), "text/html");
        assert_eq!(
            essence("<!-- saved from x -->\n<HTML lang=de>"),
            "text/html"
        );
        assert_eq!(
            essence("<?xml version='1.0'?><html xmlns='x'/>"),
            "text/html"
        );
        assert_eq!(essence("<script>alert(1)</script>"), "text/html");
        assert_eq!(essence("<h2>Hi</h2><script>alert(1)</script>"), "text/html");
    }

    #[test]
    fn drawings_are_known_behind_prologs_and_prefixes() {
        assert_eq!(
            essence("<svg xmlns='http://www.w3.org/2000/svg'/>"),
            "image/svg+xml"
        );
        assert_eq!(
            essence(
                "<?xml version='1.0'?>\n<!-- x --><!DOCTYPE svg [<!ENTITY a 'b'>]>\n<svg:svg >"
            ),
            "image/svg+xml"
        );
    }

    #[test]
    fn prose_that_begins_with_a_tag_is_prose() {
        assert_eq!(essence("<a b c> is a tuple"), "text/plain");
        assert_eq!(essence("<a < b"), "text/plain");
        assert_eq!(essence("<Anna> hello"), "text/plain");
    }

    #[test]
    fn other_xml_is_xml_and_may_be_claimed() {
        assert_eq!(essence("<?xml version='1.0'?><gpx/>"), "text/xml");
        assert!(read("<gpx/>").alternatives.contains(&MediaForm::Xml));
    }

    #[test]
    fn an_endless_prolog_ends_the_search() {
        assert_eq!(essence(&"<!---->".repeat(100)), "text/plain");
        assert_eq!(essence("<!--"), "text/plain");
        assert_eq!(essence("<!doctypeé"), "text/plain");
    }
}
