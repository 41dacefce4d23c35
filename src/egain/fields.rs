//! A response of eGain's, read field by field: undocumented fields are accepted in more than one
//! form, unreadable ones count as absent, and others are ignored. Oddities are counted.

use std::fmt;

use jiff::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::telemetry::metrics::ServiceMetrics;
use crate::types::asset::AssetId;
use crate::types::peer_time::PeerTime;

/// How deep an object may be nested in lists and in objects of one field.
const DEEPEST: u8 = 3;
/// Later items of a list are ignored in the search for its first text.
const LONGEST_LIST: usize = 8;

/// The fields of one object, by their names in lower case and without `_` and `-`.
pub struct JsonFields<'m> {
    map: Map<String, Value>,
    metrics: &'m ServiceMetrics,
}

impl<'m> JsonFields<'m> {
    /// Reads as many fields as it can: of invalid or truncated JSON, those before the error.
    pub fn read(body: &[u8], metrics: &'m ServiceMetrics) -> Self {
        let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
        let mut map = Map::new();
        let mut json = serde_json::Deserializer::from_slice(body);
        // The error is dropped: it may quote the response, and with it a token or a presigned URL.
        let mut odd = Collect {
            map: &mut map,
            depth: 0,
        }
        .deserialize(&mut json)
        .is_err()
            || json.end().is_err();
        if let Some(inner) = wrapped(&mut map, 0) {
            (map, odd) = (inner, true);
        }
        let fields = Self { map, metrics };
        if odd && !fields.map.is_empty() {
            fields.count_oddity("body");
        }
        fields
    }

    /// Whether no field could be read.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// An asset's id: text, or a number.
    pub fn id(&self) -> Option<AssetId> {
        self.take("id", |value| match value {
            Value::String(text) => Some((AssetId::parse(text)?, false)),
            Value::Number(number) => Some((AssetId::parse(&number.to_string())?, true)),
            _ => None,
        })
    }

    /// Text that isn't empty; the first one of a list, or an object's `value`.
    pub fn text(&self, field: &'static str) -> Option<String> {
        self.take(field, |value| {
            let odd = !value.is_string();
            Some((text(value)?.to_owned(), odd))
        })
    }

    /// A number of bytes, also where it is text or has a fraction of zero.
    pub fn size(&self, field: &'static str) -> Option<u64> {
        self.take(field, |value| match value.as_u64() {
            Some(size) => Some((size, false)),
            None => Some((
                number(value).filter(|size| size.fract() == 0.0 && (0.0..=9e15).contains(size))?
                    as u64,
                true,
            )),
        })
    }

    /// How long something lives, which is a number of seconds.
    pub fn life(&self, field: &'static str) -> Option<PeerTime> {
        self.take(field, |value| {
            Some((PeerTime::from_json(value)?, !value.is_number()))
        })
    }

    /// Until when something lives, and the same as RFC 3339 has it.
    pub fn expiry(&self, field: &'static str) -> Option<(PeerTime, Option<String>)> {
        self.take(field, |value| {
            let until = PeerTime::from_json(value)?;
            let as_documented = value
                .as_str()
                .filter(|text| text.parse::<Timestamp>().is_ok() || is_never(text));
            let text = match (as_documented, until) {
                (Some(text), _) => Some(text.to_owned()),
                (None, PeerTime::At(at)) => Some(at.to_string()),
                (None, PeerTime::In(_)) => None,
            };
            Some(((until, text), as_documented.is_none()))
        })
    }

    /// A field by its documented name, counted where it is under another spelling, of another form,
    /// or unreadable.
    fn take<T>(
        &self,
        field: &'static str,
        read: impl FnOnce(&Value) -> Option<(T, bool)>,
    ) -> Option<T> {
        let (value, is_exact) = match self.map.get(field) {
            Some(value) => (value, true),
            None => (
                self.map
                    .iter()
                    .find(|(name, _)| plain(name) == plain(field))?
                    .1,
                false,
            ),
        };
        if value.is_null() {
            return None;
        }
        let taken = read(value);
        if !is_exact || taken.as_ref().is_none_or(|(_, odd)| *odd) {
            self.count_oddity(field);
        }
        taken.map(|(taken, _)| taken)
    }

    fn count_oddity(&self, field: &'static str) {
        self.metrics
            .upstream_oddities
            .with_label_values(&[field])
            .inc();
    }
}

/// `content_type` and `ContentType` as `contenttype`.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()),
        Value::Array(list) => list.iter().take(LONGEST_LIST).find_map(Value::as_str),
        Value::Object(object) => object.get("value")?.as_str(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    let number = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok());
    number.filter(|number| number.is_finite())
}

/// A usual "never" that jiff can't read.
fn is_never(text: &str) -> bool {
    text.starts_with("9999-") && text.len() <= 35
}

/// Puts an object's fields into a map as they are read, so that an error loses only what comes
/// behind it. The first object of a list is read in its stead.
struct Collect<'v> {
    map: &'v mut Map<String, Value>,
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(name) = object.next_key::<String>()? {
            let value: Value = object.next_value()?;
            self.map.entry(name).or_insert(value);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { map, depth } = self;
        if depth < DEEPEST {
            list.next_element_seed(Collect {
                map,
                depth: depth + 1,
            })?;
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// The asset in `{"asset": {"id": ...}}` or `{"asset": [{"id": ...}]}`; nothing where there is an
/// id already.
fn wrapped(map: &mut Map<String, Value>, depth: u8) -> Option<Map<String, Value>> {
    if depth == DEEPEST || map.len() != 1 || has_id(map) {
        return None;
    }
    let inner = match map.values_mut().next()? {
        Value::Object(inner) => inner,
        Value::Array(list) => list.first_mut()?.as_object_mut()?,
        _ => return None,
    };
    if has_id(inner) {
        Some(std::mem::take(inner))
    } else {
        wrapped(inner, depth + 1)
    }
}

fn has_id(map: &Map<String, Value>) -> bool {
    map.keys().any(|name| plain(name) == "id")
}

#[cfg(test)]
mod tests;
