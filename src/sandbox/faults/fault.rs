//! One fault: what goes wrong, where, and how often.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::sandbox::operation::SandboxOperation;
use crate::types::units;

/// Something that goes wrong. What is set happens in this order: `delay`, then `stall`, `done`,
/// `close`, then `cut_after` or `status`, and else the right reply is altered.
///
/// In JSON the same names, such as `{"at": "upload", "times": 1, "status": 503}`; `delay` is
/// written `"250ms"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which operation goes wrong.
    pub at: SandboxOperation,
    /// How many calls of it; always when absent. Faults of one operation take turns in the order
    /// in which they were set, the next when the first is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Wait before doing anything.
    #[serde(
        default,
        with = "units::duration",
        skip_serializing_if = "Duration::is_zero"
    )]
    pub delay: Duration,
    /// Never reply, nor read.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stall: bool,
    /// Close the connection without a reply.
    #[serde(default, skip_serializing_if = "is_false")]
    pub close: bool,
    /// Do what was requested all the same, before `close` or `status`: a load balancer that gave up
    /// too early.
    #[serde(default, skip_serializing_if = "is_false")]
    pub done: bool,
    /// Reply with it when the whole request was read, and do nothing. With `cut_after` at an
    /// upload: reply with it when that number of bytes was read.
    #[serde(
        default,
        with = "http_serde::option::status_code",
        skip_serializing_if = "Option::is_none"
    )]
    pub status: Option<StatusCode>,
    /// The body that goes with `status`: text is sent as HTML, anything else as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Set on the reply, whichever it is.
    #[serde(
        default,
        with = "http_serde::header_map",
        skip_serializing_if = "HeaderMap::is_empty"
    )]
    pub headers: HeaderMap,
    /// Bytes of a file after which its transfer is cut: the connection closes, unless `status`
    /// is set. A download breaks off at exactly that byte, an upload at the end of the
    /// piece that reached it; its signature is spent and the rest is left unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_after: Option<u64>,
    /// Left out of the JSON of the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_field: Option<String>,
    /// Set in the JSON of the reply.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// Downloads without an `ETag`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_etag: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Fault {
    /// A fault that does nothing yet, whenever `operation` is called.
    pub fn at(operation: SandboxOperation) -> Self {
        Self {
            at: operation,
            times: None,
            delay: Duration::ZERO,
            stall: false,
            close: false,
            done: false,
            status: None,
            body: None,
            headers: HeaderMap::new(),
            cut_after: None,
            missing_field: None,
            fields: Map::new(),
            no_etag: false,
        }
    }

    /// Only this number of times.
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// Only once.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Waits first.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Never replies.
    pub fn stall(self) -> Self {
        Self {
            stall: true,
            ..self
        }
    }

    /// Closes the connection without a reply.
    pub fn close(self) -> Self {
        Self {
            close: true,
            ..self
        }
    }

    /// Does what was requested all the same.
    pub fn done(self) -> Self {
        Self { done: true, ..self }
    }

    /// Replies with `status`.
    pub fn status(self, status: StatusCode) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }

    /// With this body: text is sent as HTML, anything else as JSON.
    pub fn body(self, body: impl Into<Value>) -> Self {
        Self {
            body: Some(body.into()),
            ..self
        }
    }

    /// Sets a header of the reply.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Cuts the transfer of a file after this number of bytes.
    pub fn cut_after(self, bytes: u64) -> Self {
        Self {
            cut_after: Some(bytes),
            ..self
        }
    }

    /// Leaves a field out of the JSON of the reply.
    pub fn missing_field(self, name: impl Into<String>) -> Self {
        Self {
            missing_field: Some(name.into()),
            ..self
        }
    }

    /// Sets a field of the JSON of the reply.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// Downloads without an `ETag`.
    pub fn no_etag(self) -> Self {
        Self {
            no_etag: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fault_reads_as_it_is_written() {
        let json = json!({"at": "create_asset", "times": 2, "delay": "250ms", "status": 503,
            "body": {"code": "503-1"}, "headers": {"retry-after": "1"}, "fields": {"id": null}});
        let fault: Fault = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&fault).unwrap(), json);
    }

    #[test]
    fn a_fault_with_a_misspelt_name_is_refused() {
        assert!(serde_json::from_value::<Fault>(json!({"at": "upload", "statsu": 503})).is_err());
        assert!(serde_json::from_value::<Fault>(json!({"at": "uplaod"})).is_err());
    }
}
