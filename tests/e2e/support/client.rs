//! reqwest's client, whose every answer is searched for planted secrets.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Body, IntoUrl, Method, Response, Result, StatusCode};

use crate::support::secret_canary::{key, search};

/// A caller's client.
#[derive(Clone)]
pub(crate) struct Client(reqwest::Client);

/// A request under way to be sent.
pub(crate) struct RequestBuilder(reqwest::RequestBuilder);

impl Client {
    /// A client that follows no redirect, but else as it is set up here.
    pub(crate) fn with(
        set_up: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Self {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        Self(set_up(builder).build().unwrap())
    }

    pub(crate) fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        RequestBuilder(self.0.request(method, url))
    }

    pub(crate) fn get(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    pub(crate) fn head(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    pub(crate) fn post(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    pub(crate) fn delete(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }
}

impl RequestBuilder {
    pub(crate) fn header<N, V>(self, name: N, value: V) -> Self
    where
        HeaderName: TryFrom<N, Error: Into<http::Error>>,
        HeaderValue: TryFrom<V, Error: Into<http::Error>>,
    {
        Self(self.0.header(name, value))
    }

    pub(crate) fn bearer_auth(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    /// As the caller with this id, by [`crate::support::secret_canary::key`].
    pub(crate) fn by(self, id: &str) -> Self {
        self.bearer_auth(&key(id))
    }

    pub(crate) fn timeout(self, time: Duration) -> Self {
        Self(self.0.timeout(time))
    }

    pub(crate) fn body(self, body: impl Into<Body>) -> Self {
        Self(self.0.body(body))
    }

    /// Its answer, of which an error was read to its end.
    pub(crate) async fn send(self) -> Result<Response> {
        let answer = self.0.send().await?;
        search_head(answer.status(), answer.headers());
        let confirms = answer.status() == StatusCode::CREATED;
        if confirms || answer.status().is_client_error() || answer.status().is_server_error() {
            searched_whole(answer).await
        } else {
            Ok(answer)
        }
    }
}

fn search_head(status: StatusCode, headers: &HeaderMap) {
    let mut headers = headers.clone();
    if status.is_redirection() {
        headers.remove(LOCATION);
    }
    search("an answer's head", &format!("{headers:?}"));
}

async fn searched_whole(answer: Response) -> Result<Response> {
    let (head, body) = http::Response::from(answer).into_parts();
    let bytes: Bytes = http_body_util::BodyExt::collect(body).await?.to_bytes();
    search("an answer", &String::from_utf8_lossy(&bytes));
    Ok(http::Response::from_parts(head, bytes).into())
}
