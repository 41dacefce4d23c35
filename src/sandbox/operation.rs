//! The stand-in's operations.

use serde::{Deserialize, Serialize};

/// What can be asked of the stand-in, counted and made to fail by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxOperation {
    /// `POST /token`
    Token,
    /// `POST /assets`
    CreateAsset,
    /// `GET /assets/{id}`
    GetAsset,
    /// `DELETE /assets/{id}`
    DeleteAsset,
    /// `POST /accounts`
    CreateAccount,
    /// `GET /accounts`
    ListAccounts,
    /// `GET /accounts/{id}`
    GetAccount,
    /// `PUT /accounts/{id}`
    ReplaceAccount,
    /// `DELETE /accounts/{id}`
    DeleteAccount,
    /// `GET /channels`
    ListChannels,
    /// `GET /channels/{id}`
    GetChannel,
    /// `POST` to a signed URL.
    Upload,
    /// `GET` of a signed URL.
    Download,
}

impl SandboxOperation {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Token,
        Self::CreateAsset,
        Self::GetAsset,
        Self::DeleteAsset,
        Self::CreateAccount,
        Self::ListAccounts,
        Self::GetAccount,
        Self::ReplaceAccount,
        Self::DeleteAccount,
        Self::ListChannels,
        Self::GetChannel,
        Self::Upload,
        Self::Download,
    ];
}
