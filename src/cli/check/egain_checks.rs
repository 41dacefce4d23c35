//! Checks of eGain: the sign-in, what its token allows, the clock, and whether the plan is the
//! tenant's.

use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{DATE, HeaderMap};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::verdict::CheckVerdict;
use crate::config::ServiceConfigs;
use crate::egain::{CallRate, ClientCredentials};

/// What eGain documents for all that is done with assets.
const NEEDED_ROLE: &str = "conversationmgr.interaction.manage";

/// A clock that is this far off makes fresh tokens and signed URLs look ended.
const WRONG_CLOCK: Duration = Duration::from_secs(60);

/// `Date` has whole seconds, and a response takes its time.
const EXACT_ENOUGH: Duration = Duration::from_secs(5);

/// The most calls that the check of the plan spends.
const MOST_CALLS: u32 = 16;

/// The most that is read of a token response.
const LONGEST_RESPONSE: usize = 64 * 1024;

/// eGain, as the settings name it.
pub(super) struct EgainProbe {
    http: Client,
    base_url: Url,
    credentials: ClientCredentials,
    assets: CallRate,
}

/// A token that was given, with the clock of who gave it.
pub(super) struct SignedIn {
    token: SecretString,
}

impl EgainProbe {
    pub(super) fn new(configs: &ServiceConfigs) -> Result<Self, String> {
        let egain = &configs.egain;
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(egain.connect_timeout)
            .timeout(egain.request_timeout);
        let http = egain
            .proxy
            .apply_to(builder)
            .and_then(reqwest::ClientBuilder::build)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            http,
            base_url: egain.base_url.clone(),
            credentials: egain.credentials.clone(),
            assets: egain.assets,
        })
    }

    /// Signs in, and looks at the token and at the clock.
    pub(super) async fn sign_in(&self) -> (Vec<CheckVerdict>, Option<SignedIn>) {
        let ClientCredentials::Client {
            token_url,
            id,
            secret,
            scope,
        } = &self.credentials
        else {
            return self.fixed_token();
        };
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", scope)
            .append_pair("client_id", id)
            .append_pair("client_secret", secret.expose_secret())
            .finish();
        let request = self.http.post(token_url.clone()).body(form).header(
            reqwest::header::CONTENT_TYPE,
            "application/x-www-form-urlencoded",
        );
        let (mut response, mut verdicts) = match self.timed(request).await {
            Ok(timed) => timed,
            Err(cause) => {
                let detail = format!("no response of the token endpoint: {cause}");
                let change = "see dns and tls above, and egain.token_url";
                return (vec![CheckVerdict::failed("token", detail, change)], None);
            }
        };
        let status = response.status();
        let document = read(&mut response).await;
        if !status.is_success() {
            verdicts.push(refused(status, document["error"].as_str()));
            return (verdicts, None);
        }
        let Some(token) = document["access_token"].as_str() else {
            verdicts.push(CheckVerdict::failed(
                "token",
                format!("{status} without an access token"),
                "check egain.token_url: something else than a token endpoint responds there",
            ));
            return (verdicts, None);
        };
        verdicts.push(CheckVerdict::ok("token", "eGain's sign-in gives a token"));
        verdicts.push(roles(token));
        let token = token.to_owned().into();
        (verdicts, Some(SignedIn { token }))
    }

    fn fixed_token(&self) -> (Vec<CheckVerdict>, Option<SignedIn>) {
        let ClientCredentials::Fixed(token) = &self.credentials else {
            return (Vec::new(), None);
        };
        let detail = "egain.token is fixed: somebody has to renew it";
        let verdicts = vec![
            CheckVerdict::skipped("token", detail),
            roles(token.expose_secret()),
        ];
        let token = token.clone();
        (verdicts, Some(SignedIn { token }))
    }

    /// Sends it. The verdict is on the clock, if the response has a `Date`.
    async fn timed(
        &self,
        request: RequestBuilder,
    ) -> Result<(Response, Vec<CheckVerdict>), String> {
        let (began, wall) = (Instant::now(), SystemTime::now());
        let response = request.send().await.map_err(|error| cause(&error))?;
        let ours = wall + began.elapsed() / 2;
        let verdicts = clock(response.headers(), ours).into_iter().collect();
        Ok((response, verdicts))
    }

    /// Calls as many times at once as the plan allows, for an asset that doesn't exist.
    pub(super) async fn plan(&self, signed_in: &SignedIn) -> CheckVerdict {
        let calls = self.assets.burst.clamp(1, MOST_CALLS);
        for call in 1..=calls {
            let mut url = self.base_url.clone();
            let path = format!(
                "{}/assets/{}",
                url.path().trim_end_matches('/'),
                Uuid::new_v4()
            );
            url.set_path(&path);
            let request = self
                .http
                .get(url)
                .bearer_auth(signed_in.token.expose_secret());
            let status = match request.send().await {
                Ok(response) => response.status(),
                Err(error) => {
                    let detail = format!("no response of the API: {}", cause(&error));
                    let change = "see dns and tls above, and egain.base_url";
                    return CheckVerdict::failed("plan", detail, change);
                }
            };
            if let Some(failed) = unexpected(status, call, calls) {
                return failed;
            }
        }
        let detail = format!("{calls} calls at once were allowed, as the settings say");
        CheckVerdict::ok("plan", detail)
    }

    /// How long eGain needs to allow as many calls again.
    pub(super) fn refill_time(&self) -> Duration {
        let calls = f64::from(self.assets.burst.clamp(1, MOST_CALLS));
        let seconds = calls / self.assets.per_second.max(0.001);
        Duration::from_secs_f64(seconds.min(10.0))
    }
}

