//! Where the gateway itself says no.

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;

use super::scene::{LARGE, Row, SMALL, Scene, Seen};
use crate::house::{House, form, noise};
use crate::leaving::SlowUpload;
use crate::planted::entry;
use crate::wire::{by_hand, in_chunks};

const UPLOAD: &str = "/v1/assets?channel=sms&name=a.bin";

/// One more upload, whatever is in the way of it.
async fn another(house: House) -> (Scene, Seen) {
    let scene = Scene::of(house);
    let response = scene
        .house
        .post(UPLOAD)
        .body(noise(SMALL, 1))
        .send()
        .await
        .unwrap();
    let seen = scene.answered(response, &noise(SMALL, 1)).await;
    (scene, seen)
}

async fn one_too_many() -> Seen {
    let house = House::set(&[("server.max_uploads", "1")]).await;
    let running = SlowUpload::begin(&house, LARGE).await;
    let (_scene, seen) = another(house).await;
    assert_eq!(
        running.finish(LARGE).await.unwrap().status(),
        StatusCode::CREATED
    );
    seen
}

/// The caller that takes all seats it gets.
async fn share_taken() -> Seen {
    let house = House::with_file(
        &entry("one", ""),
        &[("auth.mode", "keys"), ("server.max_uploads", "8")],
    )
    .await;
    let mut running = Vec::new();
    for _ in 0..7 {
        let (mut pen, answer) = by_hand(house.post(&format!("{UPLOAD}&size={LARGE}")).by("one"));
        pen.write(noise(10, 1)).await;
        running.push((pen, answer));
    }
    assert!(
        house
            .counts("transfers_in_flight{direction=\"upload\"}", 7.0)
            .await
    );
    let scene = Scene::of(house);
    let response = scene
        .house
        .post(UPLOAD)
        .by("one")
        .body(noise(SMALL, 1))
        .send()
        .await
        .unwrap();
    scene.answered(response, &[]).await
}

async fn draining() -> Seen {
    let house = House::set(&[]).await;
    let running = SlowUpload::begin(&house, LARGE).await;
    house.stop();
    while house.metric("draining").await == 0.0 {}
    let (_scene, seen) = another(house).await;
    assert_eq!(
        running.finish(LARGE).await.unwrap().status(),
        StatusCode::CREATED
    );
    seen
}

async fn no_call_left() -> Seen {
    let house = House::set(&[
        ("egain.rate", "0.01"),
        ("egain.burst", "1"),
        ("egain.budget_wait", "100ms"),
    ])
    .await;
    house.upload("a.bin", noise(SMALL, 1)).await;
    another(house).await.1
}

async fn month_used_up() -> Seen {
    let house = House::set(&[
        ("egain.monthly_quota", "1"),
        ("egain.enforce_quota", "true"),
    ])
    .await;
    house.upload("a.bin", noise(SMALL, 1)).await;
    another(house).await.1
}

async fn spool_used_up() -> Seen {
    let house = House::set(&[("limits.spool_total", "1500KiB")]).await;
    let (mut pen, _answer) = by_hand(house.post(UPLOAD));
    pen.write(noise(LARGE, 2)).await;
    assert!(house.counts("spool_bytes", LARGE as f64).await);
    let scene = Scene::of(house);
    let response = in_chunks(scene.house.post(UPLOAD), &noise(LARGE, 1)).await;
    scene.answered(response, &[]).await
}

async fn larger_than_the_spool() -> Seen {
    let scene = Scene::with(
        &[
            ("limits.spool_memory", "64KiB"),
            ("limits.spool_total", "100KiB"),
        ],
        [],
    )
    .await;
    let response = in_chunks(scene.house.post(UPLOAD), &noise(LARGE, 1)).await;
    scene.answered(response, &[]).await
}

async fn spool_dir_gone() -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let scene = Scene::with(
        &[("limits.spool_memory", "1KiB"), ("limits.spool_dir", &path)],
        [],
    )
    .await;
    folder.close().unwrap();
    let response = in_chunks(scene.house.post(UPLOAD), &noise(LARGE, 1)).await;
    scene.answered(response, &[]).await
}

/// So many forms of this kind ended otherwise before.
async fn another_end(before: usize) -> Seen {
    let house = House::open().await;
    let send = async |house: &House, body: Vec<u8>, content_type: String| {
        house
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
            send(&house, body, content_type).await.status(),
            StatusCode::CREATED
        );
    }
    let scene = Scene::of(house);
    let (content_type, body) = form(&[], "a.bin", &noise(LARGE, 1), "");
    let response = send(&scene.house, body[..body.len() - 2].to_vec(), content_type).await;
    scene.answered(response, &noise(LARGE, 1)).await
}

pub fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "`server.max_uploads` are under way",
            "upload",
            one_too_many(),
        ),
        Row::new(
            "more than half of `server.max_uploads` are under way, and the caller has its share",
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
        Row::new("told to stop", "upload", draining()),
    ]
}
