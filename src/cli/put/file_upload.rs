//! One file's upload: its digest first, then its bytes, until the gateway confirms them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::Method;
use reqwest::header::CONTENT_LENGTH;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::source_file::SourceFile;
use crate::cli::client::client_error::ClientError;
use crate::cli::client::gateway_client::{GatewayClient, fetch};
use crate::cli::client::retry::retrying;
use crate::cli::client::transfer_progress::TransferProgress;

/// What all files of one command have in common.
pub(super) struct UploadFields {
    pub channel: String,
    pub sender: Option<String>,
    pub idempotency_key: Option<String>,
    /// How long to wait in all for a gateway that is busy.
    pub wait: Duration,
}

/// A file on its way.
pub(super) struct FileUpload<'a> {
    pub client: &'a GatewayClient,
    pub source: SourceFile,
    pub fields: UploadFields,
    pub progress: TransferProgress,
}

impl FileUpload<'_> {
    /// Sends it, and again where that may help: the idempotency key makes that safe.
    ///
    /// # Errors
    /// Also where the gateway confirms another size or digest.
    pub(super) async fn run(&self) -> Result<Value, ClientError> {
        let outcome = self.digest_and_send().await;
        self.progress.end();
        outcome
    }

    async fn digest_and_send(&self) -> Result<Value, ClientError> {
        let sum = hex::encode(self.source.digest().await?);
        let key = match &self.fields.idempotency_key {
            Some(key) => key.clone(),
            None => self.derived_key(&sum),
        };
        let say = |line: &str| self.progress.note(line);
        let send = async || self.send(&sum, &key).await;
        let receipt = retrying(self.fields.wait, say, send).await?;
        if receipt["size"] == self.source.size && receipt["sha256"] == *sum {
            Ok(receipt)
        } else {
            Err(ClientError::failed(format!(
                "the gateway confirms {} bytes with digest {}, sent were {} with {sum}",
                receipt["size"], receipt["sha256"], self.source.size
            )))
        }
    }

    /// The same for the same file with the same fields, and for nothing else.
    fn derived_key(&self, sum: &str) -> String {
        let fields = &self.fields;
        let sender = fields.sender.as_deref().unwrap_or_default();
        let mut hasher = Sha256::new();
        for part in [sum, &fields.channel, sender, &self.source.name] {
            hasher.update(part);
            hasher.update([0]);
        }
        format!("put-{}", hex::encode(hasher.finalize()))
    }

    async fn send(&self, sum: &str, key: &str) -> Result<Value, ClientError> {
        let fields = &self.fields;
        let mut query = vec![
            ("channel", fields.channel.as_str()),
            ("name", &self.source.name),
            ("sha256", sum),
        ];
        query.extend(fields.sender.as_deref().map(|sender| ("sender", sender)));
        let fault = Arc::new(OnceLock::new());
        self.progress.begin_at(0);
        let request = self
            .client
            .request(Method::POST, &["assets"], &query)
            .header("idempotency-key", key)
            .header(CONTENT_LENGTH, self.source.size)
            .body(self.body(fault.clone()));
        let response = fetch(request).await;
        // What the file did is the cause, whatever it made of the connection.
        match fault.get() {
            Some(fault) => Err(ClientError::clone(fault)),
            None => response,
        }
    }

    /// The file's bytes. What goes wrong with them is left in `fault`, and ends the body.
    fn body(&self, fault: Arc<OnceLock<ClientError>>) -> reqwest::Body {
        let reading = (self.source.clone(), self.progress.clone(), fault, 0);
        let pieces = stream::try_unfold(reading, async |(source, progress, fault, at)| {
            let piece = match source.read_at(at).await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(None),
                Err(error) => {
                    let text = error.to_string();
                    let _first = fault.set(error);
                    return Err(std::io::Error::other(text));
                }
            };
            let length = piece.len() as u64;
            progress.advance(length);
            Ok(Some((
                Frame::<Bytes>::data(piece),
                (source, progress, fault, at + length),
            )))
        });
        reqwest::Body::wrap(StreamBody::new(pieces))
    }
}
