//! What may be sent: verdicts on a file's type. Pure: the caller counts and logs.

pub mod attachments;

use std::collections::BTreeMap;

use crate::media::{ExtensionOutcome, MediaKind, MediaPattern, SniffedType, StoredName};
use crate::types::asset::AssetDirection;
use crate::types::attachment_limit::{AttachmentLimit, LimitSource};
use crate::types::error::{Error, ErrorCode, Stage};

/// What to do with a file whose name or declared type contradicts its bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub enum OnTypeMismatch {
    /// Store it under a name that agrees with the bytes.
    Rename,
    /// Refuse it.
    Refuse,
}

/// What one channel allows in one direction, beside what holds for all channels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DirectionRules {
    /// For every file.
    pub all: FileRules,
    /// For files of a kind, beside those.
    pub kinds: BTreeMap<MediaKind, FileRules>,
}

/// What files have to be like.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileRules {
    /// The largest file in bytes.
    pub max_size: Option<u64>,
    /// Types that are allowed; None for all.
    pub allow: Option<Vec<MediaPattern>>,
    /// Types that are refused.
    pub deny: Vec<MediaPattern>,
}

/// A channel's rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChannelRules {
    /// For what the customer sends.
    pub inbound: DirectionRules,
    /// For what is sent to the customer.
    pub outbound: DirectionRules,
}

/// What to do with a channel that nobody has named.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub enum UnknownChannels {
    /// Let it pass: eGain knows its channels.
    Allow,
    /// Refuse it.
    Refuse,
}

/// The rules.
#[derive(Debug, Clone)]
pub struct UploadPolicy {
    /// Types that are refused, whatever `allow` says.
    pub deny: Vec<MediaPattern>,
    /// Types that are allowed.
    pub allow: Vec<MediaPattern>,
    /// Contradictions.
    pub on_mismatch: OnTypeMismatch,
    /// Whether a refusal is only counted and logged.
    pub report_only: bool,
    /// Rules by eGain channel type; its case doesn't count.
    pub channels: BTreeMap<String, ChannelRules>,
    /// Channels that are named nowhere.
    pub unknown_channels: UnknownChannels,
    /// Channels that are named, though they have no rules.
    pub named_channels: Vec<String>,
}

impl UploadPolicy {
    /// Checks a file by what its bytes are.
    pub fn check(
        &self,
        sniffed: &SniffedType,
        agreed: &StoredName,
        channel: &str,
        way: AssetDirection,
    ) -> Result<(), Error> {
        let essence = sniffed.essence();
        if any(&self.deny, essence) || !any(&self.allow, essence) {
            return Err(refused(format!(
                "the file is {essence}, which isn't allowed here: send another type of file"
            )));
        }
        if let Some(rules) = self.rules(channel, way)
            && let Some(broken) = rules
                .of(MediaKind::of(essence))
                .find(|rules| rules.refuse(essence))
        {
            let detail = format!(
                "the file is {essence}, which the channel {channel} doesn't take: send another \
                 type of file"
            );
            return Err(refused(detail).with_limit(broken.limit()));
        }
        let contradicted =
            agreed.extension == ExtensionOutcome::Replaced || sniffed.contradicts_declared();
        if self.on_mismatch == OnTypeMismatch::Refuse && contradicted {
            return Err(refused(format!(
                "the file is {essence}, but is named or declared otherwise: name it as what it is"
            )));
        }
        Ok(())
    }

    /// The largest file that the channel takes, in bytes, if it says so; of a kind, as soon as that
    /// is known.
    pub fn max_size(
        &self,
        channel: &str,
        way: AssetDirection,
        kind: Option<MediaKind>,
    ) -> Option<u64> {
        let rules = self.rules(channel, way)?;
        let of_kind = kind.and_then(|kind| rules.kinds.get(&kind)?.max_size);
        rules.all.max_size.into_iter().chain(of_kind).min()
    }

