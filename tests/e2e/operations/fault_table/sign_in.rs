//! Without a token nothing can be asked.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::StatusCode;
use serde_json::json;

use super::case::{Row, SMALL, upload};

const SOON: [(&str, &str); 2] = [("egain.request_timeout", "1s"), ("egain.budget_wait", "1s")];

pub(super) fn rows() -> Vec<Row> {
    let token = || Fault::at(SandboxOperation::Token);
    let row = |what: &str, fault: Fault| {
        Row::new(what, "upload", async move {
            upload(SMALL, &SOON, [fault]).await
        })
    };
    let nobody = ("egain.token_url", "http://127.0.0.1:1/token");
    let refusal =
        json!({"error": "invalid_client", "error_description": "unknown client or wrong secret"});
    vec![
        Row::new("down: nobody listens", "upload", async move {
            upload(SMALL, &[SOON[0], SOON[1], nobody], []).await
        }),
        row("closes the connection", token().close()),
        row("slow: 300 ms", token().delay(Duration::from_millis(300))),
        row("never responds", token().stall()),
        row(
            "refuses the client, 401",
            token().status(StatusCode::UNAUTHORIZED).body(refusal),
        ),
        row(
            "refuses the client, 403",
            token().status(StatusCode::FORBIDDEN),
        ),
        row("503", token().status(StatusCode::SERVICE_UNAVAILABLE)),
        row("429", token().status(StatusCode::TOO_MANY_REQUESTS)),
        row(
            "HTML instead of JSON",
            token().status(StatusCode::OK).body("<html>Sign in</html>"),
        ),
        row("no `access_token`", token().missing_field("access_token")),
        row("an empty `access_token`", token().field("access_token", "")),
        row("`expires_in` of nothing", token().field("expires_in", 0)),
    ]
}
