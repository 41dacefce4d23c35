//! The storage behind presigned URLs. No credentials but the URL itself, no redirects, HTTP/1.1
//! only.

mod client;
mod config;
mod host_pattern;
mod object;
mod range;
mod send;
mod signature;
mod ssrf_guard;
mod tracked_body;
mod verdict;

pub use client::StorageClient;
pub use config::{StorageConfig, UploadContentType, UploadMethod};
pub use host_pattern::HostPattern;
pub use object::{StoredObject, refuses_url};
pub use send::PutPayload;
pub use verdict::RequestedPart;
