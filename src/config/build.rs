//! From settings to the config of each part. A part never sees another part's settings.

use super::errors::SettingsErrors;
use super::sections::auth::AuthMode;
use super::sections::{cache, egain as section, server};
use super::settings::Settings;
use crate::body::min_rate;
use crate::media::{EXECUTABLE_PATTERNS, MediaPattern};
use crate::net::egress_proxy::EgressProxy;
use crate::net::server as listener;
use crate::policy::UploadPolicy;
use crate::{api, download, egain, storage, upload};

/// The config of every part of the service.
pub struct ServiceConfigs {
    /// The listeners.
    pub listener: listener::ListenerConfig,
    /// The data listener's certificate.
    pub tls: Option<listener::TlsFiles>,
    /// The data listener's service.
    pub api: api::ApiConfig,
    /// Uploads.
    pub upload: upload::UploadConfig,
    /// What may be uploaded.
    pub policy: UploadPolicy,
    /// The cache of signed URLs.
    pub download: download::UrlCacheConfig,
    /// eGain's client.
    pub egain: egain::EgainConfig,
    /// Storage's client.
    pub storage: storage::StorageConfig,
}

impl Settings {
    /// The config of every part.
    ///
    /// # Errors
    /// As [`Settings::for_serve`].
    pub fn build(&self) -> Result<ServiceConfigs, SettingsErrors> {
        self.for_serve()?;
        Ok(ServiceConfigs {
            listener: self.listener(),
            tls: self.tls(),
            api: self.api(),
            upload: self.upload(),
            policy: self.policy(),
            download: self.download_cache(),
            egain: self.egain.api(),
            storage: self.egain.storage(),
        })
    }

    fn listener(&self) -> listener::ListenerConfig {
        let server::ServerSection {
            header_timeout,
            keep_alive_timeout,
            body_idle_timeout,
            min_rate,
            read_buffer,
            max_connections,
            ..
        } = self.server;
        listener::ListenerConfig {
            header_timeout,
            keep_alive_timeout,
            stall_timeout: body_idle_timeout,
            min_send_rate: min_rate.as_u64(),
            read_buffer: read_buffer.as_u64() as usize,
            max_connections,
            ..listener::ListenerConfig::default()
        }
    }

    fn tls(&self) -> Option<listener::TlsFiles> {
        let server::ServerSection {
            tls_cert, tls_key, ..
        } = &self.server;
        Some(listener::TlsFiles {
            cert: tls_cert.clone()?,
            key: tls_key.clone()?,
        })
    }

    fn api(&self) -> api::ApiConfig {
        let server::ServerSection {
            max_uploads,
            max_downloads,
            ..
        } = self.server;
        api::ApiConfig {
            max_uploads,
            max_downloads,
            min_rate: self.min_rate(),
            download_mode: self.download.mode,
            download_max_age: self.download.max_age,
            page: None,
            auth: self.auth.callers(&self.jwt, &self.egain.egress_proxy()),
            trusted_proxies: self.server.trusted_proxies.clone(),
            cors_origins: self.server.cors_origins.clone(),
            scheme: if self.server.tls_cert.is_some() {
                "https"
            } else {
                "http"
            },
        }
    }

    /// How slow a client may send a body.
    fn min_rate(&self) -> min_rate::PaceLimits {
        min_rate::PaceLimits {
            idle: self.server.body_idle_timeout,
            min_rate: self.server.min_rate.as_u64(),
        }
    }

    fn upload(&self) -> upload::UploadConfig {
        let limits = &self.limits;
        upload::UploadConfig {
            size_limit: upload::SizeLimit::of_settings(limits.max_asset_size.as_u64()),
            look_ahead: limits.look_ahead.as_u64(),
            min_rate: self.min_rate(),
            idempotency: upload::IdempotencyConfig {
                ttl: self.idempotency.ttl,
                capacity: self.idempotency.capacity,
            },
            spool: upload::SpoolConfig {
                memory: limits.spool_memory.as_u64(),
                total: limits.spool_total.as_u64(),
                dir: limits.spool_dir.clone().unwrap_or_else(std::env::temp_dir),
                is_shared: self.auth.mode != Some(AuthMode::Anyone),
            },
        }
    }

    fn policy(&self) -> UploadPolicy {
        let rules = &self.policy;
        UploadPolicy {
            deny: rules.deny.clone().unwrap_or_else(built_in_deny),
            allow: rules.allow.clone(),
            on_mismatch: rules.on_mismatch,
            report_only: rules.report_only,
            channels: rules.channels.clone(),
            unknown_channels: rules.unknown_channels,
            named_channels: self.auth.channels(),
        }
    }

    fn download_cache(&self) -> download::UrlCacheConfig {
        let cache::CacheSection {
            capacity,
            safety_margin,
            negative_ttl,
        } = self.cache;
        download::UrlCacheConfig {
            capacity,
            safety_margin,
            negative_ttl,
        }
    }
}

fn built_in_deny() -> Vec<MediaPattern> {
    let mut patterns = Vec::with_capacity(EXECUTABLE_PATTERNS.len());
    for pattern in EXECUTABLE_PATTERNS {
        patterns.push(pattern.parse().expect("the built-in list is valid"));
    }
    patterns
}

impl section::EgainSection {
    fn api(&self) -> egain::EgainConfig {
        let budgets = self.budgets().expect("for_serve requires it");
        egain::EgainConfig {
            base_url: self.base_url.clone(),
            credentials: self.credentials().expect("for_serve requires it"),
            assets: budgets.assets,
            other: budgets.other,
            quota: budgets.quota,
            budget_wait: self.budget_wait,
            max_pause: self.max_pause,
            rules_ttl: self.rules_ttl,
            proxy: self.egress_proxy(),
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            pending_wait: self.pending_wait,
        }
    }

    fn egress_proxy(&self) -> EgressProxy {
        EgressProxy::new(self.proxy.as_ref(), self.no_proxy.as_deref())
    }

    fn credentials(&self) -> Option<egain::ClientCredentials> {
        if let Some(token) = &self.token {
            return Some(egain::ClientCredentials::Fixed(token.clone()));
        }
        Some(egain::ClientCredentials::Client {
            token_url: self.token_url.clone()?,
            id: self.client_id.clone()?,
            secret: self.client_secret.clone()?,
            scope: self.scope.clone(),
        })
    }

    fn storage(&self) -> storage::StorageConfig {
        storage::StorageConfig {
            content_hosts: self.content_hosts.clone(),
            allow_http: self.allow_http_content_urls,
            method: self.upload_method,
            content_type: self.upload_content_type,
            proxy: self.egress_proxy(),
            connect_timeout: self.connect_timeout,
            idle_timeout: self.transfer_idle_timeout,
        }
    }
}
