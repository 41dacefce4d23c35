//! Bytes go in and come out as they were, whatever their number and however they are sent.

use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use crate::support::gateway::{TestGateway, form, noise, receipt};

/// Around the look-ahead of 64 KiB, and eGain's least and most.
const SIZES: [usize; 6] = [1, 65_535, 65_536, 65_537, 1024 * 1024, 10 * 1024 * 1024];

#[tokio::test]
async fn raw_files_of_every_size_come_back_unchanged() {
    let gateway = TestGateway::start().await;
    for size in SIZES {
        let file = noise(size, size as u64);
        let stored = gateway.upload("file.bin", file.clone()).await;
        assert_eq!(
            (stored["size"].as_u64(), &stored["lengthSource"]),
            (Some(size as u64), &json!("declared"))
        );
        assert!(
            gateway.download(stored["id"].as_str().unwrap()).await == file,
            "{size} bytes"
        );
    }
}

#[tokio::test]
async fn forms_of_every_size_come_back_unchanged() {
    let gateway = TestGateway::start().await;
    for round in 0..2 {
        for size in SIZES {
            let file = noise(size, size as u64 + round);
            let (content_type, body) = form(&[("channel", "sms")], "file.bin", &file, "");
            let request = gateway
                .post("/v1/assets")
                .header(CONTENT_TYPE, content_type)
                .body(body);
            let stored = receipt(request.send().await.unwrap()).await;
            // The small ones, which come first, have shown how this client ends its forms.
            let rung = if size <= 65_536 {
                "lookahead"
            } else {
                "derived"
            };
            assert_eq!(
                (stored["size"].as_u64(), &stored["lengthSource"]),
                (Some(size as u64), &json!(rung))
            );
            assert!(
                gateway.stored(stored["id"].as_str().unwrap()) == file,
                "{size} bytes"
            );
        }
    }
}
