//! What is known of a file once storage has confirmed it.

use std::time::Duration;

use super::length_source::LengthSource;
use crate::types::asset::{AssetId, Sender};

/// A file that storage has confirmed.
#[derive(Debug, Clone)]
pub struct UploadReceipt {
    /// Its id at eGain.
    pub id: AssetId,
    /// Its name as stored.
    pub name: String,
    /// Its type as stored.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// eGain's channel type.
    pub channel: String,
    /// eGain's sender type.
    pub sender: Sender,
    /// How its length was known.
    pub length_source: LengthSource,
    /// Its SHA-256 in hexadecimal, where the caller wants it.
    pub sha256: Option<String>,
    /// Where the time went.
    pub timing: UploadTiming,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default)]
pub struct UploadTiming {
    /// Reading the look-ahead, or the whole file.
    pub read: Duration,
    /// Waiting in the queue for eGain calls.
    pub budget: Duration,
    /// eGain's response to the create call.
    pub sign: Duration,
    /// Sending, until storage's confirmation.
    pub store: Duration,
}
