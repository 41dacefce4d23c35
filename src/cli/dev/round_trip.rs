//! One file in and out again, each step checked and said.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::body::digest::{Sha256Sum, hex};

/// The range that is asked for.
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

    /// Up, asked for, down in part and whole, deleted, gone.
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
        self.whole(&one, file).await?;
        answer(
            self.client.delete(&one).send().await,
            StatusCode::NO_CONTENT,
        )
        .await?;
        println!("delete    204");
        answer(self.client.get(&one).send().await, StatusCode::NOT_FOUND).await?;
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
            && stored.sha256 == sum(file);
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
        let part = answer(sent, StatusCode::PARTIAL_CONTENT).await?;
        let range = part
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|range| range.to_str().ok())
            .unwrap_or("no range")
            .to_owned();
        if *bytes(part).await? != file[PART] {
            return Err("the range that came back isn't the one that was sent".to_owned());
        }
        println!("range     206, {range}");
        Ok(())
    }

    async fn whole(&self, one: &str, file: &[u8]) -> Result<(), String> {
        let content = answer(
            self.client.get(format!("{one}/content")).send().await,
            StatusCode::OK,
        )
        .await?;
        let back = bytes(content).await?;
        if back != file {
            return Err("the file that came back isn't the one that was sent".to_owned());
        }
        println!("download  200, {} bytes, sha256 {}", back.len(), sum(&back));
        Ok(())
    }
}

fn sum(bytes: &[u8]) -> String {
    hex(&Sha256Sum::from(Sha256::digest(bytes)))
}

async fn answer(sent: reqwest::Result<Response>, expected: StatusCode) -> Result<Response, String> {
    let response = sent.map_err(failed)?;
    let status = response.status();
    if status == expected {
        return Ok(response);
    }
    let said = response.text().await.unwrap_or_default();
    Err(format!(
        "the round trip failed: expected {expected}, got {status}: {said}"
    ))
}

async fn read<T: for<'de> Deserialize<'de>>(
    sent: reqwest::Result<Response>,
    expected: StatusCode,
) -> Result<T, String> {
    answer(sent, expected).await?.json().await.map_err(failed)
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
