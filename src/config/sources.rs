//! Where values come from: variables lie over the file. Nothing here knows what a value means.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::errors::ErrorCollector;

/// What all our variables begin with.
pub(super) const PREFIX: &str = "ASSET_GATEWAY_";

/// The variable that names the file.
pub(super) const FILE_VARIABLE: &str = "ASSET_GATEWAY_CONFIG";

/// The most bytes that a settings file or a secret's file can have, in case it is a device.
const FILE_MAX: u64 = 1 << 20;

/// A value that somebody wrote. Has no `Debug`, as it may be a secret.
pub(super) struct SourcedValue {
    /// The name it was written under.
    pub written: String,
    /// What was written.
    pub value: RawValue,
}

/// A value as it came.
pub(super) enum RawValue {
    /// From a variable or a file of its own.
    Text(String),
    /// From the settings file.
    Toml(Value),
}

/// One source's values by key (`egain.rate`).
pub(super) type SettingsSource = BTreeMap<String, SourcedValue>;

/// The environment's part in the settings.
#[derive(Default)]
pub(super) struct Environment {
    /// Values by key. What isn't written like a key stands here under its own name.
    pub keys: SettingsSource,
    /// The settings file that it names.
    pub file: Option<PathBuf>,
}

/// Sorts out the environment.
///
/// Only variables with `__` after the prefix are keys: Kubernetes injects others with the same
/// prefix, such as `ASSET_GATEWAY_PORT`. An empty variable counts as not given, as templates leave
/// them behind.
pub(super) fn environment<N, V>(
    variables: impl IntoIterator<Item = (N, V)>,
    report: &mut ErrorCollector,
) -> Environment
where
    N: Into<OsString>,
    V: Into<OsString>,
{
    let mut environment = Environment::default();
    for (name, value) in variables {
        // No name of ours is anything but UTF-8.
        let (Ok(name), value) = (name.into().into_string(), value.into()) else {
            continue;
        };
        if value.is_empty() {
            continue;
        }
        if name == FILE_VARIABLE {
            environment.file = Some(value.into());
        } else if let Some(key) = key_of(&name) {
            match value.into_string() {
                Ok(text) => drop(environment.keys.insert(
                    key,
                    SourcedValue {
                        written: name,
                        value: RawValue::Text(text),
                    },
                )),
                Err(_) => report.add(&name, "is not UTF-8"),
            }
        }
    }
    environment
}

/// `egain.rate` of `ASSET_GATEWAY_EGAIN__RATE`; the name itself if it isn't all in capitals.
fn key_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?;
    if !rest.contains("__") {
        return None;
    }
    let capitals = !rest.contains(|c: char| c.is_lowercase() || c == '.');
    Some(if capitals {
        rest.replace("__", ".").to_lowercase()
    } else {
        name.to_owned()
    })
}

/// Reads the settings file.
///
/// `named_by` is what named it. `tables` are those that exist, with those within others
/// (`auth.jwt`).
pub(super) fn file(
    path: &Path,
    named_by: &str,
    tables: &[&str],
    report: &mut ErrorCollector,
) -> SettingsSource {
    let text = match read(path) {
        Ok(text) => text,
        Err(why) => {
            report.blind(named_by, format!("can't read {}: {why}", path.display()));
            return SettingsSource::new();
        }
    };
    match text.parse::<Table>() {
        Ok(table) => keys_of(table, tables, report),
        Err(why) => {
            let line = why
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(1, |before| before.matches('\n').count() + 1);
            // Not its `Display`, which quotes the line: there may be a secret in it.
            report.blind(&format!("{}:{line}", path.display()), why.message());
            SettingsSource::new()
        }
    }
}

fn keys_of(file: Table, tables: &[&str], report: &mut ErrorCollector) -> SettingsSource {
    let mut layer = SettingsSource::new();
    for (section, content) in file {
        // An unknown section is one mistake, not one for each of its keys.
        if !tables.contains(&section.as_str()) {
            // In its quotes `"egain.rate"` is another name than `egain.rate`.
            let name = if section.contains('.') {
                format!("{section:?}")
            } else {
                section
            };
            layer.insert(
                name.clone(),
                SourcedValue {
                    written: name,
                    value: RawValue::Toml(content),
                },
            );
            continue;
        }
        enter(&section, content, tables, &mut layer, report);
    }
    layer
}

/// Takes a table's keys, and those of the tables within it that exist.
fn enter(
    name: &str,
    content: Value,
    tables: &[&str],
    layer: &mut SettingsSource,
    report: &mut ErrorCollector,
) {
    let Value::Table(keys) = content else {
        return report.add(name, format!("expected a section: [{name}]"));
    };
    for (key, value) in keys {
        let name = format!("{name}.{key}");
        if tables.contains(&name.as_str()) {
            enter(&name, value, tables, layer, report);
        } else {
            layer.insert(
                name.clone(),
                SourcedValue {
                    written: name,
                    value: RawValue::Toml(value),
                },
            );
        }
    }
}

/// A file that isn't endless, as text.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(FILE_MAX + 1)
        .read_to_string(&mut text)?;
    if read as u64 > FILE_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it has more than 1MiB",
        ));
    }
    Ok(text)
}

/// The secret in a file, without the line break that editors leave at its end.
pub(super) fn read_secret(path: &Path) -> io::Result<String> {
    read(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_injects_is_no_key() {
        assert_eq!(key_of("ASSET_GATEWAY_PORT"), None);
        assert_eq!(key_of("ASSET_GATEWAY_SERVICE_PORT_HTTP"), None);
        assert_eq!(key_of("EGAIN__RATE"), None);
    }

    #[test]
    fn two_underscores_part_section_and_key() {
        assert_eq!(
            key_of("ASSET_GATEWAY_EGAIN__BASE_URL").unwrap(),
            "egain.base_url"
        );
        assert_eq!(
            key_of("ASSET_GATEWAY_AUTH__JWT__JWKS_URL").unwrap(),
            "auth.jwt.jwks_url"
        );
        assert_eq!(
            key_of("ASSET_GATEWAY_egain__rate").unwrap(),
            "ASSET_GATEWAY_egain__rate"
        );
    }

    #[test]
    fn an_empty_variable_is_not_given() {
        let mut report = ErrorCollector::default();
        let found = environment(
            [
                ("ASSET_GATEWAY_EGAIN__SCOPE", ""),
                ("ASSET_GATEWAY_CONFIG", ""),
            ],
            &mut report,
        );
        assert!(found.keys.is_empty() && found.file.is_none());
    }

    #[test]
    fn an_endless_file_is_refused() {
        assert!(read(Path::new("/dev/zero")).is_err());
    }
}
