//! The settings file as a source of values, and the files of secrets.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::{Table, Value};

use super::value::{RawValue, SettingsSource, SourcedValue};
use crate::config::errors::ErrorCollector;

/// The most bytes that a settings file or a secret's file can have, in case it is a device.
const FILE_MAX: u64 = 1 << 20;

/// Reads the settings file.
///
/// `named_by` is what named it. `tables` are those that exist, with those within others
/// (`auth.jwt`).
pub(in crate::config) fn read_settings(
    path: &Path,
    named_by: &str,
    tables: &[&str],
    errors: &mut ErrorCollector,
) -> SettingsSource {
    let text = match read(path) {
        Ok(text) => text,
        Err(why) => {
            errors.unreadable_source(named_by, format!("can't read {}: {why}", path.display()));
            return SettingsSource::new();
        }
    };
    match text.parse::<Table>() {
        Ok(table) => keys_of(table, tables, errors),
        Err(why) => {
            let before = match why.span() {
                Some(span) => text.get(..span.start).unwrap_or_default(),
                None => "",
            };
            let line = before.matches('\n').count() + 1;
            // Not its `Display`, which quotes the line: there may be a secret in it.
            errors.unreadable_source(&format!("{}:{line}", path.display()), why.message());
            SettingsSource::new()
        }
    }
}

fn keys_of(file: Table, tables: &[&str], errors: &mut ErrorCollector) -> SettingsSource {
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
        enter(&section, content, tables, &mut layer, errors);
    }
    layer
}

/// Takes a table's keys, and those of the tables within it that exist.
fn enter(
    name: &str,
    content: Value,
    tables: &[&str],
    layer: &mut SettingsSource,
    errors: &mut ErrorCollector,
) {
    let Value::Table(keys) = content else {
        return errors.add(name, format!("expected a section: [{name}]"));
    };
    for (key, value) in keys {
        let name = format!("{name}.{key}");
        if tables.contains(&name.as_str()) {
            enter(&name, value, tables, layer, errors);
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
pub(in crate::config) fn read(path: &Path) -> io::Result<String> {
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
pub(in crate::config) fn read_secret(path: &Path) -> io::Result<String> {
    let text = read(path)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_is_refused() {
        assert!(read(Path::new("/dev/zero")).is_err());
    }
}
