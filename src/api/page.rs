//! What the try-it page asks for, in terms of HTTP.

use std::time::Duration;

use bytes::Bytes;
use headers::HeaderMapExt;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use super::response::{full, json, no_content, uncached};
use super::state::{ApiState, CallerBody};
use super::try_page::PageOperation;
use crate::body::BoxBody;
use crate::types::error::{Error, ErrorCode, Stage};

/// The longest list of faults.
const LARGEST_BODY: usize = 64 * 1024;

/// A list of faults is small: a client that needs longer has stopped.
const LONGEST_READ: Duration = Duration::from_secs(10);

impl ApiState {
    /// What the page asked for.
    pub(super) async fn page(
        &self,
        operation: PageOperation,
        head: &Parts,
        body: CallerBody,
    ) -> Result<Response<BoxBody>, Error> {
        // Without a page the router knows none of these.
        let Some(page) = &self.page else {
            return Err(missing());
        };
        match operation {
            PageOperation::File(name) => page
                .file(&name, head.headers.typed_get())
                .ok_or_else(missing),
            PageOperation::Metrics => Ok(uncached(self.metrics_text())),
            PageOperation::Sandbox => Ok(uncached(json(StatusCode::OK, &page.sandbox.seen()))),
            PageOperation::AddFaults => {
                let faults = read(body).await?;
                page.sandbox.add_faults(&faults).map_err(unreadable)?;
                Ok(no_content())
            }
            PageOperation::ClearFaults => {
                page.sandbox.clear_faults();
                Ok(no_content())
            }
        }
    }

    fn metrics_text(&self) -> Response<BoxBody> {
        let mut response = Response::new(full(self.metrics.render()));
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static(prometheus::TEXT_FORMAT),
        );
        response
    }
}

async fn read(body: CallerBody) -> Result<Bytes, Error> {
    let read = timeout(LONGEST_READ, Limited::new(body, LARGEST_BODY).collect()).await;
    match read {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) => Err(Error::find_in(&*error).cloned().unwrap_or_else(|| {
            let detail = format!("faults have at most {LARGEST_BODY} bytes of JSON");
            Error::caller(ErrorCode::TooLarge, Stage::Read, detail)
        })),
        Err(_) => Err(Error::caller(
            ErrorCode::ClientTooSlow,
            Stage::Read,
            "the faults came too slowly: send them at once",
        )),
    }
}

fn unreadable(why: String) -> Error {
    let detail = format!("these are no faults of the sandbox: {why}");
    Error::caller(ErrorCode::BadRequest, Stage::Read, detail)
}

fn missing() -> Error {
    let detail = "the page has no such file";
    Error::caller(ErrorCode::NotFound, Stage::Admit, detail)
}