fn unexpected(status: StatusCode, call: u32, calls: u32) -> Option<CheckVerdict> {
    Some(match status {
        StatusCode::TOO_MANY_REQUESTS => CheckVerdict::failed(
            "plan",
            format!("plan too high: eGain refused call {call} of {calls} that the settings allow"),
            "set egain.plan (or egain.rate and egain.burst) to what the tenant has; replicas \
             share it by egain.replicas; other clients of the tenant spend it, too",
        ),
        StatusCode::FORBIDDEN => CheckVerdict::failed(
            "roles",
            "missing role: eGain's token may not read assets",
            format!("give the client app.{NEEDED_ROLE} at eGain, and consent to it"),
        ),
        StatusCode::UNAUTHORIZED => CheckVerdict::failed(
            "token",
            "eGain's API refuses the token that its sign-in gave",
            "check that egain.token_url and egain.base_url are of the same tenant and region",
        ),
        status if status.is_server_error() => CheckVerdict::warning(
            "plan",
            format!("eGain's API responded {status}"),
            "try again later",
        ),
        _ => return None,
    })
}

/// Only words of RFC 6749 are shown: a description may quote what was sent.
fn refused(status: StatusCode, error: Option<&str>) -> CheckVerdict {
    let (detail, change) = match error {
        Some("invalid_client") => (
            "wrong secret: eGain's sign-in doesn't know this client and secret",
            "check egain.client_id and egain.client_secret; a secret may have expired",
        ),
        Some("invalid_scope") => (
            "wrong scope: eGain's sign-in doesn't give this client the scope",
            "check egain.scope; for a public tenant it is https://api.egain.cloud/auth/.default",
        ),
        Some("unauthorized_client") => (
            "the client may not sign in with client credentials",
            "allow that grant for the client at eGain",
        ),
        Some("unsupported_grant_type" | "invalid_grant" | "invalid_request") => (
            "the token endpoint doesn't take client credentials",
            "check egain.token_url: it is of another kind of endpoint",
        ),
        _ if status.is_server_error() => {
            let detail = format!("eGain's sign-in responded {status}");
            return CheckVerdict::failed("token", detail, "try again later");
        }
        _ => {
            let detail = format!("eGain's sign-in refused with {status}");
            let change = "check egain.token_url, egain.client_id, egain.client_secret, egain.scope";
            return CheckVerdict::failed("token", detail, change);
        }
    };
    CheckVerdict::failed("token", detail, change)
}

