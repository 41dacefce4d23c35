//! Reloads secrets when their files change.

use std::path::PathBuf;

use super::bind::SecretFile;
use crate::api::ApiService;
use crate::config::Settings;
use crate::egain::EgainClient;
use crate::lifecycle::file_watcher::FileWatcher;

/// Reloads the API keys when their file changes, and once at the start: the file may have changed
/// since it was first read.
pub(super) async fn keep_keys_current(file: PathBuf, api: ApiService) {
    let mut watcher = FileWatcher::of(vec![file.clone()]);
    loop {
        match Settings::keys_in(&file) {
            Ok(keys) => {
                if api.replace_keys(&keys) {
                    tracing::info!(keys = keys.len(), "API keys reloaded");
                }
            }
            Err(mistakes) => {
                tracing::error!(%mistakes, "API key reload failed, keeping the previous keys");
            }
        }
        watcher.next().await;
    }
}

/// Reloads eGain's secret when its file changes, and once at the start: the file may have changed
/// since it was first read.
pub(super) async fn keep_secret_current(file: SecretFile, egain: EgainClient) {
    let SecretFile { key, path } = file;
    let mut watcher = FileWatcher::of(vec![path.clone()]);
    loop {
        match Settings::egains_secret_in(key, &path) {
            Ok(secret) => {
                if egain.replace_secret(&secret) {
                    tracing::info!(key, "secret reloaded, signing in with it");
                }
            }
            Err(error) => {
                tracing::error!(key, %error, "secret reload failed, keeping the previous one");
            }
        }
        watcher.next().await;
    }
}
