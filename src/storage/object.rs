//! Reading a file, or a part of it.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::send::answered;
use super::{Storage, request};
use crate::body::Frames;
use crate::body::pace::{Limits, Pace};
use crate::words::fault::{Code, Fault, Stage};
use crate::words::secret::SignedUrl;

/// What storage gave: bytes (200, 206), or a verdict on the request's conditions (304, 412, 416).
pub struct Object {
    /// One of 200, 206, 304, 412, 416.
    pub status: StatusCode,
    /// Storage's headers.
    pub headers: HeaderMap,
    /// The bytes.
    pub body: Frames,
}

impl Storage {
    /// Reads with the caller's conditions and range as they are.
    pub async fn read(&self, url: &SignedUrl, conditions: HeaderMap) -> Result<Object, Fault> {
        let began = Instant::now();
        let mut request = request(Method::GET, url, nothing())?;
        request.headers_mut().extend(conditions);
        let result = match tokio::time::timeout(self.config.idle_timeout, self.http.send(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_timeout() => Err(late()),
            Ok(Err(_)) => {
                Err(Fault::storage(Code::UpstreamError, Stage::Fetch, "storage can't be reached: try again").retryable(true))
            }
            Err(_) => Err(late()),
        };
        self.observe("download", began, &result);
        let response = result?;
        match response.status() {
            StatusCode::OK
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::RANGE_NOT_SATISFIABLE => Ok(self.object(response)),
            status => Err(refused(status)),
        }
    }

    fn object(&self, response: Response<Incoming>) -> Object {
        let (mut head, body) = response.into_parts();
        if matches!(head.status, StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE) {
            // What storage says beyond the verdict isn't passed on: it tends to quote the signature.
            head.headers.remove(CONTENT_LENGTH);
            return Object { status: head.status, headers: head.headers, body: nothing() };
        }
        let body = body.map_err(|_| cut());
        let limits = Limits { idle: self.config.idle_timeout, min_rate: 0 };
        let body = Pace::new(body, limits, |_| stalled());
        Object { status: head.status, headers: head.headers, body: Frames::new(body) }
    }
}

fn nothing() -> Frames {
    Frames::new(Empty::new().map_err(|never| match never {}))
}

fn late() -> Fault {
    Fault::storage(Code::UpstreamTimeout, Stage::Fetch, "storage didn't answer in time: try again")
}

fn cut() -> Fault {
    Fault::storage(Code::UpstreamError, Stage::Fetch, "storage broke the connection in the middle: try again").retryable(true)
}

fn stalled() -> Fault {
    Fault::storage(Code::UpstreamTimeout, Stage::Fetch, "storage gave no byte for too long: try again")
}

fn refused(status: StatusCode) -> Fault {
    let detail = format!("storage refused the file with {}: try again", status.as_u16());
    Fault::storage(Code::UpstreamError, Stage::Fetch, detail).retryable(true).upstream(answered(status))
}

/// Whether storage refused the URL itself, as it does with one that has died before its time.
pub fn refuses_url(fault: &Fault) -> bool {
    let status = fault.upstream_answer().and_then(|answer| answer.status);
    fault.stage() == Stage::Fetch && matches!(status, Some(401 | 403 | 404 | 410))
}
