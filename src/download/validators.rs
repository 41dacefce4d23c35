//! Validators of a file's bytes (RFC 9110 section 8.8), and what they answer without storage.
//!
//! An id's bytes never change, so the id itself proves that a client has the right ones. Storage's
//! strong `ETag` is passed on where it has one; else, and for a `HEAD`, which storage isn't asked
//! for, the gateway makes one of id and size. Both are understood whenever they come back.

use http::header::{
    ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderValue};

use crate::types::asset::AssetId;

/// What tells a file's bytes from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentValidators {
    /// A strong entity tag, with its quotes.
    etag: Box<str>,
    /// `Last-Modified`, if storage told one.
    last_modified: Option<Box<str>>,
}

impl ContentValidators {
    /// Made of what is known without storage.
    pub(super) fn own(id: &AssetId, size: Option<u64>) -> Self {
        let size = size.map(|size| format!("-{size}")).unwrap_or_default();
        Self {
            etag: format!("\"{id}{size}\"").into(),
            last_modified: None,
        }
    }

    /// Storage's, as far as they are strong.
    pub(super) fn of(headers: &HeaderMap, id: &AssetId, size: Option<u64>) -> Self {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(Box::<str>::from)
        };
        let etag = text(&ETAG)
            .filter(|tag| is_strong(tag))
            .unwrap_or_else(|| Self::own(id, size).etag);
        Self {
            etag,
            last_modified: text(&LAST_MODIFIED),
        }
    }

    /// Puts them into a response.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let told = [
            (ETAG, Some(&self.etag)),
            (LAST_MODIFIED, self.last_modified.as_ref()),
        ];
        for (name, text) in told {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
                headers.insert(name, value);
            }
        }
    }
}

/// A whole entity tag that is strong.
fn is_strong(tag: &str) -> bool {
    let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    inner.is_some_and(|inner| {
        !inner.contains('"') && inner.bytes().all(|byte| byte > b' ' && byte != 0x7f)
    })
}

/// What a client says it has of this asset.
pub(super) struct ClientValidators<'a> {
    pub id: &'a AssetId,
    /// The size, where it is known.
    pub size: Option<u64>,
    /// The validators that were told, where they are known.
    pub told: Option<&'a ContentValidators>,
}

impl ClientValidators<'_> {
    /// Whether the client has the file already, as its `If-None-Match` proves.
    pub(super) fn is_proven(&self, headers: &HeaderMap) -> bool {
        // These come first (RFC 9110 section 13.2.2), and only storage can tell.
        let decided_before =
            headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE);
        // A proxy that compresses makes a tag weak, which is enough here.
        let mut tags =
            tags(headers, &IF_NONE_MATCH).map(|tag| tag.strip_prefix("W/").unwrap_or(tag));
        !decided_before && tags.any(|tag| self.fits(tag))
    }

    /// Takes away what the gateway's own tag has answered: storage doesn't know it.
    pub(super) fn settle(&self, conditions: &mut HeaderMap) {
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
        self.told.is_some_and(|told| *told.etag == *tag) || self.is_own(tag)
    }

    fn is_own(&self, tag: &str) -> bool {
        let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let Some(rest) = inner.and_then(|inner| inner.strip_prefix(self.id.as_str())) else {
            return false;
        };
        match rest.strip_prefix('-').map(str::parse::<u64>) {
            Some(Ok(size)) => self.size.is_none_or(|known| known == size),
            Some(Err(_)) => false,
            None => rest.is_empty(),
        }
    }
}

/// The entity tags of a list. A comma within one cuts it, and then it fits nothing.
fn tags<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'h str> {
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
    use http::HeaderName;

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
            told: None,
        }
        .is_proven(&headers(pairs))
    }

    #[test]
    fn a_strong_storage_tag_goes_before_our_own() {
        let strong = headers(&[
            (ETAG, "\"abc\""),
            (LAST_MODIFIED, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ]);
        let told = ContentValidators::of(&strong, &id(), Some(10));
        assert_eq!(
            (&*told.etag, told.last_modified.is_some()),
            ("\"abc\"", true)
        );
        for weak in ["W/\"abc\"", "abc", "\"abc", "\"a\"b\"", ""] {
            let told = ContentValidators::of(&headers(&[(ETAG, weak)]), &id(), Some(10));
            assert_eq!(told, ContentValidators::own(&id(), Some(10)), "{weak}");
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
        let told = ContentValidators::of(&headers(&[(ETAG, "\"abc\"")]), &id(), None);
        let having = ClientValidators {
            id: &id(),
            size: None,
            told: Some(&told),
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
        let settled = |pairs: &[(HeaderName, &str)]| {
            let mut conditions = headers(pairs);
            ClientValidators {
                id: &id(),
                size: Some(10),
                told: None,
            }
            .settle(&mut conditions);
            conditions.keys().cloned().collect::<Vec<_>>()
        };
        let (own, other) = ("\"0b7f-1.a-10\"", "\"abc\"");
        assert!(
            settled(&[(IF_RANGE, own)]).is_empty()
                && settled(&[(IF_MATCH, own), (IF_UNMODIFIED_SINCE, "x")]).is_empty()
        );
        assert_eq!(settled(&[(IF_RANGE, other)]), [IF_RANGE]);
        assert_eq!(
            settled(&[(IF_RANGE, "W/\"0b7f-1.a-10\"")]),
            [IF_RANGE],
            "a weak one proves nothing here"
        );
        assert_eq!(settled(&[(IF_MATCH, other)]), [IF_MATCH]);
        assert_eq!(
            settled(&[(IF_NONE_MATCH, other), (IF_MODIFIED_SINCE, "x")]),
            [IF_NONE_MATCH]
        );
    }
}
