//! A key that one replica holds while it works (a distributed lock): renewed until it is dropped,
//! and free again soon after its replica died.

use std::time::Duration;

use redis::Script;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::connection::StoreConnection;

/// Sets the lease's end anew, if it is still the owner's.
const RENEW: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
                     return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";

/// Frees the key, if it is still the owner's.
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
                       return redis.call('DEL', KEYS[1]) end return 0";

/// Holds a key. Dropping it frees the key.
pub struct StoreLease {
    store: StoreConnection,
    key: String,
    /// Unique among all leases of all replicas.
    owner: String,
    renewing: JoinHandle<()>,
    is_released: bool,
}

impl StoreLease {
    /// Takes over a key that was just set to `owner`, to end after `lives`.
    pub(super) fn hold(
        store: StoreConnection,
        key: String,
        owner: String,
        lives: Duration,
    ) -> Self {
        let renewing = tokio::spawn(renew(store.clone(), key.clone(), owner.clone(), lives));
        Self {
            store,
            key,
            owner,
            renewing,
            is_released: false,
        }
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// The key was freed, or has another value now.
    pub(super) fn forget(mut self) {
        self.is_released = true;
    }
}

impl Drop for StoreLease {
    fn drop(&mut self) {
        self.renewing.abort();
        // Outside of a runtime, the lease ends by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.is_released
        {
            let release = release(
                self.store.clone(),
                std::mem::take(&mut self.key),
                std::mem::take(&mut self.owner),
            );
            runtime.spawn(release);
        }
    }
}

async fn renew(store: StoreConnection, key: String, owner: String, lives: Duration) {
    let script = Script::new(RENEW);
    let mut renewal = script.key(key);
    renewal.arg(owner).arg(lives.as_millis() as u64);
    loop {
        sleep(lives / 3).await;
        // A failure is tried again at the next turn, as long as the lease lives.
        let _renewed = store.invoke::<i64>(&renewal).await;
    }
}

async fn release(store: StoreConnection, key: String, owner: String) {
    let script = Script::new(RELEASE);
    // If this fails, the lease ends by itself.
    let _released = store.invoke::<i64>(script.key(key).arg(owner)).await;
}
