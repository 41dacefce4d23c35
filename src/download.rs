//! Downloads: metadata and presigned URLs from the cache, bytes from storage.

mod cache;
mod content;
mod early_deaths;
mod known_asset;
mod resume;
mod service;
mod shared_entry;
mod validators;

pub use cache::UrlCacheConfig;
pub use content::DownloadContent;
pub use known_asset::KnownAsset;
pub use service::DownloadService;
pub use validators::ContentValidators;
