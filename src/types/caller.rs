//! Who calls, and what that allows.

use std::sync::Arc;

use super::account::AccountId;
use super::asset::Sender;

/// What a caller may do. Each role may do what those before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum CallerRole {
    /// Reads assets.
    Reader,
    /// Uploads, too.
    Adapter,
    /// Everything.
    Operator,
}

impl CallerRole {
    /// The name in settings.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// None for a name that is no role.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// What is done to assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Reading metadata or bytes.
    Read,
    /// Uploading.
    Upload,
    /// Deleting.
    Delete,
    /// Working on accounts and channels.
    Manage,
}

/// A caller that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedCaller {
    /// Its name in logs.
    pub id: String,
    /// What it may do.
    pub role: CallerRole,
    /// Whether it may delete, though it is no operator.
    pub delete: bool,
    /// eGain channel types that it is bound to; none for all.
    pub channels: Vec<String>,
    /// The sender that it is bound to.
    pub sender: Option<Sender>,
    /// The eGain account that it is bound to, whose channel is its only one.
    pub account: Option<AccountId>,
}

impl AuthenticatedCaller {
    /// Any caller, where authentication is off.
    pub fn anyone() -> Self {
        Self {
            id: "anyone".to_owned(),
            role: CallerRole::Operator,
            delete: true,
            channels: Vec::new(),
            sender: None,
            account: None,
        }
    }

    /// Whether it may do this.
    pub fn may(&self, permission: Permission) -> bool {
        match permission {
            Permission::Read => true,
            Permission::Upload => self.role >= CallerRole::Adapter,
            Permission::Manage => self.role == CallerRole::Operator,
            Permission::Delete => {
                self.role == CallerRole::Operator || self.role == CallerRole::Adapter && self.delete
            }
        }
    }
}

/// On whose behalf eGain is called. Each one has a queue of its own for the allowance of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A caller, by its id.
    Caller(Arc<str>),
    /// Nobody's in particular: the gateway's own work, such as deleting what wasn't committed.
    Gateway,
}

impl Principal {
    /// The caller with this id.
    pub fn named(id: &str) -> Self {
        Self::Caller(id.into())
    }
}

impl From<&AuthenticatedCaller> for Principal {
    fn from(caller: &AuthenticatedCaller) -> Self {
        Self::named(&caller.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleting_needs_an_operator_or_its_own_permission() {
        let may = |role, delete| {
            AuthenticatedCaller {
                role,
                delete,
                ..AuthenticatedCaller::anyone()
            }
            .may(Permission::Delete)
        };
        assert!(may(CallerRole::Operator, false) && may(CallerRole::Adapter, true));
        assert!(!may(CallerRole::Adapter, false) && !may(CallerRole::Reader, true));
    }

    #[test]
    fn a_reader_only_reads() {
        let reader = AuthenticatedCaller {
            role: CallerRole::Reader,
            ..AuthenticatedCaller::anyone()
        };
        assert!(reader.may(Permission::Read) && !reader.may(Permission::Upload));
    }
}
