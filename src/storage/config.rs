//! How storage is reached.

use std::time::Duration;

use super::host_pattern::HostPattern;
use crate::net::egress_proxy::EgressProxy;

/// How storage is reached.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// Hosts that a presigned URL may name.
    pub content_hosts: Vec<HostPattern>,
    /// Whether plain `http` stays as it is; else it is tried as `https`.
    pub allow_http: bool,
    /// The method of uploads.
    pub method: UploadMethod,
    /// The `Content-Type` of uploads.
    pub content_type: UploadContentType,
    /// The proxy that https connections go through, if any.
    pub proxy: EgressProxy,
    /// The longest time in which a connection is made.
    pub connect_timeout: Duration,
    /// The longest time in which storage takes or sends no byte.
    pub idle_timeout: Duration,
}

/// The method of uploads.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub enum UploadMethod {
    /// What the signature's JWT names, else PUT for a cloud store's signature, else POST.
    Auto,
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// The `Content-Type` of uploads.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub enum UploadContentType {
    /// The file's.
    File,
    /// `application/octet-stream`.
    OctetStream,
}
