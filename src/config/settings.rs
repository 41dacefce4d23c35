//! [`Settings`]: every section, read, checked and shown.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::errors::{ErrorCollector, SettingsErrors};
use super::schema::key::SettingKey;
use super::schema::{SettingsSection, render, rules};
use super::sections::{auth, cache, egain, limits, log, otel, policy, server};
use super::sources::environment::{self, FILE_VARIABLE};
use super::sources::reader::SettingsReader;
use super::sources::{file, value::SettingsSource};

/// Declares the sections, so that none can be read and not be shown.
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $section:ty,)+) => {
        /// All that can be set. Every value has the right type and is within its bounds.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $name: $section,)+
            /// The file that they were read from.
            file: Option<PathBuf>,
            /// The files that secrets were read from, by key.
            secret_files: BTreeMap<&'static str, PathBuf>,
        }

        impl Settings {
            /// Every key that exists, section by section: the table of settings.
            pub fn keys() -> impl Iterator<Item = &'static SettingKey> {
                [$(<$section>::KEYS),+].into_iter().flatten()
            }

            fn read(from: &mut SettingsReader) -> Self {
                Self {
                    $($name: SettingsSection::read(from),)+
                    file: None,
                    secret_files: from.secret_files(),
                }
            }

            /// Every key's value, in the order of `keys`.
            fn values(&self) -> Vec<Option<toml::Value>> {
                [$(self.$name.values()),+].concat()
            }
        }
    };
}

settings! {
    /// The listeners.
    server: server::ServerSection,
    /// The upstream.
    egain: egain::EgainSection,
    /// Sizes.
    limits: limits::LimitsSection,
    /// Types of files.
    policy: policy::PolicySection,
    /// Callers.
    auth: auth::AuthSection,
    /// Callers' tokens.
    jwt: auth::JwtSection,
    /// What is remembered of assets.
    cache: cache::CacheSection,
    /// Uploads with an `Idempotency-Key`.
    idempotency: cache::IdempotencySection,
    /// How assets are handed out.
    download: cache::DownloadSection,
    /// The log.
    log: log::LogSection,
    /// Traces.
    otel: otel::OtelSection,
}

impl Settings {
    /// Reads `file`, else the one that `ASSET_GATEWAY_CONFIG` names, and the environment.
    ///
    /// What only the service needs isn't required: see [`Settings::for_serve`].
    ///
    /// # Errors
    /// Everything that is unknown, unreadable, out of bounds or in contradiction.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsErrors> {
        Self::from_sources(file, process_variables())
    }

    /// As [`Settings::load`], with what [`Settings::for_serve`] requires, so that all mistakes are
    /// reported at once.
    ///
    /// # Errors
    /// Those of both.
    pub fn load_for_serve(file: Option<&Path>) -> Result<Self, SettingsErrors> {
        let (settings, mut errors) = Self::gather(file, process_variables());
        settings.require(&mut errors);
        errors.into_result(settings)
    }

    /// As [`Settings::load`], from these variables.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_sources<N, V>(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, SettingsErrors>
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let (settings, errors) = Self::gather(file, variables);
        errors.into_result(settings)
    }

    /// The file to watch for changed keys of callers, where callers have keys.
    pub fn file_of_keys(&self) -> Option<&Path> {
        match self.auth.mode {
            Some(auth::AuthMode::Keys) => self.file.as_deref(),
            _ => None,
        }
    }

    /// The file to look at for a changed secret of eGain's, where it was read from one, and the
    /// secret's key.
    pub fn file_of_egains_secret(&self) -> Option<(&'static str, &Path)> {
        for key in ["egain.token", "egain.client_secret"] {
            if let Some(file) = self.secret_files.get(key) {
                return Some((key, file));
            }
        }
        None
    }

    /// The secret that this file has now.
    ///
    /// # Errors
    /// It can't be read, is empty, or can't be a token where it has to be one.
    pub fn egains_secret_in(key: &str, file: &Path) -> io::Result<SecretString> {
        let secret = SecretString::from(file::read_secret(file)?);
        if secret.expose_secret().is_empty() {
            return Err(io::Error::other("it is empty"));
        }
        if key == "egain.token" {
            rules::bearer(&secret).map_err(io::Error::other)?;
        }
        Ok(secret)
    }

    /// The callers' keys that this file has now. Nothing else in it is checked.
    ///
    /// # Errors
    /// The file can't be read, something is wrong with the keys, or there are none.
    pub fn keys_in(file: &Path) -> Result<Vec<crate::api::ApiKey>, SettingsErrors> {
        let keys: Vec<&SettingKey> = Self::keys().collect();
        let mut reader = SettingsReader::new(
            Some((file, "auth.keys")),
            SettingsSource::new(),
            SettingsSource::new(),
            &keys,
            ErrorCollector::default(),
        );
        let auth = auth::AuthSection::of_keys(&mut reader);
        let mut errors = reader.into_errors();
        auth.require(&mut errors);
        errors.into_result(auth.keys)
    }

    /// Whether the service can start with these.
    ///
    /// # Errors
    /// Names what is missing: who may call, eGain's credentials, or the plan.
    pub fn for_serve(&self) -> Result<(), SettingsErrors> {
        let mut errors = ErrorCollector::default();
        self.require(&mut errors);
        errors.into_result(())
    }

    /// The effective settings as TOML that can be loaded again, except for secrets, which show as
    /// `[hidden]`.
    pub fn render(&self) -> String {
        render::toml(Self::keys().zip(self.values()))
    }

    fn gather<N, V>(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> (Self, ErrorCollector)
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let keys: Vec<&SettingKey> = Self::keys().collect();
        let mut errors = ErrorCollector::default();
        let environment = environment::read(variables, &mut errors);
        let named = match (file, &environment.file) {
            (Some(path), _) => Some((path, "--config")),
            (None, Some(path)) => Some((path.as_path(), FILE_VARIABLE)),
            (None, None) => None,
        };
        let mut reader = SettingsReader::new(
            named,
            environment.keys,
            environment.conventions,
            &keys,
            errors,
        );
        let mut settings = Self::read(&mut reader);
        settings.file = named.map(|(path, _)| path.to_owned());
        let mut errors = reader.finish(&keys);
        settings.compare(&mut errors);
        (settings, errors)
    }

    /// Notes what contradicts itself.
    fn compare(&self, errors: &mut ErrorCollector) {
        self.server.compare(errors);
        self.server.compare_origins(self.auth.mode, errors);
        self.egain.compare(errors);
        self.limits.compare(errors);
        self.cache.compare(errors);
    }

    /// Notes what the service can't do without.
    fn require(&self, errors: &mut ErrorCollector) {
        self.egain.require(errors);
        self.auth.require(errors);
        self.jwt.require(self.auth.mode, errors);
        self.cache.require(errors);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
fn process_variables() -> std::env::VarsOs {
    std::env::vars_os()
}

impl Default for Settings {
    /// What holds when nothing is set.
    fn default() -> Self {
        Self::gather(None, std::iter::empty::<(OsString, OsString)>()).0
    }
}

#[cfg(test)]
mod tests;
