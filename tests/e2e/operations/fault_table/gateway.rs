//! Where the gateway itself says no.

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;

use super::case::{FaultCase, LARGE, Row, SMALL, Seen};
use crate::downloads::leaving::SlowUpload;
use crate::support::gateway::{TestGateway, form, noise};
use crate::support::raw_client::{by_hand, in_chunks};
use crate::support::secret_canary::entry;

const UPLOAD: &str = "/v1/assets?channel=sms&name=a.bin";

/// One more upload, whatever is in the way of it.
async fn another(gateway: TestGateway) -> (FaultCase, Seen) {
    let case = FaultCase::of(gateway);
    let response = case
        .gateway
        .post(UPLOAD)
        .body(noise(SMALL, 1))
        .send()
        .await
        .unwrap();
    let seen = case.answered(response, &noise(SMALL, 1)).await;
    (case, seen)
}

async fn one_too_many() -> Seen {
    let gateway = TestGateway::builder()
        .settings(&[("server.max_uploads", "1")])
        .start()
        .await;
    let running = SlowUpload::begin(&gateway, LARGE).await;
    let (_scene, seen) = another(gateway).await;
    assert_eq!(
        running.finish(LARGE).await.unwrap().status(),
        StatusCode::CREATED
    );
    seen
}

/// The caller that takes all seats it gets.
async fn share_taken() -> Seen {
    let gateway = TestGateway::builder()
        .file(&entry("one", ""))
        .settings(&[("auth.mode", "keys"), ("server.max_uploads", "8")])
        .start()
        .await;
    let mut running = Vec::new();
    for _ in 0..7 {
        let (mut body_writer, answer) =
            by_hand(gateway.post(&format!("{UPLOAD}&size={LARGE}")).by("one"));
        body_writer.write(noise(10, 1)).await;
        running.push((body_writer, answer));
    }
    assert!(
        gateway
            .counts("transfers_in_flight{direction=\"upload\"}", 7.0)
            .await
    );
    let case = FaultCase::of(gateway);
    let response = case
        .gateway
        .post(UPLOAD)
        .by("one")
        .body(noise(SMALL, 1))
        .send()
        .await
        .unwrap();
    case.answered(response, &[]).await
}

async fn draining() -> Seen {
    let gateway = TestGateway::builder().start().await;
    let running = SlowUpload::begin(&gateway, LARGE).await;
    gateway.stop();
    while gateway.metric("draining").await == 0.0 {}
    let (_scene, seen) = another(gateway).await;
    assert_eq!(
        running.finish(LARGE).await.unwrap().status(),
        StatusCode::CREATED
    );
    seen
}

async fn no_call_left() -> Seen {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.rate", "0.01"),
            ("egain.burst", "1"),
            ("egain.budget_wait", "100ms"),
        ])
        .start()
        .await;
    gateway.upload("a.bin", noise(SMALL, 1)).await;
    another(gateway).await.1
}

async fn month_used_up() -> Seen {
    let gateway = TestGateway::builder()
        .settings(&[
            ("egain.monthly_quota", "1"),
            ("egain.enforce_quota", "true"),
        ])
        .start()
        .await;
    gateway.upload("a.bin", noise(SMALL, 1)).await;
    another(gateway).await.1
}

async fn spool_used_up() -> Seen {
    let gateway = TestGateway::builder()
        .settings(&[("limits.spool_total", "1500KiB")])
        .start()
        .await;
    let (mut body_writer, _answer) = by_hand(gateway.post(UPLOAD));
    body_writer.write(noise(LARGE, 2)).await;
    assert!(gateway.counts("spool_bytes", LARGE as f64).await);
    let case = FaultCase::of(gateway);
    let response = in_chunks(case.gateway.post(UPLOAD), &noise(LARGE, 1)).await;
    case.answered(response, &[]).await
}

async fn larger_than_the_spool() -> Seen {
    let case = FaultCase::with(
        &[
            ("limits.spool_memory", "64KiB"),
            ("limits.spool_total", "100KiB"),
        ],
        [],
    )
    .await;
    let response = in_chunks(case.gateway.post(UPLOAD), &noise(LARGE, 1)).await;
    case.answered(response, &[]).await
}

async fn spool_dir_gone() -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let case = FaultCase::with(
        &[("limits.spool_memory", "1KiB"), ("limits.spool_dir", &path)],
        [],
    )
    .await;
    folder.close().unwrap();
    let response = in_chunks(case.gateway.post(UPLOAD), &noise(LARGE, 1)).await;
    case.answered(response, &[]).await
}

/// So many forms of this kind ended otherwise before.
async fn another_end(before: usize) -> Seen {
    let gateway = TestGateway::start().await;
    let send = async |gateway: &TestGateway, body: Vec<u8>, content_type: String| {
        gateway
            .post("/v1/assets?channel=sms")
            .header(CONTENT_TYPE, content_type)
            .body(body)
            .send()
            .await
            .unwrap()
    };
    for _ in 0..before {
        let (content_type, body) = form(&[], "a.bin", b"text", "");
        assert_eq!(
            send(&gateway, body, content_type).await.status(),
            StatusCode::CREATED
        );
    }
    let case = FaultCase::of(gateway);
    let (content_type, body) = form(&[], "a.bin", &noise(LARGE, 1), "");
    let response = send(&case.gateway, body[..body.len() - 2].to_vec(), content_type).await;
    case.answered(response, &noise(LARGE, 1)).await
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "`server.max_uploads` are in flight",
            "upload",
            one_too_many(),
        ),
        Row::new(
            "more than half of `server.max_uploads` are in flight, and the caller has its share",
            "upload",
            share_taken(),
        ),
        Row::new(
            "`limits.spool_total` is used up by others",
            "upload, large, no length",
            spool_used_up(),
        ),
        Row::new(
            "larger than all of `limits.spool_total`",
            "upload, large, no length",
            larger_than_the_spool(),
        ),
        Row::new(
            "`limits.spool_dir` is gone",
            "upload, large, no length",
            spool_dir_gone(),
        ),
        Row::new(
            "the allowance of calls is used up",
            "upload",
            no_call_left(),
        ),
        Row::new(
            "the month's calls are used up, with `egain.enforce_quota`",
            "upload",
            month_used_up(),
        ),
        Row::new(
            "a form that ends otherwise than the last one of its kind",
            "form, large",
            another_end(1),
        ),
        Row::new(
            "a form that ends otherwise than 16 of its kind in a row",
            "form, large",
            another_end(16),
        ),
        Row::new("shutting down", "upload", draining()),
    ]
}
