//! Why a command failed: for the person, for `--json` and as an exit code.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::{Value, json};

use super::command_output::printable;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum FailureKind {
    /// Something on this machine, or a failure that a retry won't mend.
    Failed,
    /// The command line contradicts itself.
    Usage,
    /// The gateway refuses this request (4xx).
    Refused,
    /// The gateway is busy; the same request may succeed later.
    Busy,
    /// The connection broke.
    Broken,
    /// No connection was made.
    Unreachable,
}

impl FailureKind {
    fn number(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Busy => 4,
            Self::Broken | Self::Unreachable => 5,
        }
    }
}

/// A failure of a command.
#[derive(Debug, Clone)]
pub(in crate::cli) struct ClientError {
    pub kind: FailureKind,
    detail: String,
    /// The gateway's problem document.
    problem: Option<Value>,
    /// How long the gateway wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl ClientError {
    pub(in crate::cli) fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            problem: None,
            retry_after: None,
        }
    }

    /// A failure on this machine.
    pub(in crate::cli) fn failed(detail: impl Into<String>) -> Self {
        Self::new(FailureKind::Failed, detail)
    }

    /// No response came. Names no URL: it may have a signature.
    pub(in crate::cli) fn no_response(error: &reqwest::Error) -> Self {
        let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
        let innermost = causes.last().map(ToString::to_string).unwrap_or_default();
        if error.is_builder() {
            return Self::failed(format!("the request can't be made: {innermost}"));
        }
        if error.is_connect() {
            return Self::new(
                FailureKind::Unreachable,
                format!("no connection to the gateway: {innermost}"),
            );
        }
        Self::new(
            FailureKind::Broken,
            format!("the connection to the gateway broke: {innermost}"),
        )
    }

    /// A response that isn't a success, with as much of its body as was read.
    pub(in crate::cli) fn of_response(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let problem: Option<Value> = serde_json::from_slice(body)
            .ok()
            .filter(|document: &Value| document["code"].is_string());
        let kind = kind_of(status, problem.as_ref());
        let detail = match problem
            .as_ref()
            .and_then(|problem| problem["detail"].as_str())
        {
            Some(detail) => detail.to_owned(),
            None => {
                format!("{status}, not by a gateway: check what is in front of it, and --url")
            }
        };
        Self {
            kind,
            detail,
            problem,
            retry_after: retry_after(headers, SystemTime::now()),
        }
    }

    /// The gateway's code, such as `too-large`.
    pub(in crate::cli) fn code(&self) -> Option<&str> {
        self.problem.as_ref()?["code"].as_str()
    }

    /// Whether a response came, and wasn't a success.
    pub(in crate::cli) fn is_response(&self) -> bool {
        matches!(self.kind, FailureKind::Refused | FailureKind::Busy)
    }

    /// The status of eGain's or storage's own response.
    pub(in crate::cli) fn upstream_status(&self) -> Option<u64> {
        self.problem.as_ref()?["upstream"]["status"].as_u64()
    }

    pub(in crate::cli) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.number())
    }

    /// For `--json`: the gateway's document, or what was found here.
    pub(in crate::cli) fn to_json(&self) -> Value {
        let mut shown = match &self.problem {
            Some(problem) => problem.clone(),
            None => json!({"detail": self.detail}),
        };
        shown["exitCode"] = json!(self.kind.number());
        shown
    }
}

fn kind_of(status: StatusCode, problem: Option<&Value>) -> FailureKind {
    let is_retryable = problem.is_some_and(|problem| problem["retryable"] == true);
    match status.as_u16() {
        429 | 503 => FailureKind::Busy,
        _ if is_retryable => FailureKind::Busy,
        502 | 504 if problem.is_none() => FailureKind::Busy,
        400..500 => FailureKind::Refused,
        _ => FailureKind::Failed,
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// One line.
impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.detail))?;
        let text = |key: &str| {
            let problem = self.problem.as_ref()?;
            problem[key].as_str().map(printable)
        };
        if let Some(code) = text("code") {
            write!(f, " [{code}")?;
            if let Some(id) = text("requestId") {
                write!(f, ", request {id}")?;
            }
            f.write_str("]")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn of(status: u16, body: &str) -> ClientError {
        let status = StatusCode::from_u16(status).unwrap();
        ClientError::of_response(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_failures_kind_follows_status_and_retryable() {
        let problem = |retryable: bool| format!(r#"{{"code":"x","retryable":{retryable}}}"#);
        for (status, body, kind) in [
            (415, problem(false), FailureKind::Refused),
            (409, problem(true), FailureKind::Busy),
            (429, problem(true), FailureKind::Busy),
            (503, String::new(), FailureKind::Busy),
            (502, problem(true), FailureKind::Busy),
            (502, problem(false), FailureKind::Failed),
            (504, "<html>".to_owned(), FailureKind::Busy),
            (500, problem(false), FailureKind::Failed),
            (404, "<html>".to_owned(), FailureKind::Refused),
        ] {
            assert_eq!(of(status, &body).kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn an_error_is_one_line_that_a_terminal_shows() {
        let error = of(
            400,
            "{\"code\":\"bad-request\",\"detail\":\"a\\nb\\u001b[2J\",\"requestId\":\"r-1\"}",
        );
        assert_eq!(
            error.to_string(),
            "a\\nb\\u{1b}[2J [bad-request, request r-1]"
        );
        assert!(
            of(404, "<html>")
                .to_string()
                .starts_with("404 Not Found, not by a gateway")
        );
    }

    #[test]
    fn retry_after_is_in_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            retry_after(&headers, now)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:50:00 GMT";
        assert_eq!(read(date), Some(Duration::from_secs(23)));
        assert_eq!(read("soon"), None);
    }
}
