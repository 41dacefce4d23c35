//! An asset as a test sees it.

use serde::Serialize;

/// An asset as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetView {
    /// 36 characters.
    pub id: String,
    /// As declared.
    pub name: String,
    /// Bytes, as declared.
    pub size: u64,
    /// What the name's extension means.
    pub content_type: &'static str,
    /// The type of channel it was created for.
    pub channel: String,
    /// The type of sender it was created by.
    pub sender: String,
    /// Whether the whole file is stored.
    pub complete: bool,
    /// Bytes that storage has read of it, also while it is still reading.
    pub received: u64,
}
