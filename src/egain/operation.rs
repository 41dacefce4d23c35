//! The operations of eGain's API that the gateway calls.

use http::Method;
use strum::{EnumCount, IntoStaticStr, VariantArray};

use super::budget::CallKind;
use crate::types::error::Stage;

/// An operation of eGain's API. Its name in snake case is its label in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum EgainOperation {
    /// `POST /assets`.
    CreateAsset,
    /// `GET /assets/{id}`.
    GetAsset,
    /// `DELETE /assets/{id}`.
    DeleteAsset,
    /// `POST /accounts`.
    CreateAccount,
    /// `GET /accounts`.
    ListAccounts,
    /// `GET /accounts/{id}`.
    GetAccount,
    /// `PUT /accounts/{id}`.
    ReplaceAccount,
    /// `DELETE /accounts/{id}`.
    DeleteAccount,
    /// `GET /channels`.
    ListChannels,
    /// `GET /channels/{id}`.
    GetChannel,
}

impl EgainOperation {
    /// The label in metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The stage of a request that an error of this operation belongs to.
    pub const fn stage(self) -> Stage {
        match self {
            Self::CreateAsset | Self::GetAsset => Stage::Sign,
            Self::DeleteAsset => Stage::Delete,
            _ => Stage::Manage,
        }
    }

    /// Whether eGain counts it among the calls to `/assets`, and not to all other routes.
    pub const fn is_of_assets(self) -> bool {
        matches!(self, Self::CreateAsset | Self::GetAsset)
    }

    /// Whether it shares the budget with writes or with reads.
    pub const fn kind(self) -> CallKind {
        match self {
            Self::CreateAsset
            | Self::DeleteAsset
            | Self::CreateAccount
            | Self::ReplaceAccount
            | Self::DeleteAccount => CallKind::Write,
            Self::GetAsset
            | Self::ListAccounts
            | Self::GetAccount
            | Self::ListChannels
            | Self::GetChannel => CallKind::Read,
        }
    }

    /// Whether a repeated call creates a second asset or account.
    pub const fn creates(self) -> bool {
        matches!(self, Self::CreateAsset | Self::CreateAccount)
    }

    /// The method of its request.
    pub const fn method(self) -> Method {
        match self {
            Self::CreateAsset | Self::CreateAccount => Method::POST,
            Self::GetAsset
            | Self::ListAccounts
            | Self::GetAccount
            | Self::ListChannels
            | Self::GetChannel => Method::GET,
            Self::ReplaceAccount => Method::PUT,
            Self::DeleteAsset | Self::DeleteAccount => Method::DELETE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_labels_in_metrics() {
        let names: Vec<&str> = EgainOperation::VARIANTS
            .iter()
            .map(|operation| operation.name())
            .collect();
        let labels = [
            "create_asset",
            "get_asset",
            "delete_asset",
            "create_account",
            "list_accounts",
            "get_account",
            "replace_account",
            "delete_account",
            "list_channels",
            "get_channel",
        ];
        assert_eq!(names, labels);
    }
}
