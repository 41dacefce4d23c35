//! Units as people write them in settings: `30s`, `10MiB`.

pub use bytesize::ByteSize;

/// Durations written `30s`, `1m30s` or `PT30S`; for `#[serde(with = "units::duration")]`.
pub mod duration {
    use std::time::Duration;

    use jiff::SignedDuration;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Reads a duration that isn't negative.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        let duration: SignedDuration = text.parse().map_err(|_| {
            D::Error::custom(format!(
                "{text:?} is not a duration: write it like 30s or 5m"
            ))
        })?;
        Duration::try_from(duration).map_err(|_| D::Error::custom("a duration can't be negative"))
    }

    /// Writes a duration the way it is read.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let signed = SignedDuration::try_from(*duration).unwrap_or(SignedDuration::MAX);
        to.collect_str(&format_args!("{signed:#}"))
    }
}
