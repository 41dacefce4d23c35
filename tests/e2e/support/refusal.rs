//! A refusal, with all that it promises about itself.

use reqwest::Response;
use reqwest::header::RETRY_AFTER;
use serde_json::Value;

/// A problem document with the header that belongs to it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: u16,
    pub code: String,
    pub blame: String,
    pub stage: String,
    pub detail: String,
    pub retryable: bool,
    pub retry_after: Option<u64>,
    pub upstream: Value,
}

impl Refusal {
    /// Reads it, and holds what is true of every one.
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        assert_eq!(
            headers["content-type"], "application/problem+json",
            "{text}"
        );
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&document["status"], &document["requestId"]),
            (&status.into(), &header(&headers["x-request-id"])),
            "{text}"
        );
        let words = |key: &str| {
            document[key]
                .as_str()
                .filter(|words| !words.is_empty())
                .expect(key)
                .to_owned()
        };
        let retry_after = headers
            .get(RETRY_AFTER)
            .map(|wait| wait.to_str().unwrap().parse().unwrap());
        let retryable = document["retryable"].as_bool().unwrap();
        assert!(
            retry_after.is_none() || retryable,
            "who is told when to come back may come back: {text}"
        );
        let upstream = document["upstream"].clone();
        let [code, blame, stage, detail] = ["code", "blame", "stage", "detail"].map(words);
        Self {
            status,
            code,
            blame,
            stage,
            detail,
            retryable,
            retry_after,
            upstream,
        }
    }

    /// Status and code.
    pub(crate) fn kind(&self) -> (u16, &str) {
        (self.status, &self.code)
    }

    /// Status, code, blame and stage.
    pub(crate) fn told(&self) -> (u16, &str, &str, &str) {
        (self.status, &self.code, &self.blame, &self.stage)
    }
}

fn header(value: &reqwest::header::HeaderValue) -> Value {
    value.to_str().unwrap().into()
}
