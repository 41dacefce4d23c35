//! What may be sent: verdicts on a file's type. Pure; who asks counts and logs.

use crate::media::{AgreedName, Extension, Pattern, Sniffed};
use crate::words::fault::{Code, Fault, Stage};

/// What to do with a file whose name or declared type contradicts its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMismatch {
    /// Store it under a name that agrees with the bytes.
    Rename,
    /// Refuse it.
    Refuse,
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
}

impl Policy {
    /// Judges a file by what its bytes are.
    pub fn judge(&self, sniffed: &Sniffed, agreed: &AgreedName) -> Result<(), Fault> {
        let essence = sniffed.essence();
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(essence));
        if any(&self.deny) || !any(&self.allow) {
            return Err(refused(format!("the file is {essence}, which isn't allowed here: send another type of file")));
        }
        let contradicted = agreed.extension == Extension::Replaced || sniffed.contradicts_declared();
        if self.on_mismatch == OnMismatch::Refuse && contradicted {
            return Err(refused(format!("the file is {essence}, but is named or declared otherwise: name it as what it is")));
        }
        Ok(())
    }
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
        Policy { deny, allow: vec![allow.parse().unwrap()], on_mismatch, report_only: false }
    }

    fn judge(policy: &Policy, bytes: &[u8], name: &str) -> Result<(), Code> {
        let sniffed = sniff(bytes, true, None, Some(name));
        policy.judge(&sniffed, &agree(Some(name), &sniffed)).map_err(|fault| fault.code())
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
}
