//! What a check found: one line, with what to do.

use std::fmt;

use serde::Serialize;
use strum::{Display, IntoStaticStr};

use crate::cli::client::command_output::printable;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub(super) enum CheckResult {
    /// As it should be.
    Ok,
    /// It works, but not for long or not for all.
    Warning,
    /// It doesn't work.
    Failed,
    /// It wasn't looked at.
    Skipped,
}

/// One check's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CheckVerdict {
    pub check: &'static str,
    pub result: CheckResult,
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

impl CheckVerdict {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self::new(check, CheckResult::Ok, detail)
    }

    pub(super) fn skipped(check: &'static str, detail: impl Into<String>) -> Self {
        Self::new(check, CheckResult::Skipped, detail)
    }

    pub(super) fn warning(
        check: &'static str,
        detail: impl Into<String>,
        change: impl Into<String>,
    ) -> Self {
        Self::new(check, CheckResult::Warning, detail).with_change(change)
    }

    pub(super) fn failed(
        check: &'static str,
        detail: impl Into<String>,
        change: impl Into<String>,
    ) -> Self {
        Self::new(check, CheckResult::Failed, detail).with_change(change)
    }

    fn with_change(mut self, change: impl Into<String>) -> Self {
        self.change = Some(change.into());
        self
    }

    fn new(check: &'static str, result: CheckResult, detail: impl Into<String>) -> Self {
        Self {
            check,
            result,
            detail: detail.into(),
            change: None,
        }
    }
}

/// One line.
impl fmt::Display for CheckVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (result, detail) = (self.result.to_string(), printable(&self.detail));
        write!(f, "{result:8} {:10} {detail}", self.check)?;
        match &self.change {
            Some(change) => write!(f, " -> {}", printable(change)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_a_line_with_what_to_do() {
        let failed = CheckVerdict::failed("clock", "10 min\nslow", "set it");
        assert_eq!(
            failed.to_string(),
            "failed   clock      10 min\\nslow -> set it"
        );
        assert_eq!(
            serde_json::to_value(CheckVerdict::ok("spool", "fine")).unwrap(),
            serde_json::json!({"check": "spool", "result": "ok", "detail": "fine"})
        );
    }
}
