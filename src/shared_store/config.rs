//! Where the store is, and what its values are sealed with.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Bytes of a key that values are sealed with.
const SEAL_KEY_BYTES: usize = 32;

/// Where the store is, and what its values are sealed with.
#[derive(Debug, Clone)]
pub struct SharedStoreConfig {
    /// `redis://` or `rediss://` (TLS), with user and password if Redis wants them.
    pub url: SecretString,
    /// 32 bytes in base64.
    pub seal_key: SecretString,
    /// The key before the last rotation, which opens what was sealed with it.
    pub previous_seal_key: Option<SecretString>,
    /// What tells this tenant from others that use the same Redis.
    pub tenant: String,
}

/// Why the store can't be used as it is configured. Never quotes a value, as each may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStoreConfig {
    /// The URL.
    #[error(
        "expected redis://[[user]:password@]host[:port][/database], or rediss:// for TLS, of one \
         Redis (Sentinel and Cluster are not supported)"
    )]
    Url,
    /// A key.
    #[error("expected 32 bytes in base64, as `openssl rand -base64 32` prints")]
    SealKey,
}

impl SharedStoreConfig {
    /// Whether this can be the URL of a store.
    pub fn check_url(url: &SecretString) -> Result<(), InvalidStoreConfig> {
        client_of(url).map(|_| ())
    }

    /// Whether values can be sealed with this.
    pub fn check_seal_key(key: &SecretString) -> Result<(), InvalidStoreConfig> {
        seal_key_bytes(key).map(|_| ())
    }

    pub(super) fn client(&self) -> Result<Client, InvalidStoreConfig> {
        client_of(&self.url)
    }
}

/// RESP3, so that messages of other replicas come over the same connection.
fn client_of(url: &SecretString) -> Result<Client, InvalidStoreConfig> {
    let invalid = |_| InvalidStoreConfig::Url;
    let parsed = Url::parse(url.expose_secret()).map_err(|_| InvalidStoreConfig::Url)?;
    // A fragment switches the check of certificates off, and a query would change the protocol.
    if !matches!(parsed.scheme(), "redis" | "rediss")
        || parsed.fragment().is_some()
        || parsed.query().is_some()
    {
        return Err(InvalidStoreConfig::Url);
    }
    let info: ConnectionInfo = parsed.into_connection_info().map_err(invalid)?;
    let session = info.redis_settings().clone();
    let session = session
        .set_protocol(ProtocolVersion::RESP3)
        .set_skip_set_lib_name();
    Client::open(info.set_redis_settings(session)).map_err(|_| InvalidStoreConfig::Url)
}

/// With or without padding, in either alphabet.
pub(super) fn seal_key_bytes(
    key: &SecretString,
) -> Result<[u8; SEAL_KEY_BYTES], InvalidStoreConfig> {
    let text = key.expose_secret().trim().trim_end_matches('=');
    let decoded = STANDARD_NO_PAD
        .decode(text)
        .or_else(|_| URL_SAFE_NO_PAD.decode(text));
    decoded
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(InvalidStoreConfig::SealKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_one_redis() {
        for good in [
            "redis://127.0.0.1",
            "rediss://gateway:secret@redis.example.com:6380/2",
            "redis://:secret@[::1]:6379",
        ] {
            assert_eq!(SharedStoreConfig::check_url(&good.into()), Ok(()), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:6379",
            "http://127.0.0.1",
            "redis://a:1,b:2",
            "rediss://127.0.0.1/#insecure",
            "redis://127.0.0.1/?protocol=resp2",
            "redis://127.0.0.1/first",
            "redis+sentinel://127.0.0.1/master",
        ] {
            assert_eq!(
                SharedStoreConfig::check_url(&bad.into()),
                Err(InvalidStoreConfig::Url),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_seal_key_is_32_bytes_in_either_base64() {
        for good in [
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd-_8=",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd+/8",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd+/8=\n",
        ] {
            assert_eq!(SharedStoreConfig::check_seal_key(&good.into()), Ok(()));
        }
        for bad in ["", "secret", "AAECAwQFBgcICQoLDA0ODw=="] {
            assert_eq!(
                SharedStoreConfig::check_seal_key(&bad.into()),
                Err(InvalidStoreConfig::SealKey)
            );
        }
    }
}
