//! What a fault does to a reply.

use bytes::Bytes;
use http::header;
use serde_json::Value;

use super::fault::Fault;
use crate::sandbox::reply::{ReplyContent, SandboxReply};

impl Fault {
    /// The reply in place of the right one, if the fault has a `status`.
    pub(in crate::sandbox) fn reply(&self) -> Option<SandboxReply> {
        let content = match &self.body {
            None => ReplyContent::Empty,
            Some(Value::String(html)) => {
                ReplyContent::Text("text/html; charset=utf-8", Bytes::from(html.clone()))
            }
            Some(json) => ReplyContent::Json(json.clone()),
        };
        self.status.map(|status| SandboxReply::new(status, content))
    }

    /// Spoils a reply that would have been right.
    pub(in crate::sandbox) fn alter(&self, reply: &mut SandboxReply) {
        if let ReplyContent::Json(Value::Object(object)) = &mut reply.content
            && self.status.is_none()
        {
            object.extend(self.fields.clone());
            self.missing_field
                .as_deref()
                .map(|name| object.remove(name));
        }
        if self.no_etag {
            reply.headers.remove(header::ETAG);
        }
        reply.headers.extend(self.headers.clone());
    }
}