/// What a token says of itself. Only names of roles are shown.
fn roles(token: &str) -> CheckVerdict {
    let Some(claims) = claims(token) else {
        let detail = "the token says nothing of its roles: the calls below show what it may do";
        return CheckVerdict::skipped("roles", detail);
    };
    let named = named_roles(&claims);
    let has_it = named.iter().any(|role| role.ends_with(NEEDED_ROLE));
    if has_it {
        return CheckVerdict::ok("roles", named.join(", "));
    }
    let has = if named.is_empty() {
        "no roles at all".to_owned()
    } else {
        named.join(", ")
    };
    CheckVerdict::failed(
        "roles",
        format!("missing role: the token lacks app.{NEEDED_ROLE}, and has {has}"),
        format!("give the client app.{NEEDED_ROLE} at eGain, and consent to it"),
    )
}

/// The payload of a JWT. It isn't verified: it came from the token endpoint itself.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok().filter(Value::is_object)
}

/// `roles` of application permissions, `scp` and `scope` of others.
fn named_roles(claims: &Value) -> Vec<String> {
    let words = |value: &Value| match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(items) => items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    ["roles", "scp", "scope"]
        .iter()
        .flat_map(|claim| words(&claims[claim]))
        .collect()
}

fn clock(headers: &HeaderMap, ours: SystemTime) -> Option<CheckVerdict> {
    let theirs = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let (off, which) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let detail = format!("this clock is {} s {which} eGain's", off.as_secs());
    let change = "synchronize this machine's clock (NTP)";
    Some(if off >= WRONG_CLOCK {
        CheckVerdict::failed("clock", detail, change)
    } else if off > EXACT_ENOUGH {
        CheckVerdict::warning("clock", detail, change)
    } else {
        CheckVerdict::ok("clock", "it agrees with eGain's")
    })
}

async fn read(response: &mut Response) -> Value {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > LONGEST_RESPONSE {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).unwrap_or_default()
}

/// The innermost cause names no URL.
fn cause(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    causes.skip(1).last().map_or_else(
        || {
            if error.is_timeout() {
                "timeout"
            } else {
                "unknown cause"
            }
            .to_owned()
        },
        ToString::to_string,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::verdict::CheckResult;
    use serde_json::json;

    fn token(claims: &Value) -> String {
        format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn a_tokens_roles_are_those_of_any_claim() {
        let full = format!("app.conversation.{NEEDED_ROLE}");
        for claims in [
            json!({"roles": [full]}),
            json!({"scp": format!("a {full}")}),
        ] {
            assert_eq!(roles(&token(&claims)).result, CheckResult::Ok, "{claims}");
        }
        for claims in [json!({}), json!({"roles": ["app.conversation.other"]})] {
            let verdict = roles(&token(&claims));
            assert!(verdict.detail.starts_with("missing role: "), "{verdict}");
        }
        assert_eq!(roles("opaque").result, CheckResult::Skipped);
    }

    #[test]
    fn a_wrong_clock_is_named_with_its_direction() {
        let headers = HeaderMap::from_iter([(
            DATE,
            reqwest::header::HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"),
        )]);
        let theirs = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let ahead = clock(&headers, theirs + minutes(10)).unwrap();
        assert_eq!(ahead.detail, "this clock is 600 s ahead of eGain's");
        assert_eq!(ahead.result, CheckResult::Failed);
        let behind = clock(&headers, theirs - minutes(10)).unwrap();
        assert_eq!(behind.detail, "this clock is 600 s behind eGain's");
        let close = clock(&headers, theirs + Duration::from_secs(2)).unwrap();
        assert_eq!(close.result, CheckResult::Ok);
        assert_eq!(clock(&HeaderMap::new(), theirs), None);
    }
}
