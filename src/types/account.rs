//! Ids of accounts and channels.

use std::fmt;

use super::asset::is_id;

/// An account's id, as it can stand in a path; eGain's have 36 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Box<str>);

/// A channel's id, likewise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChannelId(Box<str>);

impl AccountId {
    /// None for anything that can't be an id.
    pub fn parse(text: &str) -> Option<Self> {
        is_id(text).then(|| Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ChannelId {
    /// None for anything that can't be an id.
    pub fn parse(text: &str) -> Option<Self> {
        is_id(text).then(|| Self(text.into()))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
