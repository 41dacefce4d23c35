//! What may be sent: verdicts on a file's type. Pure; who asks counts and logs.

use std::collections::BTreeMap;

use crate::media::{AgreedName, Extension, Pattern, Sniffed};
use crate::words::asset::Direction;
use crate::words::fault::{Code, Fault, Stage};

/// What to do with a file whose name or declared type contradicts its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMismatch {
    /// Store it under a name that agrees with the bytes.
    Rename,
    /// Refuse it.
    Refuse,
}

/// What one channel allows in one direction, beside what holds for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// The largest file in bytes.
    pub max_size: Option<u64>,
    /// Types that are allowed; None for all.
    pub allow: Option<Vec<Pattern>>,
    /// Types that are refused.
    pub deny: Vec<Pattern>,
}

/// A channel's rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChannelRules {
    /// For what the customer sends.
    pub inbound: Rules,
    /// For what is sent to the customer.
    pub outbound: Rules,
}

/// The rules.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Types that are refused, whatever `allow` says.
    pub deny: Vec<Pattern>,
    /// Types that are allowed.
    pub allow: Vec<Pattern>,
    /// Contradictions.
    pub on_mismatch: OnMismatch,
    /// Whether a refusal is only counted and logged.
    pub report_only: bool,
    /// Rules by eGain channel type.
    pub channels: BTreeMap<String, ChannelRules>,
}

impl Policy {
    /// Judges a file by what its bytes are.
    pub fn judge(&self, sniffed: &Sniffed, agreed: &AgreedName, channel: &str, way: Direction) -> Result<(), Fault> {
        let essence = sniffed.essence();
        if any(&self.deny, essence) || !any(&self.allow, essence) {
            return Err(refused(format!("the file is {essence}, which isn't allowed here: send another type of file")));
        }
        if self.rules(channel, way).is_some_and(|rules| rules.refuse(essence)) {
            let detail = format!("the file is {essence}, which the channel {channel} doesn't take: send another type of file");
            return Err(refused(detail));
        }
        let contradicted = agreed.extension == Extension::Replaced || sniffed.contradicts_declared();
        if self.on_mismatch == OnMismatch::Refuse && contradicted {
            return Err(refused(format!("the file is {essence}, but is named or declared otherwise: name it as what it is")));
        }
        Ok(())
    }

    /// The largest file that the channel takes, in bytes, if it says so.
    pub fn max_size(&self, channel: &str, way: Direction) -> Option<u64> {
        self.rules(channel, way)?.max_size
    }

    /// Whether the settings name this channel: only then may it become a label.
    pub fn knows(&self, channel: &str) -> bool {
        self.channels.contains_key(channel)
    }

    fn rules(&self, channel: &str, way: Direction) -> Option<&Rules> {
        let rules = self.channels.get(channel)?;
        Some(match way {
            Direction::Inbound => &rules.inbound,
            Direction::Outbound => &rules.outbound,
        })
    }
}

impl Rules {
    fn refuse(&self, essence: &str) -> bool {
        any(&self.deny, essence) || self.allow.as_ref().is_some_and(|allow| !any(allow, essence))
    }
}

fn any(patterns: &[Pattern], essence: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(essence))
}

fn refused(detail: String) -> Fault {
    Fault::caller(Code::TypeNotAllowed, Stage::Policy, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{EXECUTABLE_PATTERNS, agree, sniff};

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

    fn policy(allow: &str, on_mismatch: OnMismatch) -> Policy {
        let deny = EXECUTABLE_PATTERNS.iter().map(|pattern| pattern.parse().unwrap()).collect();
        Policy { deny, allow: vec![allow.parse().unwrap()], on_mismatch, report_only: false, channels: BTreeMap::new() }
    }

    fn judge(policy: &Policy, bytes: &[u8], name: &str) -> Result<(), Code> {
        let sniffed = sniff(bytes, true, None, Some(name));
        policy.judge(&sniffed, &agree(Some(name), &sniffed), "sms", Direction::Outbound).map_err(|fault| fault.code())
    }

    #[test]
    fn a_script_is_refused_whatever_it_calls_itself() {
        let all = policy("*/*", OnMismatch::Rename);
        assert_eq!(judge(&all, b"#!/bin/sh\nrm -rf /\n", "photo.jpg"), Err(Code::TypeNotAllowed));
        assert_eq!(judge(&all, PNG, "photo.png"), Ok(()));
    }

    #[test]
    fn what_isnt_allowed_is_refused() {
        assert_eq!(judge(&policy("audio/*", OnMismatch::Rename), PNG, "photo.png"), Err(Code::TypeNotAllowed));
    }

    #[test]
    fn a_contradiction_is_refused_only_where_the_policy_says_so() {
        assert_eq!(judge(&policy("*/*", OnMismatch::Rename), PNG, "scan.pdf"), Ok(()));
        assert_eq!(judge(&policy("*/*", OnMismatch::Refuse), PNG, "scan.pdf"), Err(Code::TypeNotAllowed));
        assert_eq!(judge(&policy("*/*", OnMismatch::Refuse), PNG, "scan"), Ok(()));
    }

    #[test]
    fn a_channels_rules_hold_for_it_alone_and_in_their_direction() {
        let mut policy = policy("*/*", OnMismatch::Rename);
        let jpeg = Rules { max_size: Some(7), allow: Some(vec!["image/jpeg".parse().unwrap()]), deny: Vec::new() };
        let rules = ChannelRules { inbound: Rules::default(), outbound: jpeg };
        policy.channels.insert("whatsapp".into(), rules.clone());
        assert_eq!(judge(&policy, PNG, "a.png"), Ok(()));
        policy.channels.insert("sms".into(), rules);
        assert_eq!(judge(&policy, PNG, "a.png"), Err(Code::TypeNotAllowed));
        assert_eq!(policy.max_size("sms", Direction::Outbound), Some(7));
        assert_eq!(policy.max_size("sms", Direction::Inbound), None);
    }
}
