//! `[policy.channels.<type>]`: what a channel takes.

use std::collections::BTreeMap;
use std::str::FromStr;

use strum::IntoEnumIterator;
use toml::{Table, Value};

use crate::config::schema::value::{SettingValue, mistyped};
use crate::media::{MediaKind, MediaPattern};
use crate::policy::{ChannelRules, DirectionRules, FileRules};
use crate::types::asset::is_channel;
use crate::types::units::ByteSize;

/// Rules by eGain channel type.
pub(crate) type ChannelsConfig = BTreeMap<String, ChannelRules>;

impl SettingValue for ChannelsConfig {
    const EXPECTED: &'static str = "tables [policy.channels.<type>]";

    fn from_text(text: &str) -> Result<Self, String> {
        // The default, which no variable can have: an empty one counts as not set.
        if text.is_empty() {
            Ok(Self::new())
        } else {
            Err("can only be given in the file, as [policy.channels.<type>]".into())
        }
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        let Value::Table(tables) = value else {
            return Err(mistyped::<Self>(value));
        };
        let mut channels = Self::new();
        for (name, value) in tables {
            let Value::Table(table) = value else {
                return Err(format!("{name}: expected a table [policy.channels.{name}]"));
            };
            match channel(table) {
                Ok(rules) => channels.insert(name.clone(), rules),
                Err(says) => return Err(format!("{name}: {says}")),
            };
        }
        check_names(&channels)?;
        Ok(channels)
    }

    fn to_toml(&self) -> Option<Value> {
        let mut channels = Table::new();
        for (name, rules) in self {
            let mut directions = Table::new();
            directions.insert("inbound".to_owned(), show(&rules.inbound).into());
            directions.insert("outbound".to_owned(), show(&rules.outbound).into());
            channels.insert(name.clone(), directions.into());
        }
        Some(Value::Table(channels))
    }
}

/// A name that no caller could send would have rules that never apply, and of two that differ by
/// case one would win.
fn check_names(channels: &ChannelsConfig) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    for name in channels.keys() {
        if !is_channel(name) {
            return Err(format!(
                "{name:?} is no channel type: these are 1 to 64 of A-Z a-z 0-9 . _ -"
            ));
        }
        if let Some(other) = seen.insert(name.to_ascii_lowercase(), name) {
            return Err(format!(
                "{other} and {name} are the same channel: write it once"
            ));
        }
    }
    Ok(())
}

/// What is said for both directions holds where the direction itself says nothing.
fn channel(table: &Table) -> Result<ChannelRules, String> {
    let mut both = table.clone();
    let mut way = |name: &str| -> Result<Option<Table>, String> {
        match both.remove(name) {
            None => Ok(None),
            Some(Value::Table(rules)) => Ok(Some(rules)),
            Some(_) => Err(format!("{name} is no table")),
        }
    };
    let inbound = way("inbound")?;
    let outbound = way("outbound")?;
    let over = |rules: Option<Table>| {
        let mut all = both.clone();
        all.extend(rules.unwrap_or_default());
        read(&all)
    };
    Ok(ChannelRules {
        inbound: over(inbound)?,
        outbound: over(outbound)?,
    })
}

fn read(table: &Table) -> Result<DirectionRules, String> {
    let mut rules = DirectionRules::default();
    for (key, value) in table {
        let wrong = |says| format!("{key}: {says}");
        match (MediaKind::from_str(key), value) {
            (Ok(kind), Value::Table(of_kind)) => {
                rules.kinds.insert(kind, files(of_kind).map_err(wrong)?);
            }
            (Ok(_), _) => return Err(wrong("expected a table".to_owned())),
            (Err(_), _) => read_into(&mut rules.all, key, value)?,
        }
    }
    Ok(rules)
}

fn files(table: &Table) -> Result<FileRules, String> {
    let mut rules = FileRules::default();
    for (key, value) in table {
        read_into(&mut rules, key, value)?;
    }
    Ok(rules)
}

