//! [`ApiConfig`]: what the settings decide about HTTP in.

use std::time::Duration;

use super::auth::AuthConfig;
use super::client_ip::IpRange;
use super::cors::CorsOrigin;
use super::try_page::TryPage;
use crate::body::min_rate::PaceLimits;

/// How a download is returned unless the caller requests another way.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub enum DownloadMode {
    /// With the bytes.
    Stream,
    /// With a redirect to the signed URL.
    Redirect,
}

/// What this layer decides itself.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Uploads at one time.
    pub max_uploads: usize,
    /// Downloads at one time.
    pub max_downloads: usize,
    /// How slow a client may send a probe's body.
    pub min_rate: PaceLimits,
    /// How downloads are returned.
    pub download_mode: DownloadMode,
    /// How long callers may keep an asset's bytes.
    pub download_max_age: Duration,
    /// The page at `/`, which only `dev` has.
    pub page: Option<TryPage>,
    /// Who may call.
    pub auth: AuthConfig,
    /// Proxies that are believed whom they speak for.
    pub trusted_proxies: Vec<IpRange>,
    /// Origins of web pages that may call.
    pub cors_origins: Vec<CorsOrigin>,
    /// How callers reach the data listener where no proxy says otherwise: `http` or `https`.
    pub scheme: &'static str,
}
