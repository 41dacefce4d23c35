//! The stand-in's operations.

use serde::{Deserialize, Serialize};
use strum::VariantArray;

/// What can be requested of the stand-in, counted and made to fail by name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, VariantArray,
)]
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
    pub const ALL: &'static [Self] = Self::VARIANTS;
}
