//! Reads that fail: in eGain, in storage, in the middle.

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use http::HeaderValue;
use http::header::ETAG;
use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use serde_json::json;

use super::case::{FaultCase, Row, Seen};
use crate::downloads::content::stored;
use crate::support::fake_storage::Storage;
use crate::support::gateway::{TestGateway, noise};
use crate::support::raw_client;

const SIZE: usize = 300_000;

fn sign() -> Fault {
    Fault::at(SandboxOperation::GetAsset)
}

fn fetch() -> Fault {
    Fault::at(SandboxOperation::Download)
}

async fn download(settings: &[(&str, &str)], faults: impl IntoIterator<Item = Fault>) -> Seen {
    let gateway = TestGateway::builder().settings(settings).start().await;
    let path = stored(&gateway, "a.bin", noise(SIZE, 1)).await;
    faults
        .into_iter()
        .for_each(|fault| gateway.sandbox.fault(fault));
    let case = FaultCase::of(gateway);
    let answer = case.gateway.get(&path).send().await.unwrap();
    case.answered(answer, &noise(SIZE, 1)).await
}

fn row(what: &str, fault: Fault) -> Row {
    Row::new(what, "content", async move { download(&[], [fault]).await })
}

/// Two downloads, for which a URL that is believed is asked for once.
async fn skewed(minutes: i64) -> Seen {
    let config = SandboxConfig {
        clock_skew: SignedDuration::from_mins(minutes),
        ..SandboxConfig::default()
    };
    let gateway = TestGateway::builder().sandbox(config).start().await;
    let path = stored(&gateway, "a.bin", noise(SIZE, 1)).await;
    let case = FaultCase::of(gateway);
    let first = case.gateway.get(&path).send().await.unwrap();
    assert!(first.bytes().await.unwrap() == noise(SIZE, 1));
    let second = case.gateway.get(&path).send().await.unwrap();
    case.answered(second, &noise(SIZE, 1)).await
}

async fn silent_in_the_middle() -> Seen {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234".to_vec();
    let gateway = Storage::that_says(vec![half])
        .await
        .gateway(&[("egain.transfer_idle_timeout", "500ms")])
        .await;
    let path = stored(&gateway, "a.bin", noise(10, 1)).await;
    let case = FaultCase::of(gateway);
    let answer = case.gateway.get(&path).send().await.unwrap();
    case.answered(answer, &[]).await
}

/// Storage's answer about a file that has ten bytes, as eGain says, too.
fn said(what: &str, answer: &'static str) -> Row {
    Row::new(format!("storage: {what}"), "content", async move {
        let gateway = Storage::that_says_and_closes(vec![answer.into()])
            .await
            .gateway_that_knows_sizes()
            .await;
        let path = stored(&gateway, "a.bin", noise(10, 1)).await;
        let case = FaultCase::of(gateway);
        let answer = case.gateway.get(&path).send().await.unwrap();
        case.answered(answer, &[]).await
    })
}

async fn beyond_the_end() -> Seen {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway, "a.bin", noise(10, 1)).await;
    let case = FaultCase::of(gateway);
    let answer = case
        .gateway
        .get(&path)
        .header("range", "bytes=10-")
        .send()
        .await
        .unwrap();
    case.answered(answer, &[]).await
}

async fn caller_left() -> Seen {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234".to_vec();
    let gateway = Storage::that_says(vec![half]).await.gateway(&[]).await;
    let path = stored(&gateway, "a.bin", noise(10, 1)).await;
    let case = FaultCase::of(gateway);
    let mut caller = raw_client::Wire::to(case.gateway.addr).await;
    caller
        .send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
        .await;
    caller.head().await;
    drop(caller);
    case.caller_left("download", "fetch").await
}

pub(super) fn rows() -> Vec<Row> {
    let egain_said = |code: &str| {
        sign()
            .status(StatusCode::BAD_REQUEST)
            .body(json!({"code": code, "developerMessage": "x"}))
    };
    let (forbidden, silent) = (
        || fetch().status(StatusCode::FORBIDDEN),
        [("egain.transfer_idle_timeout", "500ms")],
    );
    let past = (Timestamp::now() - SignedDuration::from_hours(1)).to_string();
    let weak = HeaderValue::from_static("W/\"weak\"");
    let (brief, soon) = (
        [("egain.pending_wait", "1s")],
        [("egain.request_timeout", "1s")],
    );
    vec![
        row(
            "eGain: no such asset, 404",
            sign().status(StatusCode::NOT_FOUND),
        ),
        row("eGain: malicious content, 400-765", egain_said("400-765")),
        Row::new(
            "eGain: not available yet, 400-766, always",
            "content",
            async move { download(&brief, [egain_said("400-766")]).await },
        ),
        row(
            "eGain: not available yet, 400-766, once",
            egain_said("400-766").once(),
        ),
        row("eGain: 401 always", sign().status(StatusCode::UNAUTHORIZED)),
        row(
            "eGain: 500 always",
            sign().status(StatusCode::INTERNAL_SERVER_ERROR),
        ),
        Row::new("eGain: never responds", "content", async move {
            download(&soon, [sign().stall()]).await
        }),
        row(
            "eGain: an expiry in the past",
            sign().field("contentUrlExpiry", past),
        ),
        row(
            "eGain: a `contentUrl` on a foreign host",
            sign().field("contentUrl", "https://storage.example.com/x"),
        ),
        Row::new(
            "eGain's clock is -10 minutes off",
            "content, twice",
            skewed(-10),
        ),
        Row::new(
            "eGain's clock is +10 minutes off",
            "content, twice",
            skewed(10),
        ),
        row("storage refuses the URL once", forbidden().once()),
        row("storage refuses the URL always", forbidden()),
        row(
            "storage: 500",
            fetch().status(StatusCode::INTERNAL_SERVER_ERROR).once(),
        ),
        row("storage closes the connection", fetch().close().once()),
        Row::new("storage never responds", "content", async move {
            download(&silent, [fetch().stall()]).await
        }),
        row(
            "cut in the middle, strong `ETag`",
            fetch().cut_after(100_000).once(),
        ),
        row(
            "cut in the middle, weak `ETag`",
            fetch().cut_after(100_000).header(ETAG, weak).once(),
        ),
        row(
            "cut in the middle, no `ETag`",
            fetch().cut_after(100_000).no_etag().once(),
        ),
        Row::new("silent in the middle", "content", silent_in_the_middle()),
        said(
            "fewer bytes than the file has",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n012",
        ),
        said(
            "an empty body without length",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        ),
        said(
            "a part that wasn't requested",
            "HTTP/1.1 206 Part\r\ncontent-range: bytes 0-2/10\r\ncontent-length: 3\r\n\r\n012",
        ),
        said(
            "304 to a request without conditions",
            "HTTP/1.1 304 Same\r\netag: \"e\"\r\n\r\n",
        ),
        Row::new(
            "a range beyond the end",
            "content, `Range`",
            beyond_the_end(),
        ),
        Row::new("the client disconnected", "content", caller_left()),
    ]
}
