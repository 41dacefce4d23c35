//! One file in and out again, each step checked and printed.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The range that is requested.
const PART: std::ops::RangeInclusive<usize> = 1000..=1999;

/// A caller of the gateway.
pub(super) struct RoundTrip {
    client: Client,
    assets: String,
}

/// What a 201 says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredAsset {
    /// The asset's id.
    pub id: String,
    name: String,
    content_type: String,
    size: u64,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    content_type: String,
    size: u64,
    content_url_expiry: String,
}

impl RoundTrip {
    pub(super) fn new(addr: SocketAddr) -> Self {
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build();
        Self {
            client: client.expect("the gateway has made one, too"),
            assets: format!("http://{addr}/v1/assets"),
        }
    }

    /// Uploads, reads metadata, a range and all bytes, deletes, and checks that the file is gone.
    pub(super) async fn run(&self, file: &[u8]) -> Result<(), String> {
        let stored = self.upload(file).await?;
        println!(
            "\nupload    201, {} as {}, {} bytes, sha256 {}",
            stored.name, stored.content_type, stored.size, stored.sha256
        );
        let one = format!("{}/{}", self.assets, stored.id);
        let metadata: Metadata = read(self.client.get(&one).send().await, StatusCode::OK).await?;
        println!(
            "metadata  200, {}, {} bytes, URL good until {}",
            metadata.content_type, metadata.size, metadata.content_url_expiry
        );
        self.part(&one, file).await?;
        self.all_bytes(&one, file).await?;
        expect_status(
            self.client.delete(&one).send().await,
            StatusCode::NO_CONTENT,
        )
        .await?;
        println!("delete    204");
        expect_status(self.client.get(&one).send().await, StatusCode::NOT_FOUND).await?;
        println!("gone      404\n\nThe round trip is verified.");
        Ok(())
    }

    /// Sends the file and checks the receipt.
    pub(super) async fn upload(&self, file: &[u8]) -> Result<StoredAsset, String> {
        let target = format!("{}?channel=sms&name=photo.png&sha256=1", self.assets);
        let stored: StoredAsset = read(
            self.client.post(target).body(file.to_vec()).send().await,
            StatusCode::CREATED,
        )
        .await?;
        let same = stored.size == file.len() as u64
            && stored.content_type == "image/png"
            && stored.sha256 == sha256_of(file);
        if same {
            Ok(stored)
        } else {
            Err("the gateway stored something else than was sent".to_owned())
        }
    }

    async fn part(&self, one: &str, file: &[u8]) -> Result<(), String> {
        let range = format!("bytes={}-{}", PART.start(), PART.end());
        let sent = self
            .client
            .get(format!("{one}/content"))
            .header(RANGE, range)
            .send()
            .await;
        let part = expect_status(sent, StatusCode::PARTIAL_CONTENT).await?;
        let range = match part.headers().get(CONTENT_RANGE).map(HeaderValue::to_str) {
            Some(Ok(range)) => range.to_owned(),
            _ => "no range".to_owned(),
        };
        if *bytes(part).await? != file[PART] {
            return Err("the range that came back isn't the one that was sent".to_owned());
        }
        println!("range     206, {range}");
        Ok(())
    }

    async fn all_bytes(&self, one: &str, file: &[u8]) -> Result<(), String> {
        let content = expect_status(
            self.client.get(format!("{one}/content")).send().await,
            StatusCode::OK,
        )
        .await?;
        let back = bytes(content).await?;
        if back != file {
            return Err("the file that came back isn't the one that was sent".to_owned());
        }
        println!(
            "download  200, {} bytes, sha256 {}",
            back.len(),
            sha256_of(&back)
        );
        Ok(())
    }
}

fn sha256_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

async fn expect_status(
    sent: reqwest::Result<Response>,
    expected: StatusCode,
) -> Result<Response, String> {
    let response = sent.map_err(failed)?;
    let status = response.status();
    if status == expected {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    Err(format!(
        "the round trip failed: expected {expected}, got {status}: {text}"
    ))
}

async fn read<T: for<'de> Deserialize<'de>>(
    sent: reqwest::Result<Response>,
    expected: StatusCode,
) -> Result<T, String> {
    expect_status(sent, expected)
        .await?
        .json()
        .await
        .map_err(failed)
}

async fn bytes(mut response: Response) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

fn failed(error: reqwest::Error) -> String {
    format!("the round trip failed: {}", error.without_url())
}
