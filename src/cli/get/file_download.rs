//! One file's bytes, resumed where they stopped.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::part_file::PartFile;
use crate::cli::client::client_error::{ClientError, FailureKind};
use crate::cli::client::gateway_client::{GatewayClient, send};
use crate::cli::client::retry::retrying;
use crate::cli::client::transfer_progress::TransferProgress;

/// A transfer that has had no byte for this long has stopped.
const STALL: Duration = Duration::from_secs(60);

/// Before a cut transfer that made progress goes on.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the bytes go.
pub(super) enum DownloadSink {
    Part(PartFile),
    /// Can't be taken back: a file that changes in between is an error.
    Output {
        position: u64,
        validator: Option<String>,
    },
}

impl DownloadSink {
    pub(super) fn output() -> Self {
        Self::Output {
            position: 0,
            validator: None,
        }
    }

    fn position(&self) -> u64 {
        match self {
            Self::Part(part) => part.position,
            Self::Output { position, .. } => *position,
        }
    }

    fn validator(&self) -> Option<&str> {
        match self {
            Self::Part(part) => part.validator.as_deref(),
            Self::Output { validator, .. } => validator.as_deref(),
        }
    }

    async fn restart(&mut self, validator: Option<&str>) -> Result<(), ClientError> {
        match self {
            Self::Part(part) => part.restart(validator).await,
            Self::Output { position: 1.., .. } => Err(ClientError::failed(
                "the download broke off and can't be resumed on standard output: use -o FILE",
            )),
            Self::Output {
                validator: known, ..
            } => {
                *known = validator.map(str::to_owned);
                Ok(())
            }
        }
    }

    async fn write(&mut self, piece: Bytes) -> Result<(), ClientError> {
        match self {
            Self::Part(part) => part.write(&piece).await,
            Self::Output { position, .. } => {
                *position += piece.len() as u64;
                let write = move || {
                    let mut output = io::stdout().lock();
                    output.write_all(&piece).and_then(|()| output.flush())
                };
                let written = spawn_blocking(write);
                let written = written
                    .await
                    .unwrap_or_else(|error| Err(io::Error::other(error)));
                written.map_err(|error| {
                    ClientError::failed(format!("standard output can't be written: {error}"))
                })
            }
        }
    }
}

/// A file that is fetched.
pub(super) struct FileDownload<'a> {
    pub client: &'a GatewayClient,
    pub id: &'a str,
    pub size: Option<u64>,
    pub wait: Duration,
    pub progress: TransferProgress,
    pub sink: DownloadSink,
}

impl FileDownload<'_> {
    /// Fetches all that is missing, and returns the whole size.
    ///
    /// # Errors
    /// Also where the size isn't what the gateway said.
    pub(super) async fn run(&mut self) -> Result<u64, ClientError> {
        let (wait, progress) = (self.wait, self.progress.clone());
        let say = |line: &str| progress.note(line);
        let outcome = retrying(wait, say, async || self.resumed().await).await;
        self.progress.end();
        outcome
    }

    /// Goes on by itself as long as each attempt brings something.
    async fn resumed(&mut self) -> Result<u64, ClientError> {
        loop {
            let before = self.sink.position();
            match self.once().await {
                Err(error)
                    if error.kind == FailureKind::Broken && self.sink.position() > before =>
                {
                    let at = self.sink.position();
                    self.progress
                        .note(&format!("{error}: goes on at byte {at}"));
                    sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn once(&mut self) -> Result<u64, ClientError> {
        let at = self.sink.position();
        if self.size == Some(at) && at > 0 {
            return Ok(at);
        }
        let path = ["assets", self.id, "content"];
        // The bytes, also where the gateway would send a signed URL.
        let mut request = self
            .client
            .request(Method::GET, &path, &[("redirect", "0")]);
        if let Some(validator) = self.sink.validator().filter(|_| at > 0) {
            let range = format!("bytes={at}-");
            request = request.header(RANGE, range).header(IF_RANGE, validator);
        }
        let response = match send(request).await {
            Err(error) if error.code() == Some("range-not-satisfiable") => {
                self.sink.restart(None).await?;
                return Err(ClientError::new(FailureKind::Broken, error.to_string()));
            }
            sent => sent?,
        };
        let total = self.begin(&response, at).await?;
        self.receive(response).await?;
        let position = self.sink.position();
        match total.or(self.size).filter(|total| *total != position) {
            None => Ok(position),
            Some(total) => Err(ClientError::new(
                FailureKind::Broken,
                format!("{position} of {total} bytes arrived"),
            )),
        }
    }

    /// Returns the whole file's size, if the response has it.
    async fn begin(&mut self, response: &Response, at: u64) -> Result<Option<u64>, ClientError> {
        let headers = response.headers();
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let (first, total) = content_range(headers)
                .filter(|(first, _)| *first == at)
                .ok_or_else(|| ClientError::failed("another range arrived than was requested"))?;
            self.progress.begin_at(first);
            return Ok(Some(total));
        }
        let validator = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        let strong = validator.filter(|tag| tag.starts_with('"'));
        self.sink.restart(strong).await?;
        self.progress.begin_at(0);
        Ok(response.content_length())
    }

    async fn receive(&mut self, mut response: Response) -> Result<(), ClientError> {
        let stalled = |_| {
            let seconds = STALL.as_secs();
            ClientError::new(FailureKind::Broken, format!("nothing came for {seconds} s"))
        };
        loop {
            let piece = timeout(STALL, response.chunk()).await.map_err(stalled)?;
            let piece = piece.map_err(|error| ClientError::no_response(&error.without_url()))?;
            let Some(piece) = piece else {
                return Ok(());
            };
            let length = piece.len() as u64;
            self.sink.write(piece).await?;
            self.progress.advance(length);
        }
    }
}

/// The first byte and the whole size of `bytes 5-9/10`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, total.parse().ok()?))
}