    /// The types that a channel takes of a kind, as far as the settings say; none where they don't.
    pub fn allowed(
        &self,
        channel: &str,
        way: AssetDirection,
        kind: MediaKind,
    ) -> Option<&[MediaPattern]> {
        let rules = self.rules(channel, way)?;
        if let Some(of_kind) = rules.kinds.get(&kind)
            && of_kind.allow.is_some()
        {
            return of_kind.allow.as_deref();
        }
        rules.all.allow.as_deref()
    }

    /// The channel as the settings write it, if they name it: only then may it become a label.
    pub fn known_channel(&self, channel: &str) -> Option<&str> {
        let mut named = self.channels.keys().chain(&self.named_channels);
        named
            .find(|named| named.eq_ignore_ascii_case(channel))
            .map(String::as_str)
    }

    /// Refuses a channel that is named nowhere, where `unknown_channels` says so. `bound` are those
    /// that the caller is bound to.
    pub fn check_channel(&self, channel: &str, bound: &[String]) -> Result<(), Error> {
        let is_bound = || bound.iter().any(|own| own.eq_ignore_ascii_case(channel));
        if self.unknown_channels == UnknownChannels::Allow
            || self.known_channel(channel).is_some()
            || is_bound()
        {
            return Ok(());
        }
        let detail = format!(
            "the channel {channel} is none that this gateway knows: check its name, or have it \
             added to the settings"
        );
        Err(Error::caller(
            ErrorCode::InvalidField,
            Stage::Policy,
            detail,
        ))
    }

    fn rules(&self, channel: &str, way: AssetDirection) -> Option<&DirectionRules> {
        let (_, rules) = self
            .channels
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(channel))?;
        Some(match way {
            AssetDirection::Inbound => &rules.inbound,
            AssetDirection::Outbound => &rules.outbound,
        })
    }
}

impl DirectionRules {
    /// Those that hold for a file of this kind.
    fn of(&self, kind: MediaKind) -> impl Iterator<Item = &FileRules> {
        std::iter::once(&self.all).chain(self.kinds.get(&kind))
    }
}

impl FileRules {
    /// As a caller sees it.
    fn limit(&self) -> AttachmentLimit {
        let allow = self.allow.as_ref();
        let allowed = allow.map(|allow| allow.iter().map(ToString::to_string).collect());
        AttachmentLimit {
            source: LimitSource::Setting,
            max_size: self.max_size,
            allowed,
        }
    }

    fn refuse(&self, essence: &str) -> bool {
        match &self.allow {
            _ if any(&self.deny, essence) => true,
            Some(allow) => !any(allow, essence),
            None => false,
        }
    }
}

fn any(patterns: &[MediaPattern], essence: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(essence))
}

