//! What can go wrong, in terms of meaning: whose fault it is, where it happened, and whether
//! trying again makes sense. HTTP statuses are the business of `api`.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::time::Duration;

use strum::VariantArray;

use super::attachment_limit::AttachmentLimit;
use super::cause;

/// The stable name of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum ErrorCode {
    /// The request makes no sense as a whole.
    BadRequest,
    /// The form can't be read (RFC 2046, RFC 7578).
    MalformedMultipart,
    /// A required field wasn't given.
    MissingField,
    /// A field's value is not one that is allowed.
    InvalidField,
    /// One field was given twice with different values.
    ConflictingField,
    /// The body was longer or shorter than declared.
    LengthMismatch,
    /// The body's digest isn't the one declared.
    DigestMismatch,
    /// The file has no bytes; eGain's minimum is one.
    EmptyFile,
    /// The caller is unknown.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// No such route or asset.
    NotFound,
    /// The route exists, the method doesn't.
    MethodNotAllowed,
    /// The caller sent nothing, or too little, for too long.
    ClientTooSlow,
    /// An upload with the same key is still in flight.
    IdempotencyInProgress,
    /// The key was used for another file.
    IdempotencyMismatch,
    /// The upstream state doesn't permit it, such as deleting an asset that is in use.
    Conflict,
    /// The version that the caller means isn't the present one any more.
    #[strum(serialize = "conflict")]
    PreconditionFailed,
    /// eGain found malicious content (400-765).
    ContentRejected,
    /// The length can't be known and the file can't be spooled: that is switched off, or it is
    /// too large for it.
    LengthRequired,
    /// Larger than what is allowed.
    TooLarge,
    /// The type of file isn't allowed.
    TypeNotAllowed,
    /// The bytes are sent in an encoding that would be stored as it is.
    EncodingNotAllowed,
    /// The requested range is outside the file.
    RangeNotSatisfiable,
    /// The request's headers are too large.
    HeadersTooLarge,
    /// The caller has used up its own rate.
    RateLimited,
    /// A defect of the gateway or its machine.
    Internal,
    /// The upstream sent an unexpected response.
    UpstreamError,
    /// The file couldn't be stored.
    UploadFailed,
    /// The upstream didn't respond in time.
    UpstreamTimeout,
    /// One of the gateway's caps is reached.
    Overloaded,
    /// The allowance of eGain calls is used up for now.
    UpstreamBudget,
    /// This month's quota of eGain calls is used up.
    UpstreamQuota,
    /// The upstream can't be reached or says that it is down.
    UpstreamUnavailable,
    /// A remembered framing ended otherwise than remembered.
    FramingMispredicted,
    /// The asset isn't available yet (eGain 400-766).
    AssetPending,
    /// The gateway is about to stop.
    Draining,
    /// The client disconnected. It gets no response; this is only logged and counted.
    CallerLeft,
}

impl ErrorCode {
    /// Every value, for tables and for pre-made metric labels.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name as clients and dashboards see it.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Who has to act to make it go away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Blame {
    /// The one who called the gateway.
    Caller,
    /// The gateway, its machine or its settings.
    Gateway,
    /// eGain's API.
    Egain,
    /// The storage behind signed URLs.
    Storage,
}

impl Blame {
    /// Every value, for tables and for pre-made metric labels.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name as clients and dashboards see it.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What was being done when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Stage {
    /// Deciding from the request's head.
    Admit,
    /// Reading the caller's body.
    Read,
    /// Judging type and size.
    Policy,
    /// Waiting for the allowance of eGain calls.
    Budget,
    /// Calling eGain for an asset or its signed URL.
    Sign,
    /// Sending to storage.
    Store,
    /// Reading from storage.
    Fetch,
    /// Deleting an asset.
    Delete,
    /// Working on accounts and channels.
    Manage,
}

impl Stage {
    /// Every value, for tables and for pre-made metric labels.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name as clients and dashboards see it.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl ErrorCode {
    /// Whether the same request may succeed later, unless the error says otherwise.
    const fn usually_retryable(self) -> bool {
        matches!(
            self,
            Self::ClientTooSlow
                | Self::RateLimited
                | Self::UploadFailed
                | Self::UpstreamTimeout
                | Self::Overloaded
                | Self::UpstreamBudget
                | Self::UpstreamQuota
                | Self::UpstreamUnavailable
                | Self::FramingMispredicted
                | Self::AssetPending
                | Self::Draining
        )
    }
}

/// What an upstream said, as far as it may be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamResponse {
    /// Its HTTP status.
    pub status: Option<u16>,
    /// Its own code, such as `400-143`.
    pub code: Option<String>,
    /// Its message for developers.
    pub developer_message: Option<String>,
    /// The caller's field that it refused.
    pub field: Option<&'static str>,
}

/// A failure and what is known of it. One pointer wide, as it travels inside every `Result`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.detail)]
pub struct Error(Box<Known>);

#[derive(Debug, Clone)]
struct Known {
    code: ErrorCode,
    blame: Blame,
    stage: Stage,
    detail: Cow<'static, str>,
    retryable: bool,
    wait: Option<Duration>,
    upstream: Option<UpstreamResponse>,
    cause: Option<Box<str>>,
    limit: Option<AttachmentLimit>,
}

