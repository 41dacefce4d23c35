//! Names of keys in Redis: each begins with the format's version and the tenant.

use sha2::{Digest, Sha256};

use crate::types::asset::AssetId;

/// What reads a value has to understand it: another format gets another number.
const FORMAT_VERSION: u32 = 1;

/// Bytes of a hash that are in a name: a collision of ids would need 2^64 of them.
const HASH_BYTES: usize = 16;

/// Makes the names of a tenant's keys.
#[derive(Debug, Clone)]
pub(super) struct KeyNames {
    prefix: String,
}

impl KeyNames {
    pub(super) fn of_tenant(tenant: &str) -> Self {
        let tenant = hashed(tenant.as_bytes());
        Self {
            prefix: format!("asset-gateway:{FORMAT_VERSION}:{tenant}"),
        }
    }

    /// The name of what exists once.
    pub(super) fn single(&self, kind: &str) -> String {
        format!("{}:{kind}", self.prefix)
    }

    /// The name of what exists once for each of these.
    pub(super) fn of(&self, kind: &str, of: &[u8]) -> String {
        format!("{}:{kind}:{}", self.prefix, hashed(of))
    }

    /// What a name ends with that [`Self::of`] makes.
    pub(super) fn part(of: &[u8]) -> String {
        hashed(of)
    }

    /// The name of what exists once for each asset.
    pub(super) fn of_asset(&self, kind: &str, id: &AssetId) -> String {
        self.of(kind, id.as_str().as_bytes())
    }
}

fn hashed(text: &[u8]) -> String {
    let sum = Sha256::digest(text);
    let mut hashed = String::with_capacity(2 * HASH_BYTES);
    for byte in &sum[..HASH_BYTES] {
        hashed.push_str(&format!("{byte:02x}"));
    }
    hashed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_share_no_key_and_ids_are_hidden() {
        let (one, other) = (KeyNames::of_tenant("one"), KeyNames::of_tenant("other"));
        let id = AssetId::parse("0b7f3b0e").unwrap();
        assert_ne!(one.of_asset("url", &id), other.of_asset("url", &id));
        assert_ne!(one.of_asset("url", &id), one.of_asset("gone", &id));
        assert!(!one.of_asset("url", &id).contains("0b7f3b0e"));
        assert!(one.single("budget").starts_with("asset-gateway:1:"));
    }
}