fn refused(detail: String) -> Error {
    Error::caller(ErrorCode::TypeNotAllowed, Stage::Policy, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{EXECUTABLE_PATTERNS, agree, sniff};

    const PNG: &[u8] =
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

    fn policy(allow: &str, on_mismatch: OnTypeMismatch) -> UploadPolicy {
        let deny = EXECUTABLE_PATTERNS
            .iter()
            .map(|pattern| pattern.parse().unwrap())
            .collect();
        UploadPolicy {
            deny,
            allow: vec![allow.parse().unwrap()],
            on_mismatch,
            report_only: false,
            channels: BTreeMap::new(),
            unknown_channels: UnknownChannels::Allow,
            named_channels: Vec::new(),
        }
    }

    fn check(policy: &UploadPolicy, bytes: &[u8], name: &str) -> Result<(), ErrorCode> {
        let sniffed = sniff(bytes, true, None, Some(name));
        policy
            .check(
                &sniffed,
                &agree(Some(name), &sniffed),
                "sms",
                AssetDirection::Outbound,
            )
            .map_err(|error| error.code())
    }

    #[test]
    fn a_script_is_refused_whatever_it_calls_itself() {
        let all = policy("*/*", OnTypeMismatch::Rename);
        assert_eq!(
            check(&all, b"#!/bin/sh\nrm -rf /\n", "photo.jpg"),
            Err(ErrorCode::TypeNotAllowed)
        );
        assert_eq!(check(&all, PNG, "photo.png"), Ok(()));
    }

    #[test]
    fn what_isnt_allowed_is_refused() {
        assert_eq!(
            check(&policy("audio/*", OnTypeMismatch::Rename), PNG, "photo.png"),
            Err(ErrorCode::TypeNotAllowed)
        );
    }

    #[test]
    fn a_contradiction_is_refused_only_if_the_policy_says() {
        assert_eq!(
            check(&policy("*/*", OnTypeMismatch::Rename), PNG, "scan.pdf"),
            Ok(())
        );
        assert_eq!(
            check(&policy("*/*", OnTypeMismatch::Refuse), PNG, "scan.pdf"),
            Err(ErrorCode::TypeNotAllowed)
        );
        assert_eq!(
            check(&policy("*/*", OnTypeMismatch::Refuse), PNG, "scan"),
            Ok(())
        );
    }

    #[test]
    fn channel_rules_hold_for_one_channel_and_direction() {
        let mut policy = policy("*/*", OnTypeMismatch::Rename);
        let jpeg = FileRules {
            max_size: Some(7),
            allow: Some(vec!["image/jpeg".parse().unwrap()]),
            deny: Vec::new(),
        };
        let jpeg = DirectionRules {
            all: jpeg,
            kinds: BTreeMap::new(),
        };
        let rules = ChannelRules {
            inbound: DirectionRules::default(),
            outbound: jpeg,
        };
        policy.channels.insert("whatsapp".into(), rules.clone());
        assert_eq!(check(&policy, PNG, "a.png"), Ok(()));
        policy.channels.insert("sms".into(), rules);
        assert_eq!(check(&policy, PNG, "a.png"), Err(ErrorCode::TypeNotAllowed));
        assert_eq!(
            policy.max_size("sms", AssetDirection::Outbound, None),
            Some(7)
        );
        assert_eq!(policy.max_size("sms", AssetDirection::Inbound, None), None);
        assert_eq!(
            policy.max_size("SmS", AssetDirection::Outbound, None),
            Some(7),
            "whatever its case"
        );
        assert_eq!(policy.known_channel("WhatsApp"), Some("whatsapp"));
    }

    #[test]
    fn of_kind_and_channel_rules_the_strictest_wins() {
        let mut policy = policy("*/*", OnTypeMismatch::Rename);
        let most = |bytes| FileRules {
            max_size: Some(bytes),
            ..FileRules::default()
        };
        let png = FileRules {
            allow: Some(vec!["image/png".parse().unwrap()]),
            ..most(5)
        };
        let kinds = [(MediaKind::Image, png), (MediaKind::Video, most(16))].into();
        policy.channels.insert(
            "sms".into(),
            ChannelRules {
                outbound: DirectionRules {
                    all: most(9),
                    kinds,
                },
                ..ChannelRules::default()
            },
        );
        let max_size = |kind| policy.max_size("sms", AssetDirection::Outbound, Some(kind));
        assert_eq!(
            [MediaKind::Image, MediaKind::Video, MediaKind::Audio].map(max_size),
            [Some(5), Some(9), Some(9)]
        );
        assert_eq!(check(&policy, PNG, "a.png"), Ok(()));
        assert_eq!(
            check(&policy, b"GIF89a\x01\0\x01\0\0\0\0;", "a.gif"),
            Err(ErrorCode::TypeNotAllowed)
        );
        assert_eq!(check(&policy, b"a text\n", "a.txt"), Ok(()), "another kind");
    }

    #[test]
    fn an_unknown_channel_is_refused_if_the_policy_says() {
        let mut policy = policy("*/*", OnTypeMismatch::Rename);
        assert!(policy.check_channel("fax", &[]).is_ok());
        policy.unknown_channels = UnknownChannels::Refuse;
        policy
            .channels
            .insert("sms".into(), ChannelRules::default());
        policy.named_channels.push("line".into());
        for known in ["sms", "SMS", "Line", "Telex"] {
            assert!(
                policy.check_channel(known, &["telex".into()]).is_ok(),
                "{known}"
            );
        }
        assert_eq!(
            policy
                .check_channel("fax", &["telex".into()])
                .map_err(|error| error.code()),
            Err(ErrorCode::InvalidField)
        );
    }
}
