//! Validators of a file's bytes (RFC 9110 section 8.8), and what they decide without storage.
//!
//! An id's bytes never change, so the id itself proves that a client has the right ones. Storage's
//! strong `ETag` is passed on where it has one; else, and for a `HEAD`, which makes no request to
//! storage, the gateway makes one of id and size. Both are understood whenever they come back.

use http::header::{
    ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::types::asset::AssetId;

/// What distinguishes a file's bytes from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentValidators {
    /// A strong entity tag, with its quotes.
    etag: Box<str>,
    /// `Last-Modified`, if storage sent one.
    last_modified: Option<Box<str>>,
}

impl ContentValidators {
    /// Made of what is known without storage.
    pub(super) fn own(id: &AssetId, size: Option<u64>) -> Self {
        let etag = match size {
            Some(size) => format!("\"{id}-{size}\""),
            None => format!("\"{id}\""),
        };
        Self {
            etag: etag.into(),
            last_modified: None,
        }
    }

    /// Storage's, as far as they are strong.
    pub(super) fn of(headers: &HeaderMap, id: &AssetId, size: Option<u64>) -> Self {
        let etag = match text(headers, &ETAG) {
            Some(tag) if is_strong(tag) => tag.into(),
            _ => Self::own(id, size).etag,
        };
        Self {
            etag,
            last_modified: text(headers, &LAST_MODIFIED).map(Box::from),
        }
    }

    /// Puts them into a response.
    pub fn write_to(&self, headers: &mut HeaderMap) {
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(ETAG, etag);
        }
        if let Some(date) = &self.last_modified
            && let Ok(date) = HeaderValue::from_str(date)
        {
            headers.insert(LAST_MODIFIED, date);
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A whole entity tag that is strong.
fn is_strong(tag: &str) -> bool {
    let Some(inner) = unquoted(tag) else {
        return false;
    };
    !inner.contains('"') && inner.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

fn unquoted(tag: &str) -> Option<&str> {
    tag.strip_prefix('"')?.strip_suffix('"')
}

/// What a client says it has of this asset.
pub(super) struct ClientValidators<'a> {
    pub id: &'a AssetId,
    /// The size, where it is known.
    pub size: Option<u64>,
    /// The validators that earlier responses had, where they are known.
    pub known: Option<&'a ContentValidators>,
}

impl ClientValidators<'_> {
    /// Whether the client has the file already, as its `If-None-Match` proves.
    pub(super) fn is_proven(&self, headers: &HeaderMap) -> bool {
        // These come first (RFC 9110 section 13.2.2), and only storage can tell.
        let decided_before =
            headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE);
        // A proxy that compresses makes a tag weak, which is enough here.
        let is_current = |tag: &str| self.fits(tag.strip_prefix("W/").unwrap_or(tag));
        !decided_before && tags(headers, &IF_NONE_MATCH).any(is_current)
    }

    /// Removes the conditions that the gateway's own tag has decided: storage doesn't know it.
    pub(super) fn remove_decided(&self, conditions: &mut HeaderMap) {
        if tags(conditions, &IF_MATCH).any(|tag| self.is_own(tag)) {
            conditions.remove(IF_MATCH);
            conditions.remove(IF_UNMODIFIED_SINCE);
        }
        if tags(conditions, &IF_RANGE).any(|tag| self.is_own(tag)) {
            conditions.remove(IF_RANGE);
        }
        if tags(conditions, &IF_NONE_MATCH).next().is_some() {
            // Storage has to ignore it beside `If-None-Match`, and not every one does.
            conditions.remove(IF_MODIFIED_SINCE);
        }
    }

    fn fits(&self, tag: &str) -> bool {
        self.known.is_some_and(|known| *known.etag == *tag) || self.is_own(tag)
    }

    fn is_own(&self, tag: &str) -> bool {
        let Some(inner) = unquoted(tag) else {
            return false;
        };
        let Some(rest) = inner.strip_prefix(self.id.as_str()) else {
            return false;
        };
        let Some(size) = rest.strip_prefix('-') else {
            return rest.is_empty();
        };
        match size.parse::<u64>() {
            Ok(size) => self.size.is_none_or(|known| known == size),
            Err(_) => false,
        }
    }
}

