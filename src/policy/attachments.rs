//! What a channel of eGain's lets be attached, in eGain's terms: extensions and a size, by
//! direction.

use std::collections::BTreeSet;

use crate::types::attachment_limit::{AttachmentLimit, LimitSource};
use crate::types::error::{Error, ErrorCode, Stage};

/// eGain's own most, and its default (`attachmentPolicy.maxSize`).
pub const LARGEST: u64 = 10 * 1024 * 1024;

/// Extensions that mean the same type; the first one represents both.
const EQUIVALENT: [(&str, &str); 3] = [("jpg", "jpeg"), ("tif", "tiff"), ("htm", "html")];

/// What may be attached in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentPolicy {
    /// Whether anything may be.
    pub enabled: bool,
    /// Bytes.
    pub max_size: u64,
    /// Which files.
    pub extensions: ExtensionRule,
}

/// Which files, by the extension of their name: lower case, without a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtensionRule {
    /// All of them.
    Any,
    /// These only.
    Allow(BTreeSet<String>),
    /// All but these.
    Block(BTreeSet<String>),
}

impl Default for AttachmentPolicy {
    /// What eGain allows where a channel says nothing.
    fn default() -> Self {
        Self {
            enabled: true,
            max_size: LARGEST,
            extensions: ExtensionRule::Any,
        }
    }
}

impl AttachmentPolicy {
    /// Nothing at all.
    pub fn nothing() -> Self {
        Self {
            enabled: false,
            ..Self::default()
        }
    }

    /// Judges a file by the extension of the name that it will be stored under, which agrees with
    /// its bytes.
    ///
    /// # Errors
    /// The channel takes no attachments, or none of this kind.
    pub fn check(&self, channel: &str, extension: &str) -> Result<(), Error> {
        if !self.enabled {
            let detail = format!(
                "the channel {channel} takes no attachments in this direction: an operator can \
                 allow them in eGain"
            );
            return Err(
                Error::caller(ErrorCode::Forbidden, Stage::Policy, detail).with_limit(self.limit())
            );
        }
        if self.takes(extension) {
            return Ok(());
        }
        let detail = match &self.extensions {
            ExtensionRule::Allow(allowed) => {
                let allowed = allowed
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ");
                format!(
                    "the channel {channel} doesn't take .{extension} files: send one of {allowed}"
                )
            }
            _ => format!(
                "the channel {channel} doesn't take .{extension} files: send another type of file"
            ),
        };
        Err(
            Error::caller(ErrorCode::TypeNotAllowed, Stage::Policy, detail)
                .with_limit(self.limit()),
        )
    }

    /// The rule as a caller sees it.
    fn limit(&self) -> AttachmentLimit {
        let allowed = match &self.extensions {
            ExtensionRule::Allow(allowed) if self.enabled => {
                Some(allowed.iter().cloned().collect())
            }
            _ if !self.enabled => Some(Vec::new()),
            _ => None,
        };
        AttachmentLimit {
            source: LimitSource::EgainChannel,
            max_size: Some(self.max_size),
            allowed,
        }
    }

    fn takes(&self, extension: &str) -> bool {
        let listed =
            |list: &BTreeSet<String>| list.iter().any(|known| same(known) == same(extension));
        match &self.extensions {
            ExtensionRule::Any => true,
            ExtensionRule::Allow(allowed) => listed(allowed),
            ExtensionRule::Block(blocked) => !listed(blocked),
        }
    }
}

/// One name for extensions that mean the same.
fn same(extension: &str) -> String {
    let extension = extension.trim_start_matches('.').to_ascii_lowercase();
    EQUIVALENT
        .iter()
        .find(|(_, long)| *long == extension)
        .map_or(extension, |(short, _)| (*short).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(extensions: &[&str]) -> BTreeSet<String> {
        extensions
            .iter()
            .map(|extension| (*extension).to_owned())
            .collect()
    }

    fn code(policy: &AttachmentPolicy, extension: &str) -> Option<ErrorCode> {
        policy
            .check("whatsapp", extension)
            .err()
            .map(|error| error.code())
    }

    #[test]
    fn an_allow_list_takes_only_equivalents_in_any_case() {
        let policy = AttachmentPolicy {
            extensions: ExtensionRule::Allow(list(&["jpeg", "tif", "pdf"])),
            ..AttachmentPolicy::default()
        };
        for taken in ["jpg", "jpeg", "JPG", ".tiff", "pdf"] {
            assert_eq!(code(&policy, taken), None, "{taken}");
        }
        for refused in ["png", "jpe", "pdfx", ""] {
            assert_eq!(
                code(&policy, refused),
                Some(ErrorCode::TypeNotAllowed),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_block_list_refuses_equivalents_too() {
        let policy = AttachmentPolicy {
            extensions: ExtensionRule::Block(list(&["htm", "exe"])),
            ..AttachmentPolicy::default()
        };
        assert_eq!(
            [code(&policy, "html"), code(&policy, "exe")],
            [Some(ErrorCode::TypeNotAllowed); 2]
        );
        assert_eq!(code(&policy, "png"), None);
    }

    #[test]
    fn a_refusal_cites_the_rule() {
        let policy = AttachmentPolicy {
            max_size: 7,
            extensions: ExtensionRule::Allow(list(&["png"])),
            enabled: true,
        };
        let error = policy.check("byoc", "gif").unwrap_err();
        assert_eq!(error.limit(), Some(&policy.limit()));
        assert!(error.detail().contains("send one of png"), "{error}");
        assert_eq!(
            code(&AttachmentPolicy::nothing(), "png"),
            Some(ErrorCode::Forbidden)
        );
    }
}
