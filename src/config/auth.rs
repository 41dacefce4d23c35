//! `[auth]`: who may call.

use toml::Value;

use super::mistakes::Report;
use super::section::section;
use super::setting::{Setting, unreadable};

/// How callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// They don't (`none`): whoever can connect may do everything.
    Anyone,
}

impl Setting for AuthMode {
    const EXPECTED: &'static str = "none";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Anyone),
            "keys" | "jwt" => {
                Err(format!("this version doesn't have {text:?} yet: only none can be chosen, and then anyone may do everything"))
            }
            _ => Err(unreadable::<Self>(text)),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String("none".into()))
    }
}

section! {
    /// Who may call.
    Auth as "auth" {
        /// How callers prove who they are: none (they don't, and may do everything).
        mode: Option<AuthMode> => "required";
    }
}

impl Auth {
    /// Notes what the service can't do without. An open door must be somebody's decision.
    pub(super) fn require(&self, report: &mut Report) {
        if self.mode.is_none() {
            let says =
                "not set: say who may call. none (ASSET_GATEWAY_AUTH__MODE=none) lets anyone who can connect do everything";
            report.clash(&["auth.mode"], says);
        }
    }
}
