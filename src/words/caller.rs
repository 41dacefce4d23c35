//! Who calls, and what that allows.

use std::sync::Arc;

use super::account::AccountId;
use super::asset::Sender;

/// What a caller may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads assets.
    Reader,
    /// Uploads, too.
    Adapter,
    /// Everything.
    Operator,
}

impl Role {
    const ALL: [Self; 3] = [Self::Reader, Self::Adapter, Self::Operator];

    /// The name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Adapter => "adapter",
            Self::Operator => "operator",
        }
    }

    /// None for a name that is no role.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What is done to assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
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
pub struct Caller {
    /// Its name in logs.
    pub id: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may delete, though it is no operator.
    pub delete: bool,
    /// eGain channel types that it is bound to; none for all.
    pub channels: Vec<String>,
    /// The sender that it is bound to.
    pub sender: Option<Sender>,
    /// The eGain account that it is bound to, whose channel is its only one.
    pub account: Option<AccountId>,
}

impl Caller {
    /// Whoever it is, where nobody is asked.
    pub fn anyone() -> Self {
        Self {
            id: "anyone".to_owned(),
            role: Role::Operator,
            delete: true,
            channels: Vec::new(),
            sender: None,
            account: None,
        }
    }

    /// Whether it may do this.
    pub fn may(&self, deed: Deed) -> bool {
        match deed {
            Deed::Read => true,
            Deed::Upload => self.role >= Role::Adapter,
            Deed::Manage => self.role == Role::Operator,
            Deed::Delete => {
                self.role == Role::Operator || self.role == Role::Adapter && self.delete
            }
        }
    }
}

/// On whose behalf eGain is asked. Each one has a queue of its own for the allowance of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimant {
    /// A caller, by its id.
    Caller(Arc<str>),
    /// Nobody's in particular: the gateway's own work, such as deleting what wasn't kept.
    Gateway,
}

impl Claimant {
    /// The caller with this id.
    pub fn named(id: &str) -> Self {
        Self::Caller(id.into())
    }
}

impl From<&Caller> for Claimant {
    fn from(caller: &Caller) -> Self {
        Self::named(&caller.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleting_takes_an_operator_or_a_permission_of_its_own() {
        let may = |role, delete| {
            Caller {
                role,
                delete,
                ..Caller::anyone()
            }
            .may(Deed::Delete)
        };
        assert!(may(Role::Operator, false) && may(Role::Adapter, true));
        assert!(!may(Role::Adapter, false) && !may(Role::Reader, true));
    }

    #[test]
    fn a_reader_only_reads() {
        let reader = Caller {
            role: Role::Reader,
            ..Caller::anyone()
        };
        assert!(reader.may(Deed::Read) && !reader.may(Deed::Upload));
    }
}
