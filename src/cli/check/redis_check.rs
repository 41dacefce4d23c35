//! Whether the store that replicas share can be used.

use std::time::Duration;

use super::verdict::CheckVerdict;
use crate::config::ServiceConfigs;
use crate::shared_store::SharedStore;
use crate::telemetry::metrics::ServiceMetrics;

/// How long a connection, the sign-in and a write may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects as a replica does, which also writes a key.
pub(super) async fn run(configs: &ServiceConfigs) -> CheckVerdict {
    let Some(config) = &configs.shared_store else {
        return CheckVerdict::skipped("redis", "cache.redis_url isn't set: replicas share nothing");
    };
    let store = match SharedStore::new(config, &ServiceMetrics::new()) {
        Ok(store) => store,
        Err(error) => return CheckVerdict::failed("redis", error.to_string(), "correct it"),
    };
    let connecting = tokio::spawn(store.clone().keep_connected());
    store.up_within(PATIENCE).await;
    connecting.abort();
    if store.is_up() {
        CheckVerdict::ok("redis", "Redis can be written")
    } else {
        let seconds = PATIENCE.as_secs();
        CheckVerdict::failed(
            "redis",
            format!("Redis is down: it can't be written within {seconds} s"),
            "start it, or correct cache.redis_url: host, user, password, rediss for TLS; a \
             replica takes no writes",
        )
    }
}
