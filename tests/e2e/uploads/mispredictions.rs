//! Forms that are well-formed and end otherwise than most: never a wrong byte, and hardly ever one
//! more try.

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use crate::support::gateway::{TestGateway, form, noise, receipt};
use crate::support::refusal::Refusal;

/// Beyond the look-ahead of 64 KiB.
const LARGE: usize = 200_000;

/// Makes a form around a file: its type and its bytes.
type Ending = fn(&[u8]) -> (String, Vec<u8>);

/// Ends of a form that RFC 2046 permits and that a total length doesn't tell apart from the usual
/// one.
const ENDINGS: [(&str, Ending); 6] = [
    ("no last CRLF", |file| {
        let (content_type, body) = form(&[], "a.bin", file, "");
        (content_type, body[..body.len() - 2].to_vec())
    }),
    ("a part after the file", |file| {
        form(
            &[],
            "a.bin",
            file,
            "--BOUNDARY\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nbye\r\n",
        )
    }),
    ("a caption after the file", |file| {
        form(
            &[],
            "a.bin",
            file,
            "--BOUNDARY\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nhello\r\n",
        )
    }),
    ("one more CRLF", |file| {
        let (content_type, body) = form(&[], "a.bin", file, "");
        (content_type, [&body[..], b"\r\n"].concat())
    }),
    ("an epilogue", |file| {
        let (content_type, body) = form(&[], "a.bin", file, "");
        (content_type, [&body[..], b"nobody reads this\r\n"].concat())
    }),
    ("transport padding", |file| {
        let (content_type, body) = form(&[], "a.bin", file, "");
        (content_type, [&body[..body.len() - 2], b" \t\r\n"].concat())
    }),
];

async fn send(gateway: &TestGateway, (content_type, body): (String, Vec<u8>)) -> Response {
    gateway
        .post("/v1/assets?channel=sms")
        .header(CONTENT_TYPE, content_type)
        .body(body)
        .send()
        .await
        .unwrap()
}

/// The rung, once the bytes were compared.
async fn stored(gateway: &TestGateway, response: Response, file: &[u8], what: &str) -> String {
    let receipt = receipt(response).await;
    assert!(
        gateway.stored(receipt["id"].as_str().unwrap()) == file,
        "{what}"
    );
    receipt["lengthSource"].as_str().unwrap().to_owned()
}

fn usual(file: &[u8]) -> (String, Vec<u8>) {
    form(&[], "a.bin", file, "")
}

/// As Apache's HttpClient does it: a boundary of another length each time.
fn with_boundary_of(length: usize, file: &[u8]) -> (String, Vec<u8>) {
    let boundary = "b".repeat(length);
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n"
    );
    let body = [
        head.as_bytes(),
        file,
        format!("\r\n--{boundary}--\r\n").as_bytes(),
    ]
    .concat();
    (format!("multipart/form-data; boundary={boundary}"), body)
}

