//! Calls of a gateway.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use url::Url;

use super::client_error::ClientError;
use super::client_options::ClientOptions;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The most that is read of a document; eGain's lists of accounts are the longest.
const LONGEST_DOCUMENT: usize = 4 * 1024 * 1024;

/// A gateway, called as one caller.
#[derive(Clone)]
pub(in crate::cli) struct GatewayClient {
    http: Client,
    base: Url,
}

impl GatewayClient {
    pub(in crate::cli) fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let key = options.key.as_ref();
        let headers: HeaderMap = key
            .map(|key| (AUTHORIZATION, key.header()))
            .into_iter()
            .collect();
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .connect_timeout(CONNECT)
            .user_agent(concat!("asset-gateway/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .build()
            .map_err(|error| ClientError::failed(error.to_string()))?;
        Ok(Self {
            http,
            base: options.url.clone(),
        })
    }

    /// A request to `/v1/` and these segments, each escaped.
    pub(in crate::cli) fn request(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> RequestBuilder {
        self.http.request(method, url(&self.base, segments, query))
    }
}

fn url(base: &Url, segments: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    url.set_fragment(None);
    url.set_query(None);
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push("v1").extend(segments);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// Sends it. Only a success (2xx) is a response; of all else the problem document is read.
pub(in crate::cli) async fn send(request: RequestBuilder) -> Result<Response, ClientError> {
    let sent = request.send().await;
    let mut response = sent.map_err(|error| ClientError::no_response(&error.without_url()))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let body = read(&mut response).await.unwrap_or_default();
    Err(ClientError::of_response(
        response.status(),
        response.headers(),
        &body,
    ))
}

/// Sends it, and reads the JSON of its response.
pub(in crate::cli) async fn fetch<T: DeserializeOwned>(
    request: RequestBuilder,
) -> Result<T, ClientError> {
    read_json(send(request).await?).await
}

/// The JSON of a response.
pub(in crate::cli) async fn read_json<T: DeserializeOwned>(
    mut response: Response,
) -> Result<T, ClientError> {
    let body = read(&mut response).await?;
    serde_json::from_slice(&body).map_err(|_| {
        let status = response.status();
        ClientError::failed(format!(
            "{status} without what a gateway responds: check --url"
        ))
    })
}

async fn read(response: &mut Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| ClientError::no_response(&error.without_url()))?
    {
        if body.len() + chunk.len() > LONGEST_DOCUMENT {
            return Err(ClientError::failed(
                "the response is longer than any document",
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_segment_behind_the_gateways_path() {
        let base: Url = "https://a.example/media/?x=1#y".parse().unwrap();
        let url = url(&base, &["assets", "../a/b?c"], &[("name", "a&b\n")]);
        assert_eq!(
            url.as_str(),
            "https://a.example/media/v1/assets/..%2Fa%2Fb%3Fc?name=a%26b%0A"
        );
    }
}
