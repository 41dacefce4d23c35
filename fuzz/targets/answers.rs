//! eGain's answers: whatever they are, they are read without a panic, cut, and don't quote what
//! they were sent.
//!
//! Input: a line each for `Date`, `Retry-After`, `X-RateLimit-Reset` and an expiry, then the body.
#![no_main]

use std::time::Duration;

use asset_gateway::egain::ApiResponse;
use asset_gateway::types::error::UpstreamResponse;
use asset_gateway::types::peer_time::PeerTime;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "the-secret-of-the-client";

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(5, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in ["date", "retry-after", "x-ratelimit-reset"] {
        if let Ok(value) = HeaderValue::from_bytes(parts.next().unwrap_or_default()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let expiry = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let answer = ApiResponse::of(
        StatusCode::BAD_REQUEST,
        headers,
        Bytes::copy_from_slice(parts.next().unwrap_or_default()),
    );
    let deadline = PeerTime::parse(&expiry).map(|expiry| answer.deadline(expiry, None));
    assert!(
        deadline.is_none_or(|end| end.left() <= Duration::from_secs(7 * 24 * 3600)),
        "at most a week"
    );
    assert!(
        answer
            .retry_after()
            .is_none_or(|wait| wait <= Duration::from_secs(3600)),
        "at most an hour"
    );
    for UpstreamResponse {
        status,
        code,
        developer_message,
        ..
    } in [answer.said(SECRET), answer.oauth_said(SECRET)]
    {
        assert_eq!(status, Some(400));
        for text in [code, developer_message].into_iter().flatten() {
            assert!(
                text.chars().count() <= 300 && !text.contains(SECRET),
                "{text}"
            );
        }
    }
});
