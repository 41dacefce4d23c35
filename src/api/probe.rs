//! `POST /v1/probe`: how a request arrives here, and a response that takes its time, so that a
//! client sees what is in between (buffering proxies, timeouts, size limits).
//!
//! Nothing of the body is stored, and eGain isn't involved. A probe holds one of
//! `server.max_uploads` permits, as the upload does that it represents, and no longer than
//! [`LONGEST_BODY`] and [`LONGEST_RESPONSE`] together. `reader` is enough to send one: it shows a
//! caller nothing but its own request.

mod arrivals;
mod probe_query;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING, VIA,
};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use super::access_log::RequestLog;
use super::client_ip;
use super::response::{json, line, uncached};
use super::state::{ApiState, CallerBody};
use crate::body::BoxBody;
use crate::body::min_rate::{MinRateBody, caller_too_slow};
use crate::body::paced::PacedBody;
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::{Error, ErrorCode, Stage};
use arrivals::BodyArrivals;
use probe_query::{LONGEST_RESPONSE, ProbeQuery};

/// The largest body in bytes: three times eGain's largest asset.
const LARGEST_BODY: u64 = 32 * 1024 * 1024;

/// The longest time for a body.
const LONGEST_BODY: Duration = LONGEST_RESPONSE;

/// What arrived, as the gateway saw it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProbeReport<'a> {
    /// Shows a client that a gateway responds, and no error page.
    service: &'static str,
    http_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_length: Option<String>,
    /// Names only: the values are addresses of other people.
    forwarding_headers: Vec<&'a str>,
    body: &'a BodyArrivals,
}

impl ApiState {
    /// Reads the body, then responds with what arrived when.
    pub(super) async fn probe(
        &self,
        caller: &Arc<AuthenticatedCaller>,
        head: &Parts,
        body: CallerBody,
        request_log: &mut RequestLog,
    ) -> Result<Response<BoxBody>, Error> {
        let query = ProbeQuery::parse(head.uri.query().unwrap_or_default())?;
        self.refuse_while_draining()?;
        request_log.hold_permit(Self::acquire_permit(&self.uploads, caller, "uploads")?);
        let body = MinRateBody::new(body, self.min_rate, caller_too_slow);
        let since = Instant::from_std(request_log.began());
        let arrivals = timeout(LONGEST_BODY, read(body, since))
            .await
            .map_err(|_| too_long())??;
        sleep(query.delay).await;
        let report = report(head, &arrivals);
        let response = match query.lines {
            0 => json(StatusCode::OK, &report),
            lines => in_lines(line(&report).into(), lines, query.interval),
        };
        Ok(uncached(response))
    }
}

/// Reads a body to its end, and holds nothing of it but when it came.
async fn read(
    mut body: impl http_body::Body<Data = Bytes, Error = Error> + Unpin,
    since: Instant,
) -> Result<BodyArrivals, Error> {
    let mut arrivals = BodyArrivals::default();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            arrivals.note(since.elapsed(), data.len() as u64);
        }
        if arrivals.bytes() > LARGEST_BODY {
            let detail = format!("a probe has at most {LARGEST_BODY} bytes");
            return Err(Error::caller(ErrorCode::TooLarge, Stage::Read, detail));
        }
    }
    Ok(arrivals)
}

fn too_long() -> Error {
    let detail = format!(
        "a probe's body takes at most {} s: send it faster",
        LONGEST_BODY.as_secs()
    );
    Error::caller(ErrorCode::ClientTooSlow, Stage::Read, detail)
}

fn report<'a>(head: &'a Parts, arrivals: &'a BodyArrivals) -> ProbeReport<'a> {
    let headers = &head.headers;
    let names = headers.keys().map(HeaderName::as_str);
    ProbeReport {
        service: "asset-gateway",
        http_version: format!("{:?}", head.version),
        via: text(headers, &VIA),
        connection: text(headers, &CONNECTION),
        transfer_encoding: text(headers, &TRANSFER_ENCODING),
        content_length: text(headers, &CONTENT_LENGTH),
        forwarding_headers: names
            .filter(|name| client_ip::is_forwarding(name))
            .collect(),
        body: arrivals,
    }
}

/// All values of a header, as a list.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// The report, then a line after each interval. Lines are short, since a proxy that collects a
/// response holds back no more than its buffer. The last line says that it is: a response without
/// a length may be cut and look whole.
fn in_lines(report: Bytes, lines: u32, interval: Duration) -> Response<BoxBody> {
    let later = (1..=lines).map(move |nth| {
        let end = if nth == lines { ",\"last\":true" } else { "" };
        Bytes::from(format!("{{\"line\":{nth}{end}}}\n"))
    });
    let body = PacedBody::new(std::iter::once(report).chain(later), interval);
    let mut response = Response::new(BoxBody::new(body));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use http_body_util::channel::Channel;
    use serde_json::{Value, json as object};

    fn shown(request: http::request::Builder) -> Value {
        let (head, ()) = request.body(()).unwrap().into_parts();
        serde_json::to_value(report(&head, &BodyArrivals::default())).unwrap()
    }

    #[test]
    fn a_report_names_forwarding_headers_without_their_values() {
        let request = Request::post("/v1/probe")
            .version(http::Version::HTTP_10)
            .header("via", "1.1 one")
            .header("via", "1.1 two")
            .header("x-forwarded-for", "203.0.113.7")
            .header("forwarded", "for=203.0.113.7")
            .header("authorization", "Bearer hunter2")
            .header("content-length", "7");
        assert_eq!(
            shown(request),
            object!({
                "service": "asset-gateway",
                "httpVersion": "HTTP/1.0",
                "via": "1.1 one, 1.1 two",
                "contentLength": "7",
                "forwardingHeaders": ["x-forwarded-for", "forwarded"],
                "body": {"bytes": 0, "pieces": []},
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_are_noted_when_they_arrive() {
        let (mut sender, body) = Channel::<Bytes, Error>::new(1);
        let since = Instant::now();
        tokio::spawn(async move {
            for size in [3, 5] {
                sleep(Duration::from_millis(200)).await;
                sender.send_data(vec![0; size].into()).await.unwrap();
            }
        });
        let arrivals = read(body, since).await.unwrap();
        let pieces = object!([{"ms": 200, "bytes": 3}, {"ms": 400, "bytes": 5}]);
        assert_eq!(serde_json::to_value(&arrivals).unwrap()["pieces"], pieces);
    }

    #[tokio::test]
    async fn a_body_beyond_the_bound_is_refused() {
        let (mut sender, body) = Channel::<Bytes, Error>::new(1);
        let piece = Bytes::from(vec![0; 1 << 20]);
        tokio::spawn(async move { while sender.send_data(piece.clone()).await.is_ok() {} });
        let refused = read(body, Instant::now()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::TooLarge);
    }
}