#[tokio::test]
async fn a_constant_ending_is_learnt_at_once() {
    for (what, ending) in ENDINGS {
        let gateway = TestGateway::start().await;
        let file = noise(LARGE, 1);
        assert_eq!(
            stored(&gateway, send(&gateway, ending(&file)).await, &file, what).await,
            "spooled",
            "{what}"
        );
        for _ in 0..20 {
            assert_eq!(
                stored(&gateway, send(&gateway, ending(&file)).await, &file, what).await,
                "derived",
                "{what}"
            );
        }
        assert_eq!(
            gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
            21,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_random_boundary_length_doesnt_prevent_derived_lengths() {
    let gateway = TestGateway::start().await;
    let file = noise(LARGE, 5);
    for (number, length) in [30, 40, 31, 70, 1, 30, 33].into_iter().enumerate() {
        let source = stored(
            &gateway,
            send(&gateway, with_boundary_of(length, &file)).await,
            &file,
            "random",
        )
        .await;
        assert_eq!(
            source,
            if number == 0 { "spooled" } else { "derived" },
            "{length}"
        );
    }
}

#[tokio::test]
async fn within_the_look_ahead_no_ending_matters() {
    let gateway = TestGateway::start().await;
    let file = noise(1000, 2);
    assert_eq!(
        stored(
            &gateway,
            send(&gateway, form(&[], "a.bin", &file, "")).await,
            &file,
            "usual"
        )
        .await,
        "lookahead"
    );
    for (what, ending) in ENDINGS {
        assert_eq!(
            stored(&gateway, send(&gateway, ending(&file)).await, &file, what).await,
            "lookahead",
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_misprediction_is_corrected_unseen_by_the_caller() {
    for (what, ending) in ENDINGS {
        let gateway = TestGateway::start().await;
        for size in [LARGE, 1_000_000] {
            let file = noise(size, 3);
            let calls = gateway.sandbox.stats().calls(SandboxOperation::CreateAsset);
            for _ in 0..2 {
                stored(&gateway, send(&gateway, usual(&file)).await, &file, what).await;
            }
            assert_eq!(
                stored(&gateway, send(&gateway, ending(&file)).await, &file, what).await,
                "spooled",
                "{what}"
            );
            let more = gateway.sandbox.stats().calls(SandboxOperation::CreateAsset) - calls;
            assert!(
                size > LARGE || more == 4,
                "{what}: {more} calls, one more than there are files"
            );
        }
        assert_eq!(
            gateway.left_upstream(6).await,
            6,
            "{what}: nothing else is kept"
        );
        assert!(gateway.counts("spool_bytes", 0.0).await);
        assert_eq!(
            gateway
                .metric("uploads_total{length_source=\"unknown\",outcome=\"framing-mispredicted\"}")
                .await,
            0.0
        );
    }
}

#[tokio::test]
async fn forms_with_two_endings_are_never_refused() {
    let gateway = TestGateway::start().await;
    let file = noise(LARGE, 6);
    let captioned = |caption: &str| {
        let after = format!(
            "--BOUNDARY\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\n{caption}\r\n"
        );
        form(&[], "a.bin", &file, &after)
    };
    for turn in 0..20 {
        stored(&gateway, send(&gateway, usual(&file)).await, &file, "plain").await;
        stored(
            &gateway,
            send(&gateway, captioned(&"x".repeat(turn))).await,
            &file,
            "captioned",
        )
        .await;
    }
    let calls = gateway.sandbox.stats().calls(SandboxOperation::CreateAsset);
    assert!(calls <= 42, "{calls} calls for 40 files");
    assert_eq!(gateway.left_upstream(40).await, 40);
}

#[tokio::test]
async fn other_fields_before_the_file_are_another_framing() {
    let gateway = TestGateway::start().await;
    let file = noise(LARGE, 7);
    let after = "--BOUNDARY\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nhello\r\n";
    for turn in 0..5 {
        for body in [
            form(&[("channel", "sms")], "a.bin", &file, ""),
            form(&[], "a.bin", &file, after),
        ] {
            let source = stored(&gateway, send(&gateway, body).await, &file, "in turn").await;
            assert_eq!(source, if turn == 0 { "spooled" } else { "derived" });
        }
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        10
    );
}

/// Learns an ending so well that no copy is made any more.
async fn trusted(gateway: &TestGateway) {
    for _ in 0..16 {
        let small = noise(1000, 8);
        stored(gateway, send(gateway, usual(&small)).await, &small, "usual").await;
    }
}

#[tokio::test]
async fn without_safety_copy_only_the_first_misprediction_is_refused() {
    for (what, ending) in ENDINGS {
        let gateway = TestGateway::start().await;
        let file = noise(LARGE, 9);
        trusted(&gateway).await;
        assert_eq!(
            stored(&gateway, send(&gateway, usual(&file)).await, &file, what).await,
            "derived"
        );
        let refusal = Refusal::of(send(&gateway, ending(&file)).await).await;
        assert_eq!(
            refusal.told(),
            (503, "framing-mispredicted", "gateway", "read"),
            "{what}"
        );
        assert_eq!(refusal.retry_after, Some(1), "{what}");
        assert_eq!(
            gateway.left_upstream(17).await,
            17,
            "{what}: nothing is kept"
        );
        for _ in 0..3 {
            stored(&gateway, send(&gateway, usual(&file)).await, &file, what).await;
        }
        assert_eq!(
            stored(&gateway, send(&gateway, ending(&file)).await, &file, what).await,
            "spooled",
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_refused_forms_retry_succeeds_whatever_others_send() {
    let gateway = TestGateway::start().await;
    let (file, small) = (noise(LARGE, 10), noise(1000, 10));
    trusted(&gateway).await;
    assert_eq!(
        Refusal::of(send(&gateway, ENDINGS[0].1(&file)).await)
            .await
            .kind(),
        (503, "framing-mispredicted")
    );
    for _ in 0..100 {
        stored(
            &gateway,
            send(&gateway, usual(&small)).await,
            &small,
            "usual",
        )
        .await;
    }
    assert_eq!(
        stored(
            &gateway,
            send(&gateway, ENDINGS[0].1(&file)).await,
            &file,
            "retry"
        )
        .await,
        "spooled"
    );
}

#[tokio::test]
async fn without_spool_room_a_misprediction_is_refused() {
    let gateway = TestGateway::builder()
        .settings(&[
            ("limits.spool_memory", "1KiB"),
            ("limits.spool_total", "100KiB"),
        ])
        .start()
        .await;
    let (file, small) = (noise(LARGE, 11), noise(1000, 11));
    stored(
        &gateway,
        send(&gateway, usual(&small)).await,
        &small,
        "usual",
    )
    .await;
    assert_eq!(
        stored(&gateway, send(&gateway, usual(&file)).await, &file, "usual").await,
        "derived",
        "it streams all the same"
    );
    assert_eq!(
        Refusal::of(send(&gateway, ENDINGS[0].1(&file)).await)
            .await
            .kind(),
        (503, "framing-mispredicted")
    );
}

#[tokio::test]
async fn a_broken_send_is_repeated_from_the_safety_copy() {
    for broken in [
        Fault::at(SandboxOperation::Upload).cut_after(300_000),
        Fault::at(SandboxOperation::Upload).status(reqwest::StatusCode::FORBIDDEN),
    ] {
        let gateway = TestGateway::start().await;
        let file = noise(1_000_000, 12);
        stored(&gateway, send(&gateway, usual(&file)).await, &file, "usual").await;
        gateway.sandbox.fault(broken.once());
        assert_eq!(
            stored(
                &gateway,
                send(&gateway, usual(&file)).await,
                &file,
                "broken"
            )
            .await,
            "derived"
        );
        assert_eq!(gateway.left_upstream(2).await, 2);
    }
}

#[tokio::test]
async fn a_wrong_guess_hides_no_fault_of_the_caller() {
    let gateway = TestGateway::builder()
        .settings(&[("limits.max_asset_size", "300000")])
        .start()
        .await;
    let (small, file) = (noise(1000, 13), noise(LARGE, 13));
    let (content_type, body) = form(&[], "a.bin", &small, "");
    let long = [&body[..], &[b'x'; 1000]].concat();
    stored(
        &gateway,
        send(&gateway, (content_type, long)).await,
        &small,
        "a long epilogue",
    )
    .await;
    let late = "--BOUNDARY\r\nContent-Disposition: form-data; name=\"channel\"\r\n\r\nwhatsapp\r\n";
    for (body, kind) in [
        (usual(&noise(300_500, 14)), (413, "too-large")),
        (form(&[], "a.bin", &file, late), (400, "conflicting-field")),
    ] {
        assert_eq!(Refusal::of(send(&gateway, body).await).await.kind(), kind);
    }
    assert_eq!(gateway.left_upstream(1).await, 1);
}

#[tokio::test]
async fn a_declared_size_makes_every_ending_succeed_and_stream() {
    let gateway = TestGateway::start().await;
    let file = noise(200_000, 4);
    let usual = send(&gateway, form(&[], "a.bin", &file[..1000], "")).await;
    stored(&gateway, usual, &file[..1000], "usual").await;
    for (what, ending) in ENDINGS {
        let (content_type, body) = ending(&file);
        let request = gateway
            .post("/v1/assets?channel=sms&size=200000")
            .header(CONTENT_TYPE, content_type)
            .body(body);
        assert_eq!(
            stored(&gateway, request.send().await.unwrap(), &file, what).await,
            "declared",
            "{what}"
        );
    }
}
