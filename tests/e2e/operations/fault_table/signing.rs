//! `POST /assets` that fails, or signs nonsense.

use std::time::Duration;

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use serde_json::json;

use super::case::{FaultCase, LARGE, Row, SMALL, Seen, upload, upload_after, upload_at};
use crate::support::gateway::noise;

fn create() -> Fault {
    Fault::at(SandboxOperation::CreateAsset)
}

fn row(what: &str, fault: Fault) -> Row {
    Row::new(
        what,
        "upload",
        async move { upload(SMALL, &[], [fault]).await },
    )
}

fn hurried(what: &str, fault: Fault) -> Row {
    Row::new(what, "upload", async move {
        upload(SMALL, &[("egain.max_pause", "1s")], [fault]).await
    })
}

/// The sixth upload, after five that failed.
fn outage() -> Row {
    let down = create().status(StatusCode::SERVICE_UNAVAILABLE);
    Row::new("503 five times before", "upload", async move {
        upload_after(5, SMALL, [down]).await
    })
}

fn skewed(minutes: i64) -> Row {
    let config = SandboxConfig {
        clock_skew: SignedDuration::from_mins(minutes),
        ..SandboxConfig::default()
    };
    Row::new(
        format!("its clock is {minutes:+} minutes off"),
        "upload, large",
        upload_at(config, LARGE),
    )
}

fn too_many() -> [Row; 9] {
    let busy = || {
        create()
            .status(StatusCode::TOO_MANY_REQUESTS)
            .body(json!({"code": "429-001"}))
    };
    let with = |name: &HeaderName, value: String| {
        busy().header(name.clone(), HeaderValue::try_from(value).unwrap())
    };
    let (reset, at) = (
        HeaderName::from_static("x-ratelimit-reset"),
        Timestamp::now() + Duration::from_secs(60),
    );
    [
        row(
            "429, `Retry-After` of a minute in seconds",
            with(&RETRY_AFTER, "60".to_owned()),
        ),
        row(
            "429, `Retry-After` as a date",
            with(&RETRY_AFTER, httpdate::fmt_http_date(at.into())),
        ),
        row(
            "429, `X-RateLimit-Reset` as a time",
            with(&reset, at.to_string()),
        ),
        row(
            "429, `X-RateLimit-Reset` in seconds",
            with(&reset, "60".to_owned()),
        ),
        row(
            "429, `X-RateLimit-Reset` in epoch seconds",
            with(&reset, at.as_second().to_string()),
        ),
        row(
            "429, `X-RateLimit-Reset` in epoch milliseconds",
            with(&reset, at.as_millisecond().to_string()),
        ),
        hurried(
            "429 once, `Retry-After` of a day, `egain.max_pause` of a second",
            with(&RETRY_AFTER, "86400".to_owned()).once(),
        ),
        row(
            "429 once, `Retry-After` of a second",
            with(&RETRY_AFTER, "1".to_owned()).once(),
        ),
        row("429 once, without a header", busy().once()),
    ]
}

fn invalid(field: &str) -> Fault {
    let details = json!([{"key": field, "value": "not a valid value"}]);
    create()
        .status(StatusCode::BAD_REQUEST)
        .body(json!({"code": "400-152", "details": details}))
}

async fn upload_named(name: &str, fault: Fault) -> Seen {
    let case = FaultCase::with(&[], [fault]).await;
    let file = noise(SMALL, 1);
    let response = case
        .gateway
        .post(&format!("/v1/assets?channel=sms&name={name}"))
        .body(file.clone())
        .send()
        .await
        .unwrap();
    case.answered(response, &file).await
}

async fn old_token_refused() -> Seen {
    let case = FaultCase::with(&[], []).await;
    case.gateway.upload("first.bin", noise(10, 1)).await;
    tokio::time::sleep(Duration::from_millis(10_100)).await;
    let case = FaultCase::of(case.gateway);
    case.gateway
        .sandbox
        .fault(create().status(StatusCode::UNAUTHORIZED).once());
    let file = noise(SMALL, 1);
    let response = case
        .gateway
        .post("/v1/assets?channel=sms&name=a.bin")
        .body(file.clone())
        .send()
        .await
        .unwrap();
    case.answered(response, &file).await
}

pub(super) fn rows() -> Vec<Row> {
    let status = |status: StatusCode| create().status(status);
    let past = (Timestamp::now() - SignedDuration::from_hours(1)).to_string();
    let soon = [("egain.request_timeout", "1s")];
    let nobody = [("egain.base_url", "http://127.0.0.1:1/v3")];
    let mut rows = vec![
        Row::new(
            "401 once, to a token that is 10 s old",
            "upload",
            old_token_refused(),
        ),
        row(
            "401 always, to a young token",
            status(StatusCode::UNAUTHORIZED),
        ),
        row("403", status(StatusCode::FORBIDDEN)),
        row(
            "400",
            status(StatusCode::BAD_REQUEST)
                .body(json!({"code": "400-143", "developerMessage": "missing"})),
        ),
        row("400 for the channel", invalid("channel.type")),
        row("400 for the name, which is plain", invalid("name")),
        Row::new("400 once for a name with brackets", "upload", async {
            upload_named("a%20(1).bin", invalid("name").once()).await
        }),
        row("a redirect", status(StatusCode::FOUND)),
    ];
    rows.extend(too_many());
    rows.extend([
        row("500 once", status(StatusCode::INTERNAL_SERVER_ERROR).once()),
        row("500 always", status(StatusCode::INTERNAL_SERVER_ERROR)),
        row(
            "502 in HTML, always",
            status(StatusCode::BAD_GATEWAY).body("<html>Bad Gateway</html>"),
        ),
        row("503 once", status(StatusCode::SERVICE_UNAVAILABLE).once()),
        row("503 always", status(StatusCode::SERVICE_UNAVAILABLE)),
        outage(),
        row(
            "504, though it has created the asset",
            status(StatusCode::GATEWAY_TIMEOUT).done(),
        ),
        row(
            "HTML instead of JSON",
            status(StatusCode::OK).body("<html>Welcome</html>"),
        ),
        row("no `id`", create().missing_field("id")),
        row("no `contentUrl`", create().missing_field("contentUrl")),
        row(
            "a `contentUrl` on a foreign host",
            create().field("contentUrl", "https://storage.example.com/x"),
        ),
        row(
            "a `contentUrl` at a link-local address",
            create().field("contentUrl", "http://169.254.169.254/latest"),
        ),
        row(
            "an expiry in the past",
            create().field("contentUrlExpiry", past),
        ),
        row("no expiry", create().missing_field("contentUrlExpiry")),
        skewed(-10),
        skewed(10),
        Row::new("never responds", "upload", async move {
            upload(SMALL, &soon, [create().stall()]).await
        }),
        row("closes the connection once", create().close().once()),
        row("closes the connection always", create().close()),
        Row::new("down: nobody listens", "upload", async move {
            upload(SMALL, &nobody, []).await
        }),
    ]);
    rows
}
