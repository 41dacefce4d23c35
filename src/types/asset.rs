//! An asset as eGain knows it.

use std::fmt;
use std::time::Instant;

use crate::types::dual_instant::DualInstant;
use crate::types::secret::SignedUrl;

/// An asset's id: 1 to 255 of `A-Z a-z 0-9 . _ -`, but not `.` or `..`, so that it can be in a
/// path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AssetId(Box<str>);

impl AssetId {
    /// None for anything that can't be an id.
    pub fn parse(text: &str) -> Option<Self> {
        is_id(text).then(|| Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text can be an id of eGain's in a path.
pub(super) fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=255).contains(&text.len()) && text != "." && text != ".." && text.bytes().all(allowed)
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who sends, in eGain's words. Decides the direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Sender {
    /// The customer: inbound.
    #[default]
    Customer,
    /// A bot of the tenant's own.
    CustomBot,
    /// eGain's bot.
    EgainBot,
    /// An agent at eGain's desk.
    EgainAgent,
    /// An agent elsewhere.
    CustomAgent,
}

/// The longest name of a channel in characters.
const LONGEST_CHANNEL: usize = 64;

/// Whether this can be a channel type of eGain's: 1 to 64 of `A-Z a-z 0-9 . _ -`, all that eGain
/// documents. Names that look the same are the same then, but for their case, which nobody should
/// compare.
pub fn is_channel(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=LONGEST_CHANNEL).contains(&name.len()) && name.bytes().all(allowed)
}

impl Sender {
    /// The name in eGain's API.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Only the customer sends inbound.
    pub const fn direction(self) -> AssetDirection {
        match self {
            Self::Customer => AssetDirection::Inbound,
            _ => AssetDirection::Outbound,
        }
    }

    /// None for a name that eGain doesn't know.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssetDirection {
    /// From the customer.
    Inbound,
    /// To the customer.
    Outbound,
}

/// A signed URL and how long it is good for.
#[derive(Debug, Clone)]
pub struct ExpiringUrl {
    /// Where to read or write.
    pub url: SignedUrl,
    /// When it was requested, on the monotonic clock.
    pub requested: Instant,
    /// When it ends, see [`PeerClock::url_life`](crate::words::peer_time::PeerClock::url_life).
    /// None where eGain didn't say.
    pub expires: Option<DualInstant>,
    /// The expiry as eGain wrote it.
    pub expiry: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_can_stand_in_a_path() {
        assert!(AssetId::parse("0b7f3b0e-8a1c-4a55-9f5e-2f3f0c8f1a11").is_some());
        assert!(AssetId::parse(&"a".repeat(255)).is_some());
        for bad in ["", ".", "..", "a/b", "a%2fb", "é", "a b", &"a".repeat(256)] {
            assert!(AssetId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_channel_has_one_form() {
        for good in ["sms", "WhatsApp", "custom.line-2_x", &"a".repeat(64)] {
            assert!(is_channel(good), "{good}");
        }
        for bad in [
            "",
            " sms",
            "sms ",
            "sms\u{a0}",
            "\u{feff}sms",
            "s\u{ad}ms",
            "sm\u{455}",
            "a/b",
            "a\0",
            &"a".repeat(65),
        ] {
            assert!(!is_channel(bad), "{bad:?}");
        }
    }

    #[test]
    fn senders_have_the_names_that_egain_documents() {
        for name in [
            "customer",
            "custom_bot",
            "egain_bot",
            "egain_agent",
            "custom_agent",
        ] {
            assert_eq!(Sender::parse(name).map(Sender::name), Some(name));
        }
        assert_eq!(Sender::parse("Customer"), None);
    }
}