impl Error {
    /// A fault of the caller. `detail` says what to do about it.
    pub fn caller(code: ErrorCode, stage: Stage, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, Blame::Caller, stage, detail.into())
    }

    /// A fault of the gateway, its machine or its settings.
    pub fn gateway(code: ErrorCode, stage: Stage, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, Blame::Gateway, stage, detail.into())
    }

    /// A fault of eGain's API.
    pub fn egain(code: ErrorCode, stage: Stage, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, Blame::Egain, stage, detail.into())
    }

    /// A fault of the storage behind signed URLs.
    pub fn storage(code: ErrorCode, stage: Stage, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, Blame::Storage, stage, detail.into())
    }

    fn new(code: ErrorCode, blame: Blame, stage: Stage, detail: Cow<'static, str>) -> Self {
        let retryable = code.usually_retryable();
        Self(Box::new(Known {
            code,
            blame,
            stage,
            detail,
            retryable,
            wait: None,
            upstream: None,
            cause: None,
            limit: None,
        }))
    }

    /// When to try again. Implies that trying again makes sense.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.wait = Some(wait);
        self.0.retryable = true;
        self
    }

    /// Whether trying again makes sense, where the code alone doesn't tell.
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// What the upstream said.
    pub fn with_upstream(mut self, response: UpstreamResponse) -> Self {
        self.0.upstream = Some(response);
        self
    }

    /// What it came from, for the log only: an expired certificate, say, where callers hear that
    /// storage can't be reached.
    pub fn because(mut self, error: &(dyn StdError + 'static)) -> Self {
        self.0.cause = Some(cause::chain(error).into());
        self
    }

    /// The same without what the upstream said but its status.
    pub fn without_upstream_words(mut self) -> Self {
        if let Some(said) = &mut self.0.upstream {
            *said = UpstreamResponse {
                status: said.status,
                ..UpstreamResponse::default()
            };
        }
        self
    }

    /// The same at another stage, for a failure that several requests share.
    pub fn at(mut self, stage: Stage) -> Self {
        self.0.stage = stage;
        self
    }

    /// The limit that was passed, so that a caller sees who sets it.
    pub fn with_limit(mut self, limit: AttachmentLimit) -> Self {
        self.0.limit = Some(limit);
        self
    }

    /// The limit that was passed.
    pub fn limit(&self) -> Option<&AttachmentLimit> {
        self.0.limit.as_ref()
    }

    /// The stable name.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// Who has to act.
    pub fn blame(&self) -> Blame {
        self.0.blame
    }

    /// Where it happened.
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// What happened and what to do.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Whether a request was refused because of the caller, a rule or a limit, as opposed to an
    /// upstream that failed or a client that disconnected.
    pub fn is_refusal(&self) -> bool {
        let failed = matches!(
            self.0.code,
            ErrorCode::CallerLeft
                | ErrorCode::Internal
                | ErrorCode::UpstreamError
                | ErrorCode::UpstreamUnavailable
                | ErrorCode::UpstreamTimeout
                | ErrorCode::UploadFailed
        );
        matches!(self.0.blame, Blame::Caller | Blame::Gateway) && !failed
    }

    /// When to try again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.wait
    }

    /// What the upstream said.
    pub fn upstream(&self) -> Option<&UpstreamResponse> {
        self.0.upstream.as_ref()
    }

    /// What it came from, for the log only.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The error that a client library carried through as a cause, if there is one.
    ///
    /// A typed error inside a request body survives the way through hyper; it is found
    /// by walking `source()`.
    pub fn find_in<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Self> {
        std::iter::successors(Some(error), |&e| e.source()).find_map(|e| e.downcast_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("a client library's own words")]
    struct Wrapper(#[source] Error);

    #[test]
    fn a_fault_is_found_behind_other_errors() {
        let wrapped = Wrapper(Error::caller(
            ErrorCode::EmptyFile,
            Stage::Read,
            "send a file",
        ));
        assert_eq!(
            Error::find_in(&wrapped).map(Error::code),
            Some(ErrorCode::EmptyFile)
        );
        assert!(Error::find_in(&std::fmt::Error).is_none());
    }

    #[test]
    fn what_failed_is_no_refusal() {
        let gateway = |code| Error::gateway(code, Stage::Sign, "x").is_refusal();
        for limit in [
            ErrorCode::Overloaded,
            ErrorCode::UpstreamBudget,
            ErrorCode::UpstreamQuota,
            ErrorCode::Draining,
            ErrorCode::FramingMispredicted,
        ] {
            assert!(gateway(limit), "{}", limit.name());
        }
        for failure in [
            ErrorCode::UpstreamError,
            ErrorCode::UpstreamUnavailable,
            ErrorCode::Internal,
        ] {
            assert!(
                !gateway(failure),
                "{}: as when eGain refuses our token",
                failure.name()
            );
        }
        assert!(Error::caller(ErrorCode::Forbidden, Stage::Admit, "x").is_refusal());
        assert!(!Error::caller(ErrorCode::CallerLeft, Stage::Read, "x").is_refusal());
        assert!(!Error::egain(ErrorCode::UpstreamBudget, Stage::Sign, "x").is_refusal());
    }

    #[test]
    fn a_wait_makes_a_fault_retryable() {
        let error = Error::egain(ErrorCode::UpstreamError, Stage::Sign, "x");
        assert!(!error.is_retryable());
        assert!(
            error
                .with_retry_after(Duration::from_secs(1))
                .is_retryable()
        );
    }
}
