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
        // The default, which no variable can have: an empty one counts as not given.
        if text.is_empty() {
            Ok(Self::new())
        } else {
            Err("can only be given in the file, as [policy.channels.<type>]".into())
        }
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        let channels = value.as_table().ok_or_else(|| mistyped::<Self>(value))?;
        let read = |(name, value): (&String, &Value)| match value.as_table() {
            Some(table) => Ok((
                name.clone(),
                channel(table).map_err(|says| format!("{name}: {says}"))?,
            )),
            None => Err(format!("{name}: expected a table [policy.channels.{name}]")),
        };
        let read: Self = channels.iter().map(read).collect::<Result<_, _>>()?;
        named_well(&read)?;
        Ok(read)
    }

    fn to_toml(&self) -> Option<Value> {
        let shown = |rules: &ChannelRules| {
            let ways = [
                ("inbound", show(&rules.inbound)),
                ("outbound", show(&rules.outbound)),
            ];
            Value::Table(
                ways.map(|(way, rules)| (way.to_owned(), Value::Table(rules)))
                    .into_iter()
                    .collect(),
            )
        };
        Some(Value::Table(
            self.iter()
                .map(|(name, rules)| (name.clone(), shown(rules)))
                .collect(),
        ))
    }
}

/// A name that no caller could give would have rules that never hold, and of two that differ by
/// case one would win.
fn named_well(channels: &ChannelsConfig) -> Result<(), String> {
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
    let (inbound, outbound) = (way("inbound")?, way("outbound")?);
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
    table
        .iter()
        .try_for_each(|(key, value)| read_into(&mut rules, key, value))?;
    Ok(rules)
}

fn read_into(rules: &mut FileRules, key: &str, value: &Value) -> Result<(), String> {
    let wrong = |says| format!("{key}: {says}");
    match key {
        "max_size" => rules.max_size = Some(ByteSize::from_toml(value).map_err(wrong)?.as_u64()),
        "allow" => rules.allow = Some(Vec::<MediaPattern>::from_toml(value).map_err(wrong)?),
        "deny" => rules.deny = Vec::<MediaPattern>::from_toml(value).map_err(wrong)?,
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

fn show(rules: &DirectionRules) -> Table {
    let kinds = rules.kinds.iter().map(|(kind, of_kind)| {
        let name: &str = kind.into();
        (name.to_owned(), Value::Table(show_files(of_kind)))
    });
    show_files(&rules.all).into_iter().chain(kinds).collect()
}

fn show_files(rules: &FileRules) -> Table {
    let mut table = Table::new();
    let mut put =
        |key: &str, value: Option<Value>| value.map(|value| table.insert(key.to_owned(), value));
    put(
        "max_size",
        rules.max_size.and_then(|size| ByteSize(size).to_toml()),
    );
    put("allow", rules.allow.as_ref().and_then(Vec::to_toml));
    put("deny", rules.deny.to_toml());
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
