//! How a stand-in can be configured. The defaults are eGain as far as it is known.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::StatusCode;
use jiff::SignedDuration;
use secrecy::SecretString;
use url::Url;

use super::limits::Plan;

/// Where scopes live: `https://api.egain.cloud/auth/.default` requests all that the client has.
pub(super) const SCOPE_PREFIX: &str = "https://api.egain.cloud/auth/";

/// To do anything with assets.
pub(super) const INTERACTION_MANAGE: &str = "app.conversation.conversationmgr.interaction.manage";

/// To read assets.
pub(super) const INTERACTION_READ: &str = "app.conversation.conversationmgr.interaction.read";

/// To do anything with accounts and channels.
pub(super) const MANAGE: &str = "app.conversation.conversationmgr.manage";

/// To read accounts and channels.
pub(super) const READ: &str = "app.conversation.conversationmgr.read";

/// The character of a stand-in.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where callers reach it, if not at the address it listens on: the base of signed URLs.
    pub public_base: Option<Url>,
    /// The only client that may have tokens.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// Scopes that the client may have, without the prefix `https://api.egain.cloud/auth/`.
    pub scopes: Vec<String>,
    /// For how long an access token is good; sent as `expires_in`.
    pub token_life: Duration,
    /// For how long a file may be sent to its signed URL.
    pub upload_life: Duration,
    /// For how long a signed URL serves downloads.
    pub download_life: Duration,
    /// Calls that the tenant may make; `None` for as many as it likes.
    pub plan: Option<Plan>,
    /// The largest file, in bytes.
    pub max_size: u64,
    /// The status of storage's response to a file that it took: any 2xx.
    pub upload_status: StatusCode,
    /// Whether storage refuses a `Content-Type` that doesn't fit the extension of the name.
    pub check_type: bool,
    /// How far its clock is ahead of the machine's: in `Date` and in every expiry.
    pub clock_skew: SignedDuration,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_base: None,
            client_id: "sandbox-client".to_owned(),
            client_secret: SecretString::from("sandbox-secret"),
            scopes: vec![INTERACTION_MANAGE.to_owned(), MANAGE.to_owned()],
            token_life: Duration::from_secs(3600),
            upload_life: Duration::from_secs(60),
            download_life: Duration::from_secs(24 * 3600),
            plan: None,
            max_size: 10 * 1024 * 1024,
            upload_status: StatusCode::CREATED,
            check_type: true,
            clock_skew: SignedDuration::ZERO,
        }
    }
}