fn read_into(rules: &mut FileRules, key: &str, value: &Value) -> Result<(), String> {
    match key {
        "max_size" => rules.max_size = Some(value_of::<ByteSize>(key, value)?.as_u64()),
        "allow" => rules.allow = Some(value_of::<Vec<MediaPattern>>(key, value)?),
        "deny" => rules.deny = value_of::<Vec<MediaPattern>>(key, value)?,
        _ => {
            let kinds: Vec<&str> = MediaKind::iter().map(Into::into).collect();
            let tables = format!(
                "the tables inbound and outbound, and in each {}",
                kinds.join(", ")
            );
            return Err(format!(
                "unknown key {key}: there are max_size, allow, deny, {tables}"
            ));
        }
    }
    Ok(())
}

fn value_of<T: SettingValue>(key: &str, value: &Value) -> Result<T, String> {
    T::from_toml(value).map_err(|says| format!("{key}: {says}"))
}

fn show(rules: &DirectionRules) -> Table {
    let mut table = show_files(&rules.all);
    for (kind, of_kind) in &rules.kinds {
        let name: &str = kind.into();
        table.insert(name.to_owned(), show_files(of_kind).into());
    }
    table
}

fn show_files(rules: &FileRules) -> Table {
    let mut table = Table::new();
    let values = [
        ("max_size", rules.max_size.map(ByteSize).to_toml()),
        ("allow", rules.allow.to_toml()),
        ("deny", rules.deny.to_toml()),
    ];
    for (key, value) in values {
        if let Some(value) = value {
            table.insert(key.to_owned(), value);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(text: &str) -> Result<ChannelsConfig, String> {
        ChannelsConfig::from_toml(&Value::Table(text.parse().unwrap()))
    }

    #[test]
    fn a_direction_says_it_more_exactly() {
        let read = channels(
            "[sms]\nmax_size = '1MiB'\n[sms.outbound]\nmax_size = '512KiB'\nallow = ['image/*']",
        )
        .unwrap();
        let sms = &read["sms"];
        assert_eq!(
            (sms.inbound.all.max_size, sms.outbound.all.max_size),
            (Some(1 << 20), Some(512 << 10))
        );
        assert_eq!(
            (
                sms.inbound.all.allow.is_some(),
                sms.outbound.all.allow.is_some()
            ),
            (false, true)
        );
        assert_eq!(
            ChannelsConfig::from_toml(&read.to_toml().unwrap()),
            Ok(read)
        );
    }

    #[test]
    fn a_kind_of_media_has_rules_of_its_own() {
        let read = channels(
            "[a.outbound]\nmax_size = '9MiB'\n[a.outbound.image]\nmax_size = '5MiB'\n\
                      allow = ['image/png']",
        )
        .unwrap();
        let outbound = &read["a"].outbound;
        assert_eq!(
            (
                outbound.all.max_size,
                outbound.kinds[&MediaKind::Image].max_size
            ),
            (Some(9 << 20), Some(5 << 20))
        );
        assert!(read["a"].inbound.kinds.is_empty());
        assert_eq!(
            ChannelsConfig::from_toml(&read.to_toml().unwrap()),
            Ok(read)
        );
    }

    #[test]
    fn a_mistake_names_its_channel_and_key() {
        for (wrong, says) in [
            ("sms = 1", "sms: expected a table"),
            ("[sms]\nmaxsize = 1", "sms: unknown key maxsize"),
            (
                "[sms]\nallow = ['image']",
                "sms: allow: `image` is no pattern",
            ),
            ("[sms]\n[SMS]", "SMS and sms are the same channel"),
            ("['sms ']", "\"sms \" is no channel type"),
            ("[sms]\nimage = 1", "sms: image: expected a table"),
            (
                "[sms.image]\nmaxsize = 1",
                "sms: image: unknown key maxsize",
            ),
            ("[sms]\ninbound = 1", "sms: inbound is no table"),
        ] {
            let said = channels(wrong).unwrap_err();
            assert!(said.starts_with(says), "{said}");
        }
    }
}
