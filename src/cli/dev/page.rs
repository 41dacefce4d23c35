//! The files of the try-it page, which are served as they are: no build step, no framework.

use std::sync::Arc;

use crate::api::{PageFile, SandboxControl, TryPage};
use crate::sandbox::SandboxHandle;

macro_rules! file {
    ($name:literal, $type:literal) => {
        PageFile {
            name: $name,
            content_type: $type,
            text: include_str!(concat!("page/", $name)),
        }
    };
}

const FILES: &[PageFile] = &[
    file!("index.html", "text/html; charset=utf-8"),
    file!("style.css", "text/css; charset=utf-8"),
    file!("icon.svg", "image/svg+xml"),
    file!("app.js", "text/javascript; charset=utf-8"),
    file!("dom.js", "text/javascript; charset=utf-8"),
    file!("format.js", "text/javascript; charset=utf-8"),
    file!("send.js", "text/javascript; charset=utf-8"),
    file!("transfer.js", "text/javascript; charset=utf-8"),
    file!("card.js", "text/javascript; charset=utf-8"),
    file!("preview.js", "text/javascript; charset=utf-8"),
    file!("report.js", "text/javascript; charset=utf-8"),
    file!("faults.js", "text/javascript; charset=utf-8"),
    file!("sandbox.js", "text/javascript; charset=utf-8"),
    file!("live.js", "text/javascript; charset=utf-8"),
    file!("metrics.js", "text/javascript; charset=utf-8"),
    file!("chart.js", "text/javascript; charset=utf-8"),
];

/// The page over this sandbox.
pub(super) fn over(sandbox: SandboxHandle) -> TryPage {
    TryPage::new(FILES, Arc::new(PageSandbox(sandbox)))
}

struct PageSandbox(SandboxHandle);

impl SandboxControl for PageSandbox {
    fn seen(&self) -> serde_json::Value {
        serde_json::to_value(self.0.stats()).unwrap_or_default()
    }

    fn add_faults(&self, json: &[u8]) -> Result<(), String> {
        self.0.add_faults(json).map_err(|error| error.to_string())
    }

    fn clear_faults(&self) {
        self.0.clear_faults();
    }
}
