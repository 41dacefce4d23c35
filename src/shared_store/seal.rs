//! Seals values (AEAD), so that who reads Redis, or a copy of it, sees none of them.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::config::{InvalidStoreConfig, SharedStoreConfig, seal_key_bytes};

/// Tells a value's key among those that are in use. It says nothing about the key itself.
const KEY_ID_BYTES: usize = 4;

/// What a sealed value begins with.
const HEAD_BYTES: usize = KEY_ID_BYTES + NONCE_LEN;

/// Seals with one key, and opens also with the one before it.
pub(super) struct ValueSealer {
    current: SealKey,
    previous: Option<SealKey>,
}

/// All replicas draw their nonces at random with one key, so it is one of the algorithms that
/// survive a nonce that was drawn twice.
struct SealKey {
    id: [u8; KEY_ID_BYTES],
    key: RandomizedNonceKey,
}

impl SealKey {
    fn new(key: &SecretString) -> Result<Self, InvalidStoreConfig> {
        let bytes = seal_key_bytes(key)?;
        let sum = Sha256::new()
            .chain_update(b"id of a seal key")
            .chain_update(bytes)
            .finalize();
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&sum[..KEY_ID_BYTES]);
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, &bytes)
            .map_err(|_| InvalidStoreConfig::SealKey)?;
        Ok(Self { id, key })
    }
}

impl ValueSealer {
    pub(super) fn new(config: &SharedStoreConfig) -> Result<Self, InvalidStoreConfig> {
        let previous = config.previous_seal_key.as_ref();
        Ok(Self {
            current: SealKey::new(&config.seal_key)?,
            previous: previous.map(SealKey::new).transpose()?,
        })
    }

    /// Seals a value that will be stored under this name.
    pub(super) fn seal(&self, name: &str, value: &[u8]) -> Vec<u8> {
        let mut sealed = value.to_vec();
        let nonce = self
            .current
            .key
            .seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut sealed)
            .expect("a value is far smaller than what can be sealed at once");
        let head = [self.current.id.as_slice(), nonce.as_ref()].concat();
        [head, sealed].concat()
    }

    /// Opens a value that was stored under this name. None if it wasn't sealed for it, or with a
    /// key that isn't in use any more.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (head, body) = sealed.split_at_checked(HEAD_BYTES)?;
        let (id, nonce) = head.split_at(KEY_ID_BYTES);
        let keys = [Some(&self.current), self.previous.as_ref()];
        let key = keys.into_iter().flatten().find(|key| key.id == id)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let length = key
            .key
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut body)
            .ok()?
            .len();
        body.truncate(length);
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn sealer(current: u8, previous: Option<u8>) -> ValueSealer {
        let key = |byte| SecretString::from(STANDARD.encode([byte; 32]));
        ValueSealer::new(&SharedStoreConfig {
            url: "redis://127.0.0.1".into(),
            seal_key: key(current),
            previous_seal_key: previous.map(key),
            tenant: String::new(),
        })
        .unwrap()
    }

    #[test]
    fn a_value_is_opened_only_under_its_own_name() {
        let sealer = sealer(1, None);
        let sealed = sealer.seal("a", b"secret");
        assert_eq!(sealer.open("a", &sealed).unwrap(), b"secret");
        assert_eq!(sealer.open("b", &sealed), None);
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_ne!(sealed, sealer.seal("a", b"secret"), "the nonce differs");
    }

    #[test]
    fn a_changed_value_isnt_opened() {
        let sealer = sealer(1, None);
        let sealed = sealer.seal("a", b"secret");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open("a", &changed), None, "byte {at}");
            assert_eq!(sealer.open("a", &sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn the_previous_key_still_opens_after_a_rotation() {
        let sealed = sealer(1, None).seal("a", b"secret");
        assert_eq!(sealer(2, None).open("a", &sealed), None);
        let rotated = sealer(2, Some(1));
        assert_eq!(rotated.open("a", &sealed).unwrap(), b"secret");
        let sealed = rotated.seal("a", b"secret");
        assert_eq!(sealer(1, None).open("a", &sealed), None);
    }
}
