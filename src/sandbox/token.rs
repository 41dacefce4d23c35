//! OAuth 2.0 client credentials, as eGain's documentation describes them: all in the form body.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use serde_json::json;
use uuid::Uuid;

use super::config::{SCOPE_PREFIX, SandboxConfig};
use super::reading;
use super::reply::SandboxReply;

/// A form that is larger than this isn't one for a token.
const MAX_FORM: usize = 16 * 1024;

/// What a token allows and for how long.
#[derive(Debug)]
struct Grant {
    scopes: Vec<String>,
    expires: Instant,
}

/// The tokens that were given out and are still good.
#[derive(Debug, Default)]
pub(super) struct IssuedTokens(Mutex<HashMap<String, Grant>>);

/// Why a token isn't enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenRefusal {
    Unknown,
    Scope,
}

impl IssuedTokens {
    /// Responds to `POST /token`.
    pub(super) async fn respond(
        &self,
        config: &SandboxConfig,
        request: Request<Incoming>,
    ) -> SandboxReply {
        let scopes = match read(request).await {
            Ok(form) => authorize(&form, config),
            Err(denied) => Err(denied),
        };
        let reply = match scopes {
            Ok(scopes) => self.issue(scopes, config),
            Err(denied) => denied.into_reply(),
        };
        reply.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    fn issue(&self, scopes: Vec<String>, config: &SandboxConfig) -> SandboxReply {
        // Recognisable, so that tests with the stand-in can search for it where no token belongs.
        let token = format!(
            "sandbox-token-{}{}",
            Uuid::new_v4().simple(),
            Uuid::new_v4().simple()
        );
        let expires = Instant::now() + config.token_life;
        let mut tokens = self.0.lock();
        tokens.retain(|_, grant| grant.expires > Instant::now());
        tokens.insert(token.clone(), Grant { scopes, expires });
        let expires_in = config.token_life.as_secs();
        SandboxReply::json(
            StatusCode::OK,
            json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in}),
        )
    }

    /// Whether `token` is good and has one of `scopes`.
    pub(super) fn check(&self, token: &str, scopes: &[&str]) -> Result<(), TokenRefusal> {
        let tokens = self.0.lock();
        let grant = match tokens.get(token) {
            Some(grant) if grant.expires > Instant::now() => grant,
            _ => return Err(TokenRefusal::Unknown),
        };
        let allowed = grant
            .scopes
            .iter()
            .any(|scope| scopes.contains(&scope.as_str()));
        if allowed {
            Ok(())
        } else {
            Err(TokenRefusal::Scope)
        }
    }
}

/// An error in the words of RFC 6749, 5.2.
#[derive(Debug, PartialEq, Eq)]
struct Denied(&'static str, &'static str);

impl Denied {
    fn into_reply(self) -> SandboxReply {
        let status = if self.0 == "invalid_client" {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::BAD_REQUEST
        };
        SandboxReply::json(
            status,
            json!({"error": self.0, "error_description": self.1}),
        )
    }
}

type Form = HashMap<String, String>;

async fn read(request: Request<Incoming>) -> Result<Form, Denied> {
    if !reading::is_of_type(request.headers(), "application/x-www-form-urlencoded") {
        return Err(Denied("invalid_request", "send a form"));
    }
    if request.headers().contains_key(header::AUTHORIZATION) {
        return Err(Denied(
            "invalid_client",
            "send client_id and client_secret in the body, not as a header",
        ));
    }
    match reading::read(request, MAX_FORM).await {
        Ok(body) => parse(&body),
        Err(_) => Err(Denied("invalid_request", "the form can't be read")),
    }
}

fn parse(body: &[u8]) -> Result<Form, Denied> {
    let mut form = Form::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(Denied("invalid_request", "a parameter was given twice"));
        }
    }
    Ok(form)
}

/// The scopes that the form requests, if the client may have them.
fn authorize(form: &Form, config: &SandboxConfig) -> Result<Vec<String>, Denied> {
    match form.get("grant_type").map(String::as_str) {
        Some("client_credentials") => {}
        Some(_) => return Err(Denied("unsupported_grant_type", "only client_credentials")),
        None => return Err(Denied("invalid_request", "grant_type is missing")),
    }
    let secret = form.get("client_secret").map(String::as_str);
    if form.get("client_id") != Some(&config.client_id)
        || secret != Some(config.client_secret.expose_secret())
    {
        return Err(Denied("invalid_client", "unknown client or wrong secret"));
    }
    match form.get("scope") {
        Some(requested) if !requested.is_empty() => scopes(requested, &config.scopes),
        _ => Err(Denied("invalid_scope", "scope is missing")),
    }
}

/// `.default` means everything that the client may have.
fn scopes(requested: &str, allowed: &[String]) -> Result<Vec<String>, Denied> {
    let mut scopes = BTreeSet::new();
    for scope in requested.split(' ') {
        scopes.insert(scope.strip_prefix(SCOPE_PREFIX).unwrap_or(scope).to_owned());
    }
    if scopes.contains(".default") {
        return Ok(allowed.to_vec());
    }
    if scopes.iter().all(|scope| allowed.contains(scope)) {
        Ok(scopes.into_iter().collect())
    } else {
        Err(Denied(
            "invalid_scope",
            "the client may not have this scope",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{INTERACTION_MANAGE, INTERACTION_READ};
    use super::*;

    fn ask(form: &str) -> Result<Vec<String>, &'static str> {
        parse(form.as_bytes())
            .and_then(|form| authorize(&form, &SandboxConfig::default()))
            .map_err(|denied| denied.0)
    }

    const CLIENT: &str =
        "grant_type=client_credentials&client_id=sandbox-client&client_secret=sandbox-secret";

    #[test]
    fn the_default_scope_is_all_that_the_client_has() {
        let form = format!("{CLIENT}&scope=https://api.egain.cloud/auth/.default");
        assert_eq!(ask(&form), Ok(SandboxConfig::default().scopes));
        let form = format!("{CLIENT}&scope=https://api.egain.cloud/auth/{INTERACTION_MANAGE}");
        assert_eq!(ask(&form), Ok(vec![INTERACTION_MANAGE.to_owned()]));
    }

    #[test]
    fn errors_are_those_of_rfc_6749() {
        assert_eq!(ask(CLIENT), Err("invalid_scope"));
        assert_eq!(
            ask(&format!("{CLIENT}&scope={INTERACTION_READ}")),
            Err("invalid_scope")
        );
        assert_eq!(
            ask(&format!("{CLIENT}&scope=a&scope=b")),
            Err("invalid_request")
        );
        assert_eq!(ask("client_id=a"), Err("invalid_request"));
        assert_eq!(ask("grant_type=password"), Err("unsupported_grant_type"));
        assert_eq!(
            ask("grant_type=client_credentials&client_id=a&client_secret=b&scope=c"),
            Err("invalid_client")
        );
    }
}