/// The entity tags of a list. A comma within one cuts it, and then it fits nothing.
fn tags<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> AssetId {
        AssetId::parse("0b7f-1.a").unwrap()
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn proven(size: Option<u64>, pairs: &[(HeaderName, &str)]) -> bool {
        ClientValidators {
            id: &id(),
            size,
            known: None,
        }
        .is_proven(&headers(pairs))
    }

    #[test]
    fn a_strong_storage_tag_goes_before_our_own() {
        let strong = headers(&[
            (ETAG, "\"abc\""),
            (LAST_MODIFIED, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ]);
        let known = ContentValidators::of(&strong, &id(), Some(10));
        assert_eq!(
            (&*known.etag, known.last_modified.is_some()),
            ("\"abc\"", true)
        );
        for weak in ["W/\"abc\"", "abc", "\"abc", "\"a\"b\"", ""] {
            let known = ContentValidators::of(&headers(&[(ETAG, weak)]), &id(), Some(10));
            assert_eq!(known, ContentValidators::own(&id(), Some(10)), "{weak}");
        }
        assert_eq!(
            &*ContentValidators::own(&id(), Some(10)).etag,
            "\"0b7f-1.a-10\""
        );
        assert_eq!(&*ContentValidators::own(&id(), None).etag, "\"0b7f-1.a\"");
    }

    #[test]
    fn a_tag_of_this_id_proves_possession() {
        for tag in [
            "\"0b7f-1.a-10\"",
            "W/\"0b7f-1.a-10\"",
            "\"x\", \"0b7f-1.a-10\"",
            "\"0b7f-1.a\"",
        ] {
            assert!(
                proven(Some(10), &[(IF_NONE_MATCH, tag)]) && proven(None, &[(IF_NONE_MATCH, tag)]),
                "{tag}"
            );
        }
        for tag in [
            "\"0b7f-1.a-11\"",
            "\"0b7f-1.b-10\"",
            "\"0b7f-1.a-10-10\"",
            "\"0b7f-1.a-x\"",
            "0b7f-1.a-10",
            "*",
            "\"\"",
            "",
        ] {
            assert!(!proven(Some(10), &[(IF_NONE_MATCH, tag)]), "{tag}");
        }
        let known = ContentValidators::of(&headers(&[(ETAG, "\"abc\"")]), &id(), None);
        let having = ClientValidators {
            id: &id(),
            size: None,
            known: Some(&known),
        };
        assert!(having.is_proven(&headers(&[(IF_NONE_MATCH, "\"abc\"")])));
        assert!(!having.is_proven(&headers(&[(IF_NONE_MATCH, "\"abd\"")])));
    }

    #[test]
    fn what_comes_before_it_is_left_to_storage() {
        let own = (IF_NONE_MATCH, "\"0b7f-1.a-10\"");
        assert!(!proven(Some(10), &[own.clone(), (IF_MATCH, "\"abc\"")]));
        assert!(!proven(
            Some(10),
            &[own, (IF_UNMODIFIED_SINCE, "Thu, 01 Jan 1970 00:00:00 GMT")]
        ));
    }

    #[test]
    fn storage_never_sees_the_gateways_own_tag() {
        let left = |pairs: &[(HeaderName, &str)]| {
            let mut conditions = headers(pairs);
            ClientValidators {
                id: &id(),
                size: Some(10),
                known: None,
            }
            .remove_decided(&mut conditions);
            conditions.keys().cloned().collect::<Vec<_>>()
        };
        let (own, other) = ("\"0b7f-1.a-10\"", "\"abc\"");
        assert!(
            left(&[(IF_RANGE, own)]).is_empty()
                && left(&[(IF_MATCH, own), (IF_UNMODIFIED_SINCE, "x")]).is_empty()
        );
        assert_eq!(left(&[(IF_RANGE, other)]), [IF_RANGE]);
        assert_eq!(
            left(&[(IF_RANGE, "W/\"0b7f-1.a-10\"")]),
            [IF_RANGE],
            "a weak one proves nothing here"
        );
        assert_eq!(left(&[(IF_MATCH, other)]), [IF_MATCH]);
        assert_eq!(
            left(&[(IF_NONE_MATCH, other), (IF_MODIFIED_SINCE, "x")]),
            [IF_NONE_MATCH]
        );
    }
}
