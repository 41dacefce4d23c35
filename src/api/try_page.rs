//! The try-it page of `dev`: its files, and what it asks for beside the API. `serve` has none.
//!
//! Everything has the page's own origin, so that its policy (CSP) needs no other: the metrics and
//! the sandbox's powers are here, too.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use headers::{ETag, HeaderMapExt, IfNoneMatch};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::response::full;
use crate::body::BoxBody;

/// The name of the file that is served at `/`.
pub(super) const INDEX: &str = "index.html";

/// No script or style that isn't a file of ours; what is previewed is a blob.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
     media-src 'self' blob:; frame-src blob:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// What the page asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageOperation {
    /// A file of the page.
    File(String),
    /// The metrics, as the admin listener has them.
    Metrics,
    /// What the sandbox has seen.
    Sandbox,
    /// Lets something go wrong in the sandbox.
    AddFaults,
    /// Ends that.
    ClearFaults,
}

/// One file of the page.
#[derive(Debug, Clone, Copy)]
pub struct PageFile {
    /// Its name below `/_try/`.
    pub name: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// The sandbox, as far as the page may use it.
pub trait SandboxControl: Send + Sync {
    /// Calls, assets, and faults that are still to come, in JSON.
    fn seen(&self) -> serde_json::Value;
    /// Adds faults that are written in JSON.
    ///
    /// # Errors
    /// They can't be read; says why.
    fn add_faults(&self, json: &[u8]) -> Result<(), String>;
    /// Forgets the faults that are still to come.
    fn clear_faults(&self);
}

/// The page.
#[derive(Clone)]
pub struct TryPage {
    files: HashMap<&'static str, ReadyFile>,
    /// What it may do with the sandbox.
    pub(super) sandbox: Arc<dyn SandboxControl>,
}

#[derive(Clone)]
struct ReadyFile {
    content_type: &'static str,
    text: &'static str,
    etag: ETag,
}

impl TryPage {
    /// Of these files, over this sandbox.
    pub fn new(files: &[PageFile], sandbox: Arc<dyn SandboxControl>) -> Self {
        let ready = |file: &PageFile| ReadyFile {
            content_type: file.content_type,
            text: file.text,
            etag: etag_of(file.text),
        };
        Self {
            files: files.iter().map(|file| (file.name, ready(file))).collect(),
            sandbox,
        }
    }

    /// A file, or `304` where the browser has `seen` it; none if there is no such file.
    pub(super) fn file(&self, name: &str, seen: Option<IfNoneMatch>) -> Option<Response<BoxBody>> {
        Some(self.files.get(name)?.respond(seen))
    }
}

impl fmt::Debug for TryPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryPage").finish_non_exhaustive()
    }
}

fn etag_of(text: &str) -> ETag {
    let digest = hex::encode(Sha256::digest(text));
    format!("\"{}\"", &digest[..32])
        .parse()
        .expect("hexadecimal digits make an entity tag")
}

impl ReadyFile {
    /// The file, or `304` where the browser has it. It asks each time: a new build may be running.
    fn respond(&self, seen: Option<IfNoneMatch>) -> Response<BoxBody> {
        let is_same = seen.is_some_and(|seen| !seen.precondition_passes(&self.etag));
        let mut response = Response::new(full(if is_same { "" } else { self.text }));
        if is_same {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.typed_insert(self.etag.clone());
        response
    }
}
